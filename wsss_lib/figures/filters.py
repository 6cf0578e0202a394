"""Filters with the images that excite them, where they fire, and the words found for them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from wsss_lib.figures.overlays import OUTLINE_COLOR, Picture, pixels
from wsss_lib.figures.style import COLORS, FONT_SIZE, WIDTH, hide_axes, house_style, new_figure

SILENT = 0.5  # brightness of a tile where its filter is silent; the paper's 0.3 hides what else is in the image


def darkened(image: Tensor, heat: Tensor, lowest: float = 0.3) -> Tensor:
    """Image that is dark where a filter is silent: times its map over the maximum, at least ``lowest`` (the paper).

    Args:
        image: RGB in [0, 1], [3, H, W].
        heat: map of the filter, [H, W].
        lowest: brightness that is left where the filter is silent.
    """
    highest = heat.max().clamp(min=torch.finfo(heat.dtype).tiny)
    return image * (heat / highest).clamp(min=lowest)


def enlarged(heat: Tensor, size: tuple[int, int]) -> Tensor:
    """Map [h, w] at the size of the image, bilinear, as the paper draws it."""
    return F.interpolate(heat[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def show_filters(
    names: Sequence[str],
    images: Sequence[Sequence[Picture]],
    heats: Sequence[Sequence[Tensor | np.ndarray]],
    words: Sequence[Sequence[tuple[str, int]]],
    *,
    thresholds: Sequence[float] = (),
    right: Sequence[set[str]] = (),
    marks: Mapping[str, set[str]] | None = None,
    num_words: int = 6,
) -> Figure:
    """One row a filter: its most activating images, dark where it is silent, and a chart of its words and counts.

    Args:
        names: of the filters.
        images: per filter its images, most activating first, as in :func:`overlays.pixels`.
        heats: per filter the map of each of its images, [h, w], in any scale.
        words: per filter its words with their counts, most frequent first.
        thresholds: per filter the value above which it fires; a line goes round the region where it does.
        right: per filter the words that are true; their bars are dark.
        marks: sign -> words that it is written behind, such as "*" for words unseen in training.
        num_words: bars of a chart.
    """
    if not names or not len(names) == len(images) == len(heats) == len(words):
        raise ValueError(f"{len(names)} names, {len(images)} rows of images, {len(words)} lists of words; give equally")
    columns = max(map(len, images))
    side = min(1.15, (WIDTH - 2.4) / max(columns, 1))
    with house_style():
        figure = new_figure(side * columns + 2.4, (side + 0.12) * len(names) + 0.1, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
        grid = figure.add_gridspec(len(names), columns + 1, width_ratios=[*[side] * columns, 2.2])
        for row, name in enumerate(names):
            for column in range(columns):
                tile = figure.add_subplot(grid[row, column])
                hide_axes(tile)
                if column == 0:
                    tile.set_ylabel(name, fontsize=FONT_SIZE)
                if column < len(images[row]):
                    picture = torch.from_numpy(pixels(images[row][column])).permute(2, 0, 1).float()
                    heat = enlarged(torch.as_tensor(heats[row][column]).float(), tuple(picture.shape[1:]))
                    tile.imshow(darkened(picture, heat, SILENT).permute(1, 2, 0).clamp(0, 1).numpy())
                    if len(thresholds) and heat.min() <= thresholds[row] < heat.max():
                        tile.contour(heat.numpy(), [float(thresholds[row])], colors=OUTLINE_COLOR, linewidths=0.9)
                else:
                    tile.set_frame_on(False)
            chart = figure.add_subplot(grid[row, columns])
            _word_chart(chart, words[row][:num_words], right[row] if len(right) else set(), marks or {}, num_words)
    return figure


def _word_chart(axes, words: Sequence[tuple[str, int]], right: set[str], marks: Mapping[str, set[str]], rows: int):
    """Bars of word counts, the words written before them and the counts behind."""
    places = range(len(words))
    colors = [COLORS[0] if word in right else "0.75" for word, _ in words]
    bars = axes.barh(places, [count for _, count in words], color=colors, height=0.75)
    axes.bar_label(bars, [str(count) for _, count in words], padding=2, fontsize=FONT_SIZE - 1)
    axes.margins(x=0.12)
    signs = ["".join(sign for sign, marked in marks.items() if word in marked) for word, _ in words]
    labels = [f"{word}{sign}" for (word, _), sign in zip(words, signs, strict=True)]
    axes.set_yticks(places, labels, fontsize=FONT_SIZE - 1)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.tick_params(length=0, pad=2)
    axes.set_xticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not words:
        axes.text(0, rows / 2, "never fires", fontsize=FONT_SIZE, color="0.4")
        axes.set_yticks([])
