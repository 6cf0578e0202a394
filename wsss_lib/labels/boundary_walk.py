"""Random walk that boundaries hold back (IRN, Ahn, Cho and Kwak, CVPR 2019, section 4)."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.labels.pair_paths import path_affinities
from wsss_lib.labels.pixel_pairs import Displacements, pad_for_pairs, without_padding
from wsss_lib.labels.random_walk import random_walk, transition_matrix


def block_means(maps: Tensor, stride: int) -> Tensor:
    """Means over blocks of ``stride`` x ``stride`` px; blocks at the right and lower border hold what the image has.

    A map should not fade there; ``affinity_labels.pool_scores`` fills such blocks up with zeros, to mark the padding.

    Args:
        maps: [K, H, W]; K may be 0.

    Returns:
        [K, ceil(H / stride), ceil(W / stride)].

    >>> block_means(torch.ones(1, 2, 3), 2)
    tensor([[[1., 1.]]])
    """
    return F.avg_pool2d(maps[:, None], stride, ceil_mode=True)[:, 0]


def walk_by_boundaries(
    scores: Tensor, boundaries: Tensor, displacements: Displacements, *, beta: float, steps: Sequence[int]
) -> Iterator[Tensor]:
    """Random walks of several lengths in the boundary map of one image, each going on from the one before.

    Scores on boundaries are lost before the first step. The area around the map is one boundary, so that all pixels
    have their pairs. Memory grows with the pixels times their neighbours.

    Args:
        scores: [R, h, w], as many rows as wanted (the classes present, or each with each instance).
        boundaries: probability of a boundary, [h, w], in [0, 1].
        displacements: of the pairs; IRN takes those of radius 5.
        beta: exponent of the affinities, 10 in IRN.
        steps: lengths, increasing; 256 in IRN.

    Yields:
        Scores after each length, [R, h, w], in the type of the boundaries.

    >>> wall = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    >>> next(walk_by_boundaries(torch.tensor([[[1.0, 0.0, 1.0, 0.0]]]), wall, [(0, 1)], beta=1, steps=[99]))
    tensor([[[0.5000, 0.5000, 0.0000, 0.0000]]])

    Raises:
        ValueError: sizes that differ, or decreasing lengths.
    """
    if scores.shape[1:] != boundaries.shape:
        raise ValueError(
            f"scores {list(scores.shape)} with boundaries {list(boundaries.shape)}; pool the scores to the boundary map"
        )
    if list(steps) != sorted(steps):
        raise ValueError(f"the lengths {list(steps)} of the walk should increase")
    surrounded = pad_for_pairs(boundaries, displacements, 1.0)
    affinities = path_affinities(surrounded[None], displacements)[0]
    transition = transition_matrix(affinities, tuple(surrounded.shape), displacements, beta)
    walked = pad_for_pairs(scores * (1 - boundaries), displacements, 0.0)
    done = 0
    for length in steps:
        walked, done = random_walk(walked, transition, length - done), length
        yield without_padding(walked, displacements)


def stretched_scores(walked: Tensor, stride: int, size: tuple[int, int], eps: float = 1e-5) -> Tensor:
    """Scores after the walk at the size of the image, relative to the highest of all classes and pixels.

    Args:
        walked: of the classes present, [..., K, h, w], not negative; K may be 0.
        stride: px of the image per pixel of the walk.
        size: height and width of the image, px.
        eps: scores that are nowhere above it stay as they are.

    Returns:
        [..., K, H, W] in [0, 1], for :func:`wsss_lib.labels.threshold.threshold_labels`.

    >>> stretched_scores(torch.tensor([[[0.5]], [[0.25]]]), 2, (1, 2))
    tensor([[[1.0000, 1.0000]],
    <BLANKLINE>
            [[0.5000, 0.5000]]])

    Raises:
        ValueError: the walk does not cover the image.
    """
    (height, width), (rows, columns) = size, walked.shape[-2:]
    if rows * stride < height or columns * stride < width:
        raise ValueError(
            f"scores of {rows} x {columns} px at stride {stride} do not cover an image of {height} x {width} px; "
            "give the stride that they have"
        )
    if walked.numel() == 0:
        return walked.new_zeros(*walked.shape[:-2], height, width)
    flat = walked.reshape(-1, *walked.shape[-3:])
    stretched = F.interpolate(flat, scale_factor=stride, mode="bilinear")[..., :height, :width]
    highest = stretched.amax((1, 2, 3), keepdim=True)
    stretched = stretched / torch.where(highest > eps, highest, 1.0)
    return stretched.view(*walked.shape[:-2], height, width)
