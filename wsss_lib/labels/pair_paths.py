"""Paths between the pixels of a pair, and the affinity that boundaries on them leave (IRN, Ahn et al., CVPR 2019)."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wsss_lib.labels.pixel_pairs import Displacements, pair_displacements, source_area

FREE_BITS = 2**28 - 1  # of a double that holds a single; rounding it back to a single drops them


def path_points(displacement: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels (y, x) nearer than 1 px to the line from a source at (0, 0) to its destination, both ends included.

    The destination comes first, the source last.

    >>> path_points((0, -2))
    [(0, -2), (0, -1), (0, 0)]
    >>> path_points((1, 2))
    [(1, 2), (0, 2), (1, 1), (0, 1), (1, 0), (0, 0)]
    """
    dy, dx = displacement
    box = [(y, x) for y in range(min(0, dy), max(0, dy) + 1) for x in range(min(0, dx), max(0, dx) + 1)]
    near = [(y, x) for y, x in box if (dy * x - dx * y) ** 2 < dy**2 + dx**2]
    return sorted(near, key=lambda point: -abs(point[0]) - abs(point[1]))


def path_displacements(radius: int) -> list[tuple[int, int]]:
    """Displacements (dy, dx) shorter than ``radius``, from short paths to long ones, as in the authors' code.

    >>> path_displacements(3)[:3], [len(path_points(each)) for each in path_displacements(3)]
    ([(0, 1), (1, 0), (0, 2)], [2, 2, 3, 3, 4, 4, 6, 6, 6, 6, 7, 7])
    """
    return sorted(pair_displacements(radius), key=lambda displacement: len(path_points(displacement)))


class PathMaxima(torch.autograd.Function):
    """Highest value on the path of each pair, [B, D, rows, columns] of values [B, h, w].

    A running maximum over shifted slices. A pixel's number lies in those bits of the double-precision values that
    single precision leaves free, so that a maximum tells its pixel, to which the gradient flows (the last in reading
    order where several are highest); this replaces a table of the pixels of all paths.
    """

    @staticmethod
    def forward(ctx, values: Tensor, displacements: Displacements) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        batch, height, width = values.shape
        rows, columns = source_area(height, width, displacements)
        pixels = torch.arange(height * width, device=values.device).view(height, width)
        keys = (values.float().double().view(torch.int64) | pixels).view(torch.double) if wanted else values
        size = batch, len(displacements), rows.stop - rows.start, columns.stop - columns.start
        maxima = values.new_empty(size)
        places = pixels.new_empty(size if wanted else 0, dtype=torch.int32)
        for number, displacement in enumerate(displacements):
            highest = None
            for y, x in path_points(displacement):
                shifted = keys[:, rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
                highest = shifted.clone() if highest is None else torch.maximum(highest, shifted, out=highest)
            maxima[:, number] = highest
            if wanted:
                places[:, number] = highest.view(torch.int64) & FREE_BITS
        ctx.save_for_backward(places)
        ctx.size = values.shape
        return maxima

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_maxima: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        grad = grad_maxima.new_zeros(ctx.size).flatten(1)
        for number in range(places.shape[1]):
            grad.scatter_add_(1, places[:, number].flatten(1).long(), grad_maxima[:, number].flatten(1))
        return grad.view(ctx.size), None


def path_affinities(boundaries: Tensor, displacements: Displacements) -> Tensor:
    """Affinity of every pair: 1 - the strongest boundary on its path, ends included.

    Memory is that of the affinities; there is no table of paths.

    Args:
        boundaries: probability of a boundary, [B, h, w], in [0, 1].
        displacements: D of them.

    Returns:
        [B, D, n] in [0, 1], n sources in reading order; single precision also where boundaries have half.

    >>> path_affinities(torch.tensor([[[0.0, 0.75, 0.5]]]), [(0, 1), (0, 2)])
    tensor([[[0.2500],
             [0.2500]]])

    Raises:
        ValueError: the map is too small to hold a single source, or is no batch of maps.
    """
    if boundaries.ndim != 3:
        raise ValueError(f"boundaries should be maps [B, h, w], not {list(boundaries.shape)}")
    if boundaries.dtype in (torch.float16, torch.bfloat16):
        boundaries = boundaries.float()
    return 1 - PathMaxima.apply(boundaries, displacements).flatten(2)
