"""Tables as pages and README files show them: aligned, few digits, the best value bold."""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

MISSING = "–"


def styled_table(
    frame: pd.DataFrame,
    *,
    highest: Sequence[str] = (),
    lowest: Sequence[str] = (),
    decimals: int = 1,
    signed: Sequence[str] = (),
) -> Styler:
    """HTML table: text left, numbers right with the same number of digits, the best value of a column bold.

    Args:
        frame: a named or meaningful index is shown; one of running numbers is not.
        highest, lowest: columns whose highest or lowest value is the best.
        decimals: digits behind the point, of numbers that are not integers.
        signed: columns whose numbers carry a plus or minus.
    """
    digest = zlib.crc32(frame.to_csv().encode())  # fixed by the content, so that pages are reproducible
    table = Styler(frame, uuid=f"{digest:08x}", cell_ids=False, na_rep=MISSING)
    table.format(_formats(frame, decimals, signed), na_rep=MISSING)
    styles = [{"selector": "th, td", "props": "text-align: left"}]
    for name in frame.select_dtypes("number"):
        column = f".col{frame.columns.get_loc(name)}"  # one rule for a column: rules for cells double the page
        styles.append({"selector": column, "props": "text-align: right; font-variant-numeric: tabular-nums"})
    table.set_table_styles(styles)
    for name, best in _best_cells(frame, highest, lowest).items():
        table.set_properties(subset=(frame.index[best], [name]), **{"font-weight": "bold"})
    return table.hide(axis="index") if _is_counter(frame.index) else table


def markdown_table(
    frame: pd.DataFrame,
    *,
    highest: Sequence[str] = (),
    lowest: Sequence[str] = (),
    decimals: int = 1,
    signed: Sequence[str] = (),
) -> str:
    """The same table in Markdown, for README files and records.

    >>> frame = pd.DataFrame({"mIoU": [45.0, 48.23]}, index=pd.Index(["CAM", "FMix"], name="method"))
    >>> print(markdown_table(frame, highest=["mIoU"]))
    | method   |     mIoU |
    |:---------|---------:|
    | CAM      |     45.0 |
    | FMix     | **48.2** |
    """
    formats = _formats(frame, decimals, signed)
    texts = frame.astype(object)
    for name, show in formats.items():
        texts[name] = [MISSING if pd.isna(value) else show(value) for value in frame[name]]
    for name, best in _best_cells(frame, highest, lowest).items():
        texts[name] = [f"**{text}**" if bold else text for text, bold in zip(texts[name], best, strict=True)]
    numbers = frame.select_dtypes("number").columns
    align = ["right" if name in numbers else "left" for name in frame]
    index = not _is_counter(frame.index)
    return texts.to_markdown(index=index, colalign=["left"] * index + align, disable_numparse=True)


def published_table(frame: pd.DataFrame) -> Styler:
    """Printed numbers beside ours: ``published``, ``ours`` and ``difference`` in points; rows without a run are grey.

    Args:
        frame: columns ``published``, ``ours``, ``difference`` (NaN where nothing was run or the data differ) and any
            text columns.
    """
    if missing := [name for name in ("published", "ours", "difference") if name not in frame]:
        raise ValueError(f"the table has no column {missing}; make it with tables.published_beside_ours")
    table = styled_table(frame, signed=["difference"])
    grey = frame.index[frame["ours"].isna()]
    return table.set_properties(subset=(grey, list(frame.columns)), **{"color": "#808080"})


def _formats(frame: pd.DataFrame, decimals: int, signed: Sequence[str]) -> dict:
    def number(sign: str):
        return lambda value: f"{value:{sign}.{decimals}f}"

    def text(value):
        return str(value)

    kinds = {name: frame[name].dtype.kind for name in frame}
    return {name: number("+" if name in signed else "") if kind == "f" else text for name, kind in kinds.items()}


def _best_cells(frame: pd.DataFrame, highest: Sequence[str], lowest: Sequence[str]) -> dict[str, np.ndarray]:
    if unknown := [name for name in (*highest, *lowest) if name not in frame]:
        raise ValueError(f"the table has no column {unknown}; it has {list(frame.columns)}")
    best = {name: (frame[name] == frame[name].max()).to_numpy() for name in highest}
    return best | {name: (frame[name] == frame[name].min()).to_numpy() for name in lowest}


def _is_counter(index: pd.Index) -> bool:
    return isinstance(index, pd.RangeIndex) and index.name is None
