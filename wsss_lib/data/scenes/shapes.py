"""Flat shapes and the small canvas on which one figure is painted, twice supersampled, in plain numpy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Color = tuple[float, float, float]

SAMPLES = 2  # per pixel and axis


@dataclass(frozen=True)
class Shape:
    """A region of the plane: ``inside(u, v)`` is true in it, and ``box`` (u0, v0, u1, v1) encloses it."""

    inside: Callable[[Array, Array], NDArray[np.bool_]]
    box: tuple[float, float, float, float]


def ellipse(cu: float, cv: float, ru: float, rv: float, tilt: float = 0.0, power: float = 2.0) -> Shape:
    """Ellipse around (cu, cv) turned by ``tilt`` radians; a higher ``power`` makes it a rounded box.

    >>> bool(ellipse(0, 0, 2, 1).inside(np.array(1.9), np.array(0.0)))
    True
    """
    cos, sin = np.cos(tilt), np.sin(tilt)

    def inside(u: Array, v: Array) -> NDArray[np.bool_]:
        along, across = (u - cu) / ru, (v - cv) / rv
        if tilt:
            along, across = ((u - cu) * cos + (v - cv) * sin) / ru, ((v - cv) * cos - (u - cu) * sin) / rv
        if power == 2.0:
            return along * along + across * across <= 1
        if power == 4.0:
            return (along * along) ** 2 + (across * across) ** 2 <= 1
        return np.abs(along) ** power + np.abs(across) ** power <= 1

    reach_u, reach_v = abs(ru * cos) + abs(rv * sin), abs(ru * sin) + abs(rv * cos)
    return Shape(inside, (cu - reach_u, cv - reach_v, cu + reach_u, cv + reach_v))


def capsule(u0: float, v0: float, u1: float, v1: float, radius: float) -> Shape:
    """All points within ``radius`` of the segment from (u0, v0) to (u1, v1)."""
    du, dv = u1 - u0, v1 - v0
    squared_length = max(du * du + dv * dv, 1e-12)

    def inside(u: Array, v: Array) -> NDArray[np.bool_]:
        share = np.clip(((u - u0) * du + (v - v0) * dv) / squared_length, 0, 1)
        return (u - u0 - share * du) ** 2 + (v - v0 - share * dv) ** 2 <= radius * radius

    return Shape(inside, (min(u0, u1) - radius, min(v0, v1) - radius, max(u0, u1) + radius, max(v0, v1) + radius))


def polygon(*points: tuple[float, float]) -> Shape:
    """Convex polygon with the corners in either order."""
    corners = list(points)
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    turn = sum(u0 * v1 - u1 * v0 for (u0, v0), (u1, v1) in edges)
    sign = 1.0 if turn >= 0 else -1.0

    def inside(u: Array, v: Array) -> NDArray[np.bool_]:
        within = np.ones(np.broadcast(u, v).shape, dtype=bool)
        for (u0, v0), (u1, v1) in edges:
            within &= sign * ((u1 - u0) * (v - v0) - (v1 - v0) * (u - u0)) >= 0
        return within

    us, vs = zip(*corners, strict=True)
    return Shape(inside, (min(us), min(vs), max(us), max(vs)))


@dataclass(frozen=True)
class Stamp:
    """A painted figure, to be laid on a picture with its centre at a pixel corner.

    Attributes:
        color: premultiplied by coverage, float [2r, 2r, 3] on the 0..1 scale.
        coverage: share of each pixel that the figure covers, float [2r, 2r].
        part: the small class-specific part, bool [2r, 2r].
        names: named pieces ("wing", "wheel"), number i + 1 in ``pieces``.
        pieces: uint8 [2r, 2r], 0 where there is no named piece.
    """

    color: Array
    coverage: Array
    part: NDArray[np.bool_]
    names: tuple[str, ...]
    pieces: NDArray[np.uint8]

    @property
    def radius(self) -> int:
        return len(self.coverage) // 2

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels of which at least half is covered, bool [2r, 2r]."""
        return self.coverage >= 0.5


