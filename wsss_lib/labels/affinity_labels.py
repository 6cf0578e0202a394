"""Which pixel pairs are surely alike and which surely differ: training labels of AffinityNet (CVPR 2018) and IRN."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.labels.pixel_pairs import Displacements, pair_views

IGNORE = 255


class PairLabels(NamedTuple):
    """Confident pairs, bool [B, D, n] each: both background, both of one class, of different labels."""

    background: Tensor
    foreground: Tensor
    negative: Tensor


def pool_scores(scores: Tensor, stride: int) -> Tensor:
    """Means over blocks of ``stride`` x ``stride`` px; sides that are no multiple are filled up with zeros.

    Args:
        scores: [..., L, H, W].

    Returns:
        [..., L, ceil(H / stride), ceil(W / stride)].

    >>> pool_scores(torch.ones(1, 2, 3), 2)
    tensor([[[1.0000, 0.5000]]])
    """
    height, width = scores.shape[-2:]
    return F.avg_pool2d(F.pad(scores, (0, -width % stride, 0, -height % stride)), stride)


def confident_labels(low_scores: Tensor, high_scores: Tensor, eps: float = 1e-5) -> Tensor:
    """Labels that two exponents of the background score agree on; all others are ignored.

    A low exponent makes background strong: what is an object even so is one surely. A high exponent makes it weak: what
    is background even so is background surely. Labels are positions along the axis L: 0 background, then the classes.

    Args:
        low_scores: [..., L, h, w], scores with the low exponent.
        high_scores: the same with the high exponent.
        eps: a pixel without a score above this is ignored (padding).

    Returns:
        int64 [..., h, w]: 0, 1..L - 1, or 255.

    >>> low = torch.tensor([[0.9, 0.6, 0.1], [0.1, 0.4, 0.9]]).unsqueeze(1)
    >>> high = torch.tensor([[0.8, 0.3, 0.0], [0.2, 0.7, 1.0]]).unsqueeze(1)
    >>> confident_labels(low, high)
    tensor([[  0, 255,   1]])
    """
    labels = low_scores.argmax(-3)
    labels = labels.masked_fill(labels == 0, IGNORE).masked_fill(high_scores.argmax(-3) == 0, 0)
    return labels.masked_fill(torch.maximum(low_scores, high_scores).amax(-3) < eps, IGNORE)


def label_map_at_stride(both_scores: Tensor, stride: int) -> Tensor:
    """Confident labels of blocks of pixels, from the means of their scores.

    Args:
        both_scores: [2, L, H, W], with the low exponent and with the high one.
        stride: side of a block, px.

    Returns:
        int64 [ceil(H / stride), ceil(W / stride)], as :func:`confident_labels`.
    """
    return confident_labels(*pool_scores(both_scores, stride))


def label_numbers(class_labels: Tensor) -> Tensor:
    """Label of each row of scores that hold the background and the classes present only.

    >>> label_numbers(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    tensor([0, 2, 4])
    """
    return F.pad((class_labels > 0).nonzero()[:, 0] + 1, (1, 0))


def pair_labels(label_maps: Tensor, displacements: Displacements) -> PairLabels:
    """Sort the pairs of confident pixels; pairs with an ignored pixel (255) are in none of the three.

    Args:
        label_maps: [B, h, w], 0 background, 1..K, 255 ignore.
        displacements: D of them.

    >>> labels = pair_labels(torch.tensor([[[0, 0, 7, 255]]]), [(0, 1)])
    >>> [pairs.int().flatten().tolist() for pairs in labels]
    [[1, 0, 0], [0, 0, 0], [0, 1, 0]]

    Raises:
        ValueError: the map is too small to hold a single pair.
    """
    kinds = []
    for source, destination in pair_views(label_maps, displacements):
        confident = (source != IGNORE) & (destination != IGNORE)
        alike = confident & (source == destination)
        kinds.append(torch.stack([alike & (source == 0), alike & (source > 0), confident & (source != destination)]))
    return PairLabels(*torch.stack(kinds, dim=2).flatten(3))  # [3, B, D, rows, columns]
