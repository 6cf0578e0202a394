"""Gaussian filtering on the permutohedral lattice (Adams et al., Eurographics 2010), in plain torch.

The lattice is the integer grid under a linear map. In grid coordinates a cell of the lattice is a corner-to-corner
walk through a unit cube that takes the axes in the order of a point's fractional parts, and the d + 1 blur directions
are the d axes and the diagonal. Rounding, ranks and hash table of the paper become ``floor``, one sort of the
fractional parts and one sort of the vertex numbers.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_KEY = 2**62


@dataclass(frozen=True)
class PermutohedralLattice:
    """N points in M occupied vertices; built by :func:`permutohedral_lattice`.

    Attributes:
        vertices, weights: of each point, int32 and float [N, d + 1]; the weights of one point sum to 1.
        points, point_weights, bags: the same sorted by vertex, [N (d + 1)]; vertex m owns those from ``bags[m]`` on.
        neighbors: along each blur direction the vertex itself, the one before and the one after, int32
            [d + 1, M + 1, 3]; row M is the vertex that holds nothing, which stands for all that are not occupied.
    """

    vertices: Tensor
    weights: Tensor
    points: Tensor
    point_weights: Tensor
    bags: Tensor
    neighbors: Tensor

    @property
    def num_points(self) -> int:
        return len(self.vertices)

    @property
    def num_vertices(self) -> int:
        return len(self.bags)

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all points, own value included, weighted about in proportion to exp(-distance^2 / 2).

        Args:
            values: float [N, C]; gradients flow through them.

        Returns:
            Filtered values, float [N, C].

        >>> lattice = permutohedral_lattice(torch.tensor([[0.0], [1.0], [100.0]]))
        >>> torch.equal(lattice.filter(torch.eye(3))[2], torch.eye(3)[2] * lattice.filter(torch.eye(3))[2, 2])
        True
        """
        if values.ndim != 2 or len(values) != self.num_points:
            raise ValueError(f"{self.num_points} points need values [{self.num_points}, C], not {list(values.shape)}")
        return _Filter.apply(values, self)

    def normalized(self, eps: float = 1e-20) -> "PermutohedralLattice":
        """The lattice whose filter is D^-1/2 K D^-1/2, with K this one's filter and D its sums over all points.

        Args:
            eps: guard of the sums, as in the compiled package.
        """
        sums = self.filter(self.weights.new_ones(self.num_points, 1))
        scale = (sums + eps).rsqrt()  # [N, 1]
        point_weights = self.point_weights * scale[self.points.long(), 0]
        return replace(self, weights=self.weights * scale, point_weights=point_weights)


