"""Where any of the classes of an image is found: one map for erasing it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.maps.cam import min_max_normalize_maps


def foreground_map(maps: Tensor, class_labels: Tensor, size: Sequence[int] | None = None) -> Tensor:
    """The highest of the normalized maps of the classes present (KTSE, ECCV 2024).

    Args:
        maps: raw and of either sign, [B, K, h, w]; rectified, resized, stretched from minimum to maximum.
        class_labels: [B, K], 0 or 1.
        size: height and width of the result, px; None: that of the maps.

    Returns:
        [B, 1, H, W], in [0, 1]; 0 for an image without a class, or whose maps are nowhere positive.

    >>> maps = torch.tensor([[[[2.0, 0.0]], [[1.0, 3.0]]]])
    >>> (foreground_map(maps, torch.tensor([[1.0, 0.0]])) > 0.5).flatten()
    tensor([ True, False])
    """
    maps = torch.relu(maps)
    if size is not None:
        maps = F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
    return (min_max_normalize_maps(maps) * class_labels[..., None, None]).amax(1, keepdim=True)