class Canvas:
    """Square ground for one figure in its own coordinates: u forward, v down, in units of ``unit`` pixels.

    Args:
        unit: pixels of one unit.
        reach: units from the centre to the edge of the canvas.
        angle: rotation of the figure in radians, clockwise.
        mirrored: the figure looks to the left.
    """

    def __init__(self, unit: float, reach: float, angle: float = 0.0, mirrored: bool = False) -> None:
        self.radius = int(np.ceil(reach * unit))
        self.unit, self.mirrored = unit, mirrored
        self.cos, self.sin = np.cos(angle), np.sin(angle)
        size = 2 * SAMPLES * self.radius
        steps = ((np.arange(size) + 0.5) / SAMPLES - self.radius) / unit
        self.u = self.cos * steps[None, :] + self.sin * steps[:, None]
        if mirrored:
            self.u = -self.u
        self.v = self.cos * steps[:, None] - self.sin * steps[None, :]
        self.color = np.zeros((3, size, size))  # planes: numpy fills them much faster than triples
        self.covered = np.zeros((size, size), dtype=bool)
        self.part = np.zeros((size, size), dtype=bool)
        self.pieces = np.zeros((size, size), dtype=np.uint8)
        self.names: list[str] = []

    def window(self, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
        """Rows and columns of the samples that a box in figure coordinates can touch."""
        center_u, center_v = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        half_u, half_v = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        if self.mirrored:
            center_u = -center_u
        column, row = self.cos * center_u - self.sin * center_v, self.sin * center_u + self.cos * center_v
        reach_column = abs(self.cos) * half_u + abs(self.sin) * half_v
        reach_row = abs(self.sin) * half_u + abs(self.cos) * half_v
        return self._span(row, reach_row), self._span(column, reach_column)

    def _span(self, center: float, reach: float) -> slice:
        first = (self.unit * (center - reach) + self.radius) * SAMPLES
        last = (self.unit * (center + reach) + self.radius) * SAMPLES
        return slice(max(int(first) - 1, 0), max(min(int(last) + 2, len(self.covered)), 0))

    def fill(
        self,
        shape: Shape,
        color: Color,
        *,
        name: str | None = None,
        part: bool = False,
        second: Color | None = None,
        pattern: Array | None = None,
        shade: float = 0.0,
    ) -> None:
        """Paint a shape over what is there.

        Args:
            color: RGB on the 0..1 scale.
            name: name of the piece; what has no name hides the named pieces under it.
            part: whether it belongs to the class-specific part.
            second, pattern: another color, and how much of it each sample takes, in [0, 1], of the canvas' size.
            shade: how much the shape darkens from its top to its bottom.
        """
        window = self.window(shape.box)
        u, v = self.u[window], self.v[window]
        inside = shape.inside(u, v)
        light = 1.0
        if shade:
            light = 1 + shade * (0.4 - (v - shape.box[1]) / (shape.box[3] - shape.box[1]))
        share = pattern[window] if pattern is not None else 0.0
        for plane, low, high in zip(self.color, color, second or color, strict=True):
            np.copyto(plane[window], (low + share * (high - low)) * light, where=inside)
        np.copyto(self.covered[window], True, where=inside)
        np.copyto(self.part[window], part, where=inside)
        if name is not None:
            self.names.append(name)
        np.copyto(self.pieces[window], len(self.names) if name is not None else 0, where=inside)

    def stamp(self) -> Stamp:
        """The figure at the resolution of the picture."""
        coverage = _cell_sums(self.covered.astype(np.uint8)) / SAMPLES**2
        part = _cell_sums(self.part.astype(np.uint8)) / SAMPLES**2
        quarters = [self.pieces[row::SAMPLES, column::SAMPLES] for row in range(SAMPLES) for column in range(SAMPLES)]
        return Stamp(
            color=np.stack([_cell_sums(plane) for plane in self.color], axis=-1) / SAMPLES**2,
            coverage=coverage,
            part=(part >= 0.5) & (coverage >= 0.5),
            names=tuple(self.names),
            pieces=np.maximum.reduce(quarters),
        )


def _cell_sums(samples: NDArray) -> NDArray:
    """Sum over the samples of each pixel, [n, n, ...] from [SAMPLES n, SAMPLES n, ...]."""
    rows = sum(samples[row::SAMPLES] for row in range(SAMPLES))
    return sum(rows[:, column::SAMPLES] for column in range(SAMPLES))


class Pen:
    """Draws on a canvas in coordinates of its own: origin (u, v) and unit ``scale`` in those of the canvas."""

    def __init__(self, canvas: Canvas, u: float = 0.0, v: float = 0.0, scale: float = 1.0, part: bool = False) -> None:
        self.canvas, self.u, self.v, self.scale, self.part = canvas, u, v, scale, part

    def _at(self, u: float, v: float) -> tuple[float, float]:
        return self.u + self.scale * u, self.v + self.scale * v

    def _fill(self, shape: Shape, color: Color, options: dict) -> None:
        self.canvas.fill(shape, color, part=self.part, **options)

    def ellipse(
        self, color: Color, u: float, v: float, ru: float, rv: float, tilt: float = 0.0, power: float = 2.0, **options
    ) -> None:
        """See :func:`ellipse`; ``options`` are those of :meth:`Canvas.fill`."""
        self._fill(ellipse(*self._at(u, v), self.scale * ru, self.scale * rv, tilt, power), color, options)

    def box(self, color: Color, u: float, v: float, ru: float, rv: float, tilt: float = 0.0, **options) -> None:
        """Box of half-sides ru and rv with rounded corners: an ellipse of power 4."""
        self.ellipse(color, u, v, ru, rv, tilt, 4.0, **options)

    def capsule(self, color: Color, u0: float, v0: float, u1: float, v1: float, radius: float, **options) -> None:
        """See :func:`capsule`."""
        self._fill(capsule(*self._at(u0, v0), *self._at(u1, v1), self.scale * radius), color, options)

    def polygon(self, color: Color, *points: tuple[float, float], **options) -> None:
        """See :func:`polygon`."""
        self._fill(polygon(*(self._at(u, v) for u, v in points)), color, options)
