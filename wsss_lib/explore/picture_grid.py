"""The widget that shows the pictures, and says which pixel the pointer is on."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import numpy as np
import pandas as pd
import traitlets

from wsss_lib.explore.pictures import Panel, png

HERE = Path(__file__).parent


class PictureGrid(anywidget.AnyWidget):
    """Pictures in rows and columns with their captions; below them a legend, and what there is to say of one pixel."""

    _esm = HERE / "picture_grid.js"
    _css = HERE / "picture_grid.css"
    panels = traitlets.List(traitlets.Dict()).tag(sync=True)
    size = traitlets.List(traitlets.Int(), [1, 1]).tag(sync=True)  # of the image: height and width, px
    width = traitlets.Int(200).tag(sync=True)  # of a picture on the page, CSS px
    pixel = traitlets.List(traitlets.Int(), [-1, -1]).tag(sync=True)  # row and column under the pointer
    legend = traitlets.Unicode("").tag(sync=True)  # HTML
    readout = traitlets.Unicode("").tag(sync=True)  # HTML

    _last: Sequence[tuple[np.ndarray, bytes]] = ()

    def show(self, pictures: Sequence[Panel], colors: Mapping[str, tuple[int, int, int]]) -> None:
        """Put these pictures and this legend in place of what is there."""
        packed = [(panel.picture, self._packed(panel.picture)) for panel in pictures]
        self._last = packed
        with self.hold_sync():
            self.size = list(pictures[0].picture.shape[:2])
            self.legend = legend_html(colors)
            self.panels = [
                {
                    "row": panel.row,
                    "column": panel.column,
                    "heading": panel.heading,
                    "kind": panel.kind,
                    "caption": panel.caption,
                    "alt": panel.alt,
                    "png": file,
                }
                for panel, (_, file) in zip(pictures, packed, strict=True)
            ]

    def _packed(self, picture: np.ndarray) -> bytes:
        """The picture as PNG; one that was shown last time is not packed again, which takes longer than drawing it."""
        known = (file for shown, file in self._last if np.array_equal(shown, picture))
        return next(known, None) or png(picture)


def legend_html(colors: Mapping[str, tuple[int, int, int]]) -> str:
    """Names beside squares of their colors."""
    return "".join(
        f'<span><i style="background: rgb{color}"></i>{html.escape(name)}</span>' for name, color in colors.items()
    )


def table_html(table: pd.DataFrame, decimals: int = 2) -> str:
    """A table with its index: numbers right, texts left, nothing where there is no value.

    >>> table_html(pd.DataFrame({"cow": [0.5]}, pd.Index(["CAM"], name="run")))
    '<table class="pg-table"><thead><tr><th>run</th><th>cow</th></tr></thead><tbody><tr><th>CAM</th><td>0.50</td>...'
    """
    texts = {name: " class='text'" for name in table if not pd.api.types.is_numeric_dtype(table[name])}
    heads = "".join(f"<th{texts.get(name, '')}>{html.escape(str(name))}</th>" for name in table)
    rows = []
    for label, row in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        cells = "".join(
            f"<td{texts.get(n, '')}>{_text(value, decimals)}</td>" for n, value in zip(table, row, strict=True)
        )
        rows.append(f"<tr><th>{html.escape(str(label))}</th>{cells}</tr>")
    corner = html.escape(str(table.index.name or ""))
    head = f"<thead><tr><th>{corner}</th>{heads}</tr></thead>"
    return f'<table class="pg-table">{head}<tbody>{"".join(rows)}</tbody></table>'


def _text(value: object, decimals: int) -> str:
    if isinstance(value, str):
        return html.escape(value)
    if pd.isna(value):
        return "–"
    return f"{value:.{decimals}f}" if isinstance(value, float) else f"{value:,}"
