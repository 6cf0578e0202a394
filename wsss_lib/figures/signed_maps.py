"""Colors of maps that have both signs, and of the labels beside them, as in the authors' figures (arXiv 2407.03009)."""

import matplotlib.colors
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

HUES = {1: 0.0, -1: 0.6667, 0: 0.3333}  # red for, blue against, green neither
LABEL_COLORS = np.array(
    [
        (0, 0, 0), (0, 255, 0), (255, 255, 255), (0, 255, 255), (0, 0, 255), (255, 0, 0), (125, 125, 0), (1, 40, 20),
        (1, 80, 20), (20, 40, 0), (50, 200, 0), (0, 200, 90), (30, 60, 100), (100, 20, 60), (100, 200, 0),
        (200, 20, 60), (50, 20, 100), (22, 34, 180), (220, 22, 0), (40, 200, 30), (140, 26, 70),
    ],
    np.uint8,
)  # fmt: skip
IGNORED_COLOR = (122, 35, 45)


def signed_colors(maps: Tensor | ArrayLike, percentile: float = 99.98) -> np.ndarray:
    """Red where a map is positive, blue where it is negative, the paler the nearer to 0 (white).

    Args:
        maps: one map [H, W], or several [..., H, W], each scaled by itself.
        percentile: of the absolute values, the one that gets the full color.

    Returns:
        RGB in [0, 1] in steps of 1/255, [..., H, W, 3].

    >>> signed_colors([[1.0, -1.0], [0.5, 0.0]]).round(2).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[1.0, 0.5, 0.5], [1.0, 1.0, 1.0]]]
    """
    maps = np.asarray(maps, np.float64)
    size = np.abs(maps)
    full = np.percentile(size, percentile, axis=(-2, -1), keepdims=True)
    saturation = np.divide(size, full, out=np.zeros_like(size), where=full > 0).clip(max=1)
    hue = np.select([maps > 0, maps < 0], [HUES[1], HUES[-1]], HUES[0])
    colors = matplotlib.colors.hsv_to_rgb(np.stack([hue, saturation, np.ones_like(size)], axis=-1))
    return np.rint(255 * colors) / 255


def label_colors(label_map: Tensor | ArrayLike) -> np.ndarray:
    """The authors' colors of the labels 0 to 20, and of ignored pixels (255), uint8 [..., 3], by one look-up.

    >>> label_colors([0, 1, 255]).tolist()
    [[0, 0, 0], [0, 255, 0], [122, 35, 45]]
    """
    label_map = np.asarray(label_map)
    known = (label_map == 255) | ((label_map >= 0) & (label_map < len(LABEL_COLORS)))
    if not known.all():
        raise ValueError(
            f"labels {np.unique(label_map[~known]).tolist()[:10]} have no color; there are 0 to 20, and 255"
        )
    table = np.zeros((256, 3), np.uint8)
    table[: len(LABEL_COLORS)], table[255] = LABEL_COLORS, IGNORED_COLOR
    return table[label_map]
