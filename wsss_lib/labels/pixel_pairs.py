"""Pairs of nearby pixels: their geometry and their affinity (AffinityNet, Ahn and Kwak, CVPR 2018; IRN, CVPR 2019).

A pair is a source pixel and a displacement to its destination. All functions take the displacements in whatever order
the method has; only pixels whose destinations all lie inside the map are sources. Pad the map (:func:`pad_for_pairs`)
to make every pixel of it a source.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Displacements = Sequence[tuple[int, int]]


def pair_displacements(radius: int) -> list[tuple[int, int]]:
    """Displacements (dy, dx) shorter than ``radius``, px of the map, each pair of opposite ones once.

    First those along the row, then row by row downwards, from left to right (the order of the authors' code).

    >>> pair_displacements(2)
    [(0, 1), (1, -1), (1, 0), (1, 1)]
    >>> len(pair_displacements(5)), len(pair_displacements(10))
    (34, 152)

    Raises:
        ValueError: the radius leaves no displacement.
    """
    if radius < 2:
        raise ValueError(f"radius {radius} leaves no pair of pixels; take at least 2")
    along = [(0, dx) for dx in range(1, radius)]
    below = [(dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius) if dy**2 + dx**2 < radius**2]
    return along + below


def margins(displacements: Displacements) -> tuple[int, int, int, int]:
    """Farthest reach of the displacements to the left, right, top and bottom, px: padding as ``F.pad`` takes it.

    >>> margins(pair_displacements(5))
    (4, 4, 0, 4)
    """
    down, across = ([each[axis] for each in displacements] for axis in (0, 1))
    return max(0, -min(across)), max(0, *across), max(0, -min(down)), max(0, *down)


def source_area(height: int, width: int, displacements: Displacements) -> tuple[slice, slice]:
    """Rows and columns of the pixels whose destinations all lie inside a map.

    >>> source_area(12, 10, pair_displacements(5))
    (slice(0, 8, None), slice(4, 6, None))

    Raises:
        ValueError: the map is too small to hold a single source.
    """
    left, right, top, bottom = margins(displacements)
    if height <= top + bottom or width <= left + right:
        raise ValueError(
            f"a map of {height} x {width} px holds no pixel pair: it needs more than {top + bottom} rows and "
            f"{left + right} columns; take a smaller radius or output stride, or pad the map with pad_for_pairs"
        )
    return slice(top, height - bottom), slice(left, width - right)


def pad_for_pairs(values: Tensor, displacements: Displacements, fill: float) -> Tensor:
    """Values [..., h, w] with margins of ``fill``, so that all h x w pixels are sources.

    With features of infinity the affinity of pairs that lead outside is 0; with labels of 255 they are ignored.
    """
    return F.pad(values, margins(displacements), value=fill)


def without_padding(values: Tensor, displacements: Displacements) -> Tensor:
    """Undo :func:`pad_for_pairs`."""
    return values[(..., *source_area(*values.shape[-2:], displacements))]


def pair_views(values: Tensor, displacements: Displacements) -> Iterator[tuple[Tensor, Tensor]]:
    """Values of all sources and those of their destinations, one pair of views for each displacement.

    Args:
        values: [..., h, w].

    Yields:
        Two views [..., rows, columns] of the source area and of that area displaced.
    """
    rows, columns = source_area(*values.shape[-2:], displacements)
    for dy, dx in displacements:
        shifted = slice(rows.start + dy, rows.stop + dy), slice(columns.start + dx, columns.stop + dx)
        yield values[..., rows, columns], values[(..., *shifted)]


def pair_indices(height: int, width: int, displacements: Displacements) -> tuple[Tensor, Tensor]:
    """Flat indices of the sources, [n], and of their destinations, [D, n], in a map of ``height`` x ``width``.

    >>> pair_indices(2, 2, [(0, 1), (1, 1)])
    (tensor([0]), tensor([[1], [3]]))
    """
    pixels = torch.arange(height * width).view(height, width)
    views = [(source.flatten(), destination.flatten()) for source, destination in pair_views(pixels, displacements)]
    return views[0][0], torch.stack([destination for _, destination in views])


class PairDistances(torch.autograd.Function):
    """Mean absolute difference of the channels of each pair; keeps only the features for the backward pass."""

    @staticmethod
    def forward(ctx, features: Tensor, displacements: Displacements) -> Tensor:
        ctx.save_for_backward(features)
        ctx.displacements = displacements
        views = pair_views(features, displacements)
        return torch.stack([(source - destination).abs_().mean(1) for source, destination in views], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_distances: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        grad = torch.zeros_like(features)
        grad_distances = grad_distances / features.shape[1]
        views = zip(pair_views(features, ctx.displacements), pair_views(grad, ctx.displacements), strict=True)
        for place, ((source, destination), (grad_source, grad_destination)) in enumerate(views):
            change = (source - destination).sign_() * grad_distances[:, place, None]
            grad_source += change
            grad_destination -= change
        return grad, None


def pair_affinities(features: Tensor, displacements: Displacements) -> Tensor:
    """Affinity of every pair, exp(-mean over channels of the absolute difference).

    Departs from the paper of AffinityNet, which sums over the channels: its authors' code averages. Memory is that of
    the features and of one displacement at a time, in the backward pass as well.

    Args:
        features: [B, C, h, w].
        displacements: D of them.

    Returns:
        [B, D, n] in [0, 1], n sources in reading order; single precision also where features have half.

    >>> pair_affinities(torch.tensor([[[[0.0, 1.0]], [[0.0, 3.0]]]]), [(0, 1)]).log()
    tensor([[[-2.]]])

    Raises:
        ValueError: the map is too small to hold a single source.
    """
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    return PairDistances.apply(features, displacements).neg().exp().flatten(2)


def affinity_to_pixel(features: Tensor, row: int, column: int) -> Tensor:
    """Affinity of every pixel to one pixel, for a figure.

    Args:
        features: of one image, [C, h, w].
        row, column: of the pixel, px of the map.

    Returns:
        [h, w] in [0, 1]; 1 at the pixel itself.
    """
    return (features - features[:, row, column, None, None]).abs().mean(0).neg().exp()