def permutohedral_lattice(features: Tensor) -> PermutohedralLattice:
    """Place points on the lattice; the work depends on the points alone, so one lattice serves many filters.

    Args:
        features: position of each point in units of the standard deviation along each axis, float [N, d].

    Raises:
        ValueError: the features are no table of finite numbers, or spread over too many standard deviations.
    """
    if features.ndim != 2 or not features.numel():
        raise ValueError(f"features must be [N, d] with at least one point and axis, not {list(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("features must be finite; look for a standard deviation of zero or NaN in the image")
    num_points, d = features.shape
    position = features.double() @ _grid_axes(d).to(features.device).T
    corner = position.floor()
    fraction, order = (position - corner).sort(dim=1, descending=True, stable=True)
    # walk from the corner, at weight 1 - f1, over one axis after the other, at f1 - f2, f2 - f3, ..., fd
    ends = fraction.new_ones(num_points, 1), fraction, fraction.new_zeros(num_points, 1)
    weights = -torch.cat(ends, 1).diff(dim=1).float()

    corner = corner.long() - corner.amin(0).long() + 2  # neighbors of a vertex stay inside the numbered box
    extents = (corner.amax(0) + 3).tolist()
    if math.prod(extents) >= LARGEST_KEY:
        raise ValueError("points spread over too many standard deviations; enlarge the standard deviations")
    small = math.prod(extents) <= torch.iinfo(torch.int32).max
    key_type = torch.int32 if small else torch.int64  # a sort takes half the time
    strides = torch.tensor([math.prod(extents[:axis]) for axis in range(d)], dtype=key_type, device=features.device)
    corner_key = (corner * strides).sum(1, keepdim=True, dtype=key_type)
    keys = torch.cat((corner_key, strides[order]), 1).cumsum(1, dtype=key_type)  # [N, d + 1]
    return _joined(keys, weights, torch.cat((strides, strides.sum(0, keepdim=True, dtype=key_type))))


def _grid_axes(d: int) -> Tensor:
    """Linear map of features to grid coordinates, float64 [d, d]: (x_i - x_d) / (d + 1) of the embedding x.

    The embedding puts the feature space into the plane sum(x) = 0 of d + 1 coordinates (Adams et al., section 3.1),
    scaled so that splat, blur and slice together have standard deviation 1.
    """
    embedding = torch.zeros(d + 1, d, dtype=torch.float64)
    for axis in range(d):
        scale = (d + 1) * math.sqrt(2 / 3) / math.sqrt((axis + 1) * (axis + 2))
        embedding[: axis + 1, axis] = scale
        embedding[axis + 1, axis] = -(axis + 1) * scale
    return (embedding[:d] - embedding[d]) / (d + 1)


def _joined(keys: Tensor, weights: Tensor, steps: Tensor) -> PermutohedralLattice:
    """Number the occupied vertices and find their neighbors.

    Args:
        keys: of the vertices of each point, int [N, d + 1].
        weights: float [N, d + 1].
        steps: difference of keys along each blur direction, int [d + 1].
    """
    corners = keys.shape[1]
    keys, place = keys.flatten().sort(stable=True)
    first = torch.cat((keys.new_ones(1, dtype=torch.bool), keys[1:] != keys[:-1]))
    number = first.cumsum(0, dtype=torch.int32) - 1
    vertices = torch.empty_like(number)
    vertices[place] = number
    occupied = keys[first]  # [M], ascending
    sides = torch.stack((-steps, steps), 1)[:, None] + occupied[:, None]  # [d + 1, M, 2]
    found = torch.searchsorted(occupied, sides).clamp(max=len(occupied) - 1)
    missing = occupied[found] != sides
    own = torch.arange(len(occupied), device=keys.device).expand(corners, -1)[..., None]
    neighbors = torch.cat((own, found.masked_fill(missing, len(occupied))), 2).int()
    return PermutohedralLattice(
        vertices=vertices.view(-1, corners),
        weights=weights,
        points=(place // corners).int(),
        point_weights=weights.flatten()[place],
        bags=first.nonzero()[:, 0].int(),
        neighbors=F.pad(neighbors, (0, 0, 0, 1), value=len(occupied)),
    )


class _Filter(torch.autograd.Function):
    """Splat, blur, slice. The blurs do not commute where vertices are missing: the gradient takes them in reverse."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: PermutohedralLattice) -> Tensor:
        ctx.lattice = lattice
        return _filtered(values, lattice, lattice.neighbors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _filtered(gradient, ctx.lattice, ctx.lattice.neighbors.flip(0)), None


def _filtered(values: Tensor, lattice: PermutohedralLattice, neighbors: Tensor) -> Tensor:
    directions = len(neighbors)
    blur = values.new_tensor([1.0, 0.5, 0.5]).expand(neighbors.shape[1:]).contiguous()
    on_lattice = _weighted_sums(values, lattice.points, lattice.point_weights, lattice.bags)
    on_lattice = F.pad(on_lattice / (1 + 2.0 ** (1 - directions)), (0, 0, 0, 1))
    for around in neighbors:
        on_lattice = _weighted_sums(on_lattice, around, blur)
    return _weighted_sums(on_lattice, lattice.vertices, lattice.weights)


def _weighted_sums(values: Tensor, rows: Tensor, weights: Tensor, bags: Tensor | None = None) -> Tensor:
    return F.embedding_bag(rows, values.contiguous(), bags, mode="sum", per_sample_weights=weights.to(values.dtype))
