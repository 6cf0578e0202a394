"""Cross-entropy of DeepLab over logits of several scales, each against labels of its own size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_labels(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels at another size by nearest neighbour, the pixel whose middle is nearest (as PIL).

    Departs from deeplab-pytorch, which swaps height and width and so distorts what is not square.

    Args:
        masks: [B, H, W], 0 to 255.
        size: height and width, px.

    >>> resize_labels(torch.tensor([[[0, 1, 2, 3, 4, 255]]]), (1, 3))
    tensor([[[  1,   3, 255]]])
    """
    return F.interpolate(masks[:, None].to(torch.uint8), size, mode="nearest-exact")[:, 0].to(masks.dtype)


def multi_scale_cross_entropy(logits: Sequence[Tensor], masks: Tensor, *, ignore: int = 255) -> Tensor:
    """Sum over the scales of the mean cross-entropy of the pixels that are not ignored (DeepLab v2).

    A scale whose pixels are all ignored adds 0; in deeplab-pytorch it makes the loss NaN.

    Args:
        logits: one tensor [B, K + 1, h, w] for each scale.
        masks: masks or label maps, int64 [B, H, W]; resized to each scale.
        ignore: label of the pixels that are left out.

    Returns:
        0-d tensor.

    >>> logits = torch.zeros(1, 4, 2, 2)
    >>> masks = torch.tensor([[[0, 3], [255, 255]]])
    >>> multi_scale_cross_entropy([logits, logits], masks) / torch.log(torch.tensor(4.0))
    tensor(2.)
    """
    if not len(logits):
        raise ValueError("there are no logits; give those of one scale at least")
    total = logits[0].new_zeros(())
    for of_scale in logits:
        labels = resize_labels(masks, of_scale.shape[-2:])
        num_counted = (labels != ignore).sum().clamp(min=1)
        total = total + F.cross_entropy(of_scale, labels, ignore_index=ignore, reduction="sum") / num_counted
    return total
