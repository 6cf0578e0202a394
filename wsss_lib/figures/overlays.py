"""Images with what belongs to them: masks, boxes, maps, label maps."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from wsss_lib.figures.style import (
    FONT_SIZE,
    MAP_COLORMAP,
    WIDTH,
    columns_that_fit,
    hide_axes,
    house_style,
    new_figure,
)

Picture = Tensor | np.ndarray | Image.Image
TILE, AREA = 1.4, 10.0  # largest side of a picture, inches; area of all pictures of a figure, square inches
OUTLINE_COLOR = "#00E5FF"
LINE = 1.25 * FONT_SIZE / 72  # height of a line of text, inches


def voc_palette(num_labels: int = 256) -> np.ndarray:
    """Colors of labels in the masks of PASCAL VOC, uint8 [num_labels, 3]: bits of the label, spread over the channels.

    >>> voc_palette(3).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    labels = np.arange(num_labels)
    palette = np.zeros((num_labels, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def jet_heat(cam: Tensor | np.ndarray) -> np.ndarray:
    """Colors of a normalized map as OpenCV's ``COLORMAP_JET`` gives them, RGB (the report of the sub-category seed).

    Args:
        cam: [H, W], in [0, 1].

    Returns:
        uint8 [H, W, 3].
    """
    level = (np.asarray(cam, np.float32) * 255).astype(np.uint8).astype(np.float64)[..., None]
    return np.rint(255 * (1.5 - np.abs(4 * level / 255 - np.array([3, 2, 1]))).clip(0, 1)).astype(np.uint8)


def add_overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """0.4 of the heat colors plus 0.5 of the image, truncated (the report of the sub-category seed); all uint8 RGB."""
    return (0.4 * heat + 0.5 * image).astype(np.uint8)


def pixels(image: Picture) -> np.ndarray:
    """RGB in [0, 1], float [H, W, 3], of a PIL image, a uint8 array [H, W, 3] or a float tensor [3, H, W]."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    elif isinstance(image, Tensor):
        image = array_of(image).transpose(1, 2, 0) if image.ndim == 3 and len(image) == 3 else array_of(image)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image has the shape {image.shape}; expected [H, W, 3], or a tensor [3, H, W]")
    if image.dtype == np.uint8:
        return image / 255.0
    if image.min() < -0.01 or image.max() > 1.01:
        raise ValueError(
            f"an image has values from {image.min():.2f} to {image.max():.2f}; undo the normalization (or divide by "
            "255) before showing it"
        )
    return image.clip(0, 1)


def array_of(values: Tensor | ArrayLike) -> np.ndarray:
    """Values as an array on the host."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)


def blend(grey: np.ndarray, values: np.ndarray, strength: float = 0.75) -> np.ndarray:
    """Color of ``values`` over ``grey``, both in [0, 1] and of one shape; the higher the value, the more it covers."""
    color = mpl.colormaps[MAP_COLORMAP](values)[..., :3]
    opacity = strength * np.sqrt(values)[..., None]
    return ((1 - opacity) * (0.25 + 0.75 * grey[..., None]) + opacity * color).clip(0, 1)


def overlay(image: Picture, normalized_map: Tensor | np.ndarray) -> np.ndarray:
    """Map in color over the pale grey image.

    Args:
        image: as in :func:`pixels`.
        normalized_map: [h, w], in [0, 1]; resized to the image.

    Returns:
        RGB in [0, 1], float [H, W, 3].
    """
    grey = pixels(image) @ np.array([0.299, 0.587, 0.114])
    values = Image.fromarray(array_of(normalized_map).astype(np.float32))
    values = np.asarray(values.resize(grey.shape[::-1], Image.Resampling.BILINEAR))
    return blend(grey, values.clip(0, 1))


def label_colors(label_map: Tensor | np.ndarray) -> np.ndarray:
    """Label map in the colors of VOC, uint8 [H, W, 3]; ignored pixels (255) are pale."""
    return voc_palette()[array_of(label_map).astype(np.uint8)]


def label_overlay(image: Picture, label_map: Tensor | np.ndarray) -> np.ndarray:
    """Image whose objects are tinted in the colors of their labels; ignored pixels are pale.

    Args:
        image: as in :func:`pixels`.
        label_map: [H, W] of the image, 0 background, 1..K, 255 ignore.

    Returns:
        RGB in [0, 1], float [H, W, 3].
    """
    picture = pixels(image)
    tinted = 0.5 * picture + 0.5 * label_colors(label_map) / 255
    return np.where(array_of(label_map)[..., None] > 0, tinted, picture)


def show_samples(
    images: Sequence[Picture],
    *,
    titles: Sequence[str] = (),
    masks: Sequence[Tensor | np.ndarray] = (),
    boxes: Sequence[Sequence[tuple[int, tuple[float, float, float, float]]]] = (),
    class_names: Sequence[str] = (),
    columns: int = 8,
) -> Figure:
    """Grid of images with their masks and boxes drawn on them and a legend of the classes shown.

    Args:
        images: as in :func:`pixels`.
        titles: one per image, such as its class labels.
        masks: one per image, [H, W]; objects are tinted, the ignored border is pale.
        boxes: per image its boxes (class k, (left, top, right, bottom)), px.
        class_names: of the foreground classes; label k + 1 is ``class_names[k]``.
        columns: images in a row.
    """
    _check_lengths(len(images), optional={"titles": titles, "masks": masks, "boxes": boxes})
    shown = {k + 1 for of_image in boxes for k, _ in of_image}.union(*map(_labels_of, masks)) - {0}
    num_columns = min(columns, len(images))
    num_rows = -(-len(images) // num_columns)
    figure, axes = _grid(images, num_rows, num_columns, titles=titles, labels=shown, class_names=class_names)
    for tile in axes.flat[len(images) :]:
        tile.set_visible(False)
    for place, tile in enumerate(axes.flat[: len(images)]):
        picture = pixels(images[place])
        if len(masks):
            tinted = 0.5 * picture + 0.5 * label_colors(masks[place]) / 255
            picture = np.where(array_of(masks[place])[..., None] > 0, tinted, picture)
        _place(tile, picture)
        for k, (left, top, right, bottom) in boxes[place] if len(boxes) else ():
            for color, width in (("white", 2.4), (voc_palette()[k + 1] / 255, 1.2)):
                corner, sides = (left - 0.5, top - 0.5), (right - left, bottom - top)
                tile.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linewidth=width))
    return figure


def show_maps(
    images: Sequence[Picture],
    maps: Mapping[str, Sequence[Tensor | np.ndarray]],
    *,
    titles: Sequence[str] = (),
    outlines: Sequence[Tensor | np.ndarray] = (),
) -> Figure:
    """Images side by side, and below them one row of overlays per kind of map, all on the scale from 0 to 1.

    Args:
        images: as in :func:`pixels`, up to eight.
        maps: name of the row -> one normalized map [h, w] per image, in [0, 1].
        titles: one per image, such as the class whose map it is.
        outlines: true pixels of that class, bool [H, W] per image, drawn as a thin line on the overlays.
    """
    _check_lengths(len(images), required=maps, optional={"titles": titles, "outlines": outlines})
    names = ["image", *maps]
    figure, axes = _grid(images, len(names), len(images), titles=titles, names=names, bar_width=0.7)
    for tile, image in zip(axes[0], images, strict=True):
        _place(tile, pixels(image))
    for row, of_images in zip(axes[1:], maps.values(), strict=True):
        for place, tile in enumerate(row):
            _place(tile, overlay(images[place], of_images[place]))
            if len(outlines) and array_of(outlines[place]).any():
                tile.contour(array_of(outlines[place]), [0.5], colors=OUTLINE_COLOR, linewidths=0.9)
    with house_style():
        scale = ScalarMappable(Normalize(0, 1), ListedColormap(blend(np.full(256, 0.5), np.linspace(0, 1, 256))))
        bar = figure.colorbar(scale, ax=axes[1:], aspect=12 * len(maps), pad=0.01, ticks=[0, 0.5, 1])
        bar.set_label("normalized map")
        bar.outline.set_visible(False)
    return figure


def show_label_maps(
    images: Sequence[Picture],
    label_maps: Mapping[str, Sequence[Tensor | np.ndarray]],
    class_names: Sequence[str],
    *,
    titles: Sequence[str] = (),
    scores: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Images side by side, and below them rows of masks and label maps with a legend of the labels shown.

    Args:
        images: as in :func:`pixels`, up to eight.
        label_maps: name of the row -> one label map [H, W] per image; begin with the masks as ``"truth"``.
        class_names: of the foreground classes; label k + 1 is ``class_names[k]``.
        titles: one per image.
        scores: name of a row -> score of each of its label maps in percent, written into the corner.
    """
    scores = scores or {}
    _check_lengths(len(images), required={**label_maps, **scores}, optional={"titles": titles})
    shown = set().union(*(_labels_of(one) for of_images in label_maps.values() for one in of_images))
    names = ["image", *label_maps]
    figure, axes = _grid(
        images, len(names), len(images), titles=titles, names=names, labels=shown, class_names=class_names
    )
    for tile, image in zip(axes[0], images, strict=True):
        _place(tile, pixels(image))
    dark_edge = patheffects.withStroke(linewidth=2, foreground="black")
    for row, (name, of_images) in zip(axes[1:], label_maps.items(), strict=True):
        for place, tile in enumerate(row):
            _place(tile, label_colors(of_images[place]), interpolation="nearest")
            if name in scores:
                height, width = np.shape(of_images[place])
                where = {"xytext": (-2, 2), "textcoords": "offset points", "ha": "right", "va": "bottom"}
                style = {"color": "white", "fontsize": FONT_SIZE, "path_effects": [dark_edge]}
                tile.annotate(f"{scores[name][place]:.0f}", (width - 0.5, height - 0.5), **where, **style)
    return figure


def show_cases(
    images: Sequence[Picture],
    label_maps: Mapping[str, Sequence[Tensor | np.ndarray]],
    class_names: Sequence[str],
    scores: Sequence[float],
    *,
    num_cases: int = 4,
) -> Figure:
    """The images with the best and the worst scores, as in :func:`show_label_maps`.

    Args:
        images, label_maps: of the whole data set, as in :func:`show_label_maps`; only those shown are read.
        class_names: of the foreground classes.
        scores: one per image, percent; images whose score is NaN are left out.
        num_cases: how many of the best and of the worst.
    """
    _check_lengths(len(images), required={**label_maps, "scores": scores})
    order = [int(i) for i in np.argsort(-np.asarray(scores, float), kind="stable") if not np.isnan(scores[i])]
    best, worst = order[:num_cases], order[num_cases:][-num_cases:]
    chosen = best + worst
    return show_label_maps(
        [images[i] for i in chosen],
        {name: [of_images[i] for i in chosen] for name, of_images in label_maps.items()},
        class_names,
        titles=[f"best: {scores[i]:.0f}" for i in best] + [f"worst: {scores[i]:.0f}" for i in worst],
    )


def _check_lengths(
    number: int, required: Mapping[str, Sequence] | None = None, optional: Mapping[str, Sequence] | None = None
) -> None:
    if number == 0:
        raise ValueError("there is no image to show")
    given = {name: values for name, values in (optional or {}).items() if len(values)}
    for name, values in {**(required or {}), **given}.items():
        if len(values) != number:
            raise ValueError(f"{len(values)} {name} for {number} images; give one for each image")


def _labels_of(label_map: Tensor | np.ndarray) -> set[int]:
    return set(np.unique(array_of(label_map)).tolist())


def _wrapped(text: str, inches: float) -> str:
    """Lines of ``text`` that fit into a width, at about 0.55 em a letter; a longer word stays whole."""
    letters = max(4, int(inches * 72 / (0.55 * FONT_SIZE)))
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, letters, break_long_words=False) or [""]]
    return "\n".join(lines)


def _grid(
    images: Sequence[Picture],
    num_rows: int,
    num_columns: int,
    *,
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
    labels: set[int] = frozenset(),
    class_names: Sequence[str] = (),
    bar_width: float = 0.0,
) -> tuple[Figure, np.ndarray]:
    """Axes [num_rows, num_columns] without frames, sized for the images, with all text around them.

    Args:
        titles: above the tiles, in reading order.
        names: left of the rows.
        labels: what the legend shows.
        bar_width: room for a colorbar, inches.
    """
    ratio = float(np.median([picture.shape[0] / picture.shape[1] for picture in map(pixels, images)]))
    side = min(TILE, (WIDTH - bar_width) / num_columns, (AREA / (num_rows * num_columns * ratio)) ** 0.5)
    titles = [_wrapped(title, side) for title in titles]
    names = [_wrapped(name, side * ratio) for name in names]
    title_lines = [title.count("\n") + 1 for title in titles]
    title_height = LINE * sum(max(title_lines[i : i + num_columns]) for i in range(0, len(titles), num_columns))
    name_width = LINE * max((name.count("\n") + 1 for name in names), default=0)
    width = (side + 0.05) * num_columns + name_width + bar_width + 0.1
    patches, legend_columns = _legend(labels, class_names, width)
    legend_rows = -(-len(patches) // legend_columns)
    height = (side * ratio + 0.05) * num_rows + title_height + 1.3 * LINE * legend_rows + 0.15

    figure = new_figure(width, height, layout="compressed")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for tile in axes.flat:
        hide_axes(tile)
        tile.set_box_aspect(ratio)
    for tile, title in zip(axes.flat, titles, strict=False):
        tile.set_title(title, fontsize=FONT_SIZE, pad=2)
    for tile, name in zip(axes[:, 0], names, strict=False):
        tile.set_ylabel(name, fontsize=FONT_SIZE, labelpad=3)
    if patches:
        spacing = {"handlelength": 1, "handleheight": 1, "columnspacing": 1, "handletextpad": 0.4, "borderpad": 0.2}
        where = {"loc": "outside lower center", "ncols": legend_columns}
        figure.legend(handles=patches, frameon=False, fontsize=FONT_SIZE, **where, **spacing)
    return figure, axes


def _place(tile: Axes, picture: np.ndarray, interpolation: str | None = None) -> None:
    """Show a picture in the middle of its tile, undistorted; all tiles keep one shape whatever the pictures'."""
    height, width = picture.shape[:2]
    ratio = tile.get_box_aspect()
    margin_x, margin_y = max(0.0, height / ratio - width) / 2, max(0.0, width * ratio - height) / 2
    tile.imshow(picture, aspect="auto", interpolation=interpolation)
    tile.set(xlim=(-0.5 - margin_x, width - 0.5 + margin_x), ylim=(height - 0.5 + margin_y, -0.5 - margin_y))


def _legend(labels: set[int], class_names: Sequence[str], width: float) -> tuple[list[Patch], int]:
    """One patch per label, and how many of them stand side by side in ``width`` inches."""
    names = {0: "background", 255: "ignored"} | {k + 1: name for k, name in enumerate(class_names)}
    colors = voc_palette() / 255
    patches = [
        Patch(facecolor=colors[label], edgecolor="0.5", linewidth=0.5, label=names.get(label, f"label {label}"))
        for label in sorted(labels)
    ]
    return patches, columns_that_fit([patch.get_label() for patch in patches], width)
