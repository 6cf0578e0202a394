"""A view as a grid of pictures: the image and its mask, then for every run its map, its labels and those of the CRF."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from wsss_lib.explore.view import View
from wsss_lib.figures.overlays import blend, pixels, voc_palette
from wsss_lib.figures.style import FONT_SIZE, WIDTH, columns_that_fit, hide_axes, new_figure

OUTLINE = (0, 229, 255)  # as in the figures of the notebooks
GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Panel:
    """One picture of the grid.

    Attributes:
        row, column: its place, from 0.
        heading, kind: of its column and of its row.
        caption: below it, such as its scores.
        picture: RGB, uint8 [H, W, 3].
    """

    row: int
    column: int
    heading: str
    kind: str
    caption: str
    picture: np.ndarray

    @property
    def alt(self) -> str:
        return ": ".join(part for part in (self.heading, self.kind, self.caption) if part)


def map_picture(picture: np.ndarray, normalized_map: np.ndarray, blending: float) -> np.ndarray:
    """A map in color over the grey image, uint8 [H, W, 3].

    Args:
        picture: RGB, uint8 [H, W, 3].
        normalized_map: [H, W], in [0, 1].
        blending: how much the color covers where the map is 1.
    """
    grey = pixels(picture).astype(np.float32) @ GREY
    return _bytes(blend(grey, np.asarray(normalized_map, np.float32).clip(0, 1), blending))


def label_picture(picture: np.ndarray, label_map: np.ndarray, blending: float) -> np.ndarray:
    """The image with its objects tinted in the colors of their labels, uint8 [H, W, 3]; arguments as above."""
    tinted = picture.copy()
    objects = label_map > 0
    share, colors = np.float32(blending), voc_palette()[label_map[objects]]
    tinted[objects] = ((1 - share) * picture[objects] + share * colors + 0.5).astype(np.uint8)
    return tinted


def with_outline(picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Picture with the border of a region drawn, one pixel wide, on its inner side; bool [H, W].

    >>> with_outline(np.zeros((3, 3, 3), np.uint8), np.ones((3, 3), bool))[:, :, 1]
    array([[229, 229, 229], [229,   0, 229], [229, 229, 229]], dtype=uint8)
    """
    padded = np.pad(inside, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.where((inside & ~inner)[..., None], np.uint8(OUTLINE), picture)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return (255 * picture + 0.5).astype(np.uint8)


def panels(
    view: View,
    channel: int | None,
    *,
    background_score: float | None = None,
    blending: float = 0.75,
    outline: bool = False,
    crf: Mapping[str, np.ndarray] | None = None,
) -> list[Panel]:
    """All pictures of a view, in reading order.

    Args:
        view: the image and what the runs hold of it.
        channel: class whose maps are shown; ``None``: the highest of all.
        background_score: of all maps, or ``None`` for each run's own.
        blending: share of the color in the overlays, in [0, 1].
        outline: draw the border of the true pixels of the class (of every class) over the maps.
        crf: label maps of the CRF by source; none where it has not run.
    """
    shown = "highest map" if channel is None else f"map of {view.class_names[channel]}"
    found = [Panel(0, 0, view.sample.id, shown, "image", view.picture)]
    mask = view.sample.mask
    if mask is not None:
        found.append(Panel(1, 0, view.sample.id, "labels", "truth", label_picture(view.picture, mask, blending)))
    given = view.label_maps(background_score)
    for column, name in enumerate(view.sources, start=1):
        if name in view.maps:
            picture = view.kept(
                (name, channel, blending, outline), partial(_map_of, view, name, channel, blending, outline)
            )
            best = "best mIoU {:.0f}, at {:.2f}".format(*view.best[name]) if name in view.best else ""
            found.append(Panel(0, column, name, shown, best, picture))
        for row, kind, by_source in ((1, "labels", given), (2, "CRF labels", crf or {})):
            if name in by_source:
                scores = score_caption(view, by_source[name], channel)
                at = f"at {view.background_score(name, background_score):.2f}" if row == 1 and name in view.maps else ""
                caption = ": ".join(part for part in (at, scores) if part)
                picture = label_picture(view.picture, by_source[name], blending)
                found.append(Panel(row, column, name, kind, caption, picture))
    return sorted(found, key=lambda panel: (panel.row, panel.column))


def _map_of(view: View, name: str, channel: int | None, blending: float, outline: bool) -> np.ndarray:
    maps, mask = view.maps[name][0].numpy(), view.sample.mask
    picture = map_picture(view.picture, maps.max(0) if channel is None else maps[channel], blending)
    if not outline or mask is None:
        return picture
    return with_outline(picture, (mask > 0) & (mask < 255) if channel is None else mask == channel + 1)


def score_caption(view: View, label_map: np.ndarray, channel: int | None) -> str:
    """Scores of this image in percent; empty without a mask."""
    if view.sample.mask is None:
        return ""
    mean, of_class = view.scores(label_map, channel)
    named = "" if np.isnan(of_class) else f", {view.class_names[channel]} {of_class:.0f}"
    return f"mIoU {mean:.0f}{named}"


def legend(view: View, shown: Sequence[np.ndarray]) -> dict[str, tuple[int, int, int]]:
    """Name and color of the labels of some label maps, background left out."""
    labels = sorted(set().union(*(np.unique(label_map).tolist() for label_map in shown)) - {0})
    return {view.label_name(label): tuple(voc_palette()[label].tolist()) for label in labels}


def png(picture: np.ndarray) -> bytes:
    """A picture as a PNG file, packed fast rather than small."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "png", compress_level=1)
    return stored.getvalue()


def show_panels(pictures: Sequence[Panel], colors: Mapping[str, tuple[int, int, int]]) -> Figure:
    """The same grid as a figure, with its legend."""
    rows, columns = (1 + max(getattr(panel, side) for panel in pictures) for side in ("row", "column"))
    height, width = pictures[0].picture.shape[:2]
    side = min(1.7, (WIDTH - 0.3) / columns)
    letters = int(side * 72 / (0.55 * FONT_SIZE))
    line = 1.5 * FONT_SIZE / 72
    figure = new_figure(side * columns + 0.3, (side * height / width + 2 * line) * rows + 4 * line, layout="compressed")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.subplots(rows, columns, squeeze=False)
    for tile in grid.flat:
        hide_axes(tile)
        tile.set_box_aspect(height / width)
    for panel in pictures:
        tile = grid[panel.row, panel.column]
        tile.imshow(panel.picture, interpolation="nearest")
        tile.set_xlabel(textwrap.fill(panel.caption, letters), fontsize=FONT_SIZE, labelpad=2)
        grid[0, panel.column].set_title(textwrap.fill(panel.heading, letters), fontsize=FONT_SIZE, pad=3)
        grid[panel.row, 0].set_ylabel(panel.kind, fontsize=FONT_SIZE)
    if colors:
        patches = [Patch(facecolor=np.array(color) / 255, label=name) for name, color in colors.items()]
        where = {"loc": "outside lower center", "ncols": columns_that_fit(list(colors), WIDTH - 1)}
        figure.legend(handles=patches, frameon=False, fontsize=FONT_SIZE, handlelength=1, handleheight=1, **where)
    return figure
