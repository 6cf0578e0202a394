"""Textured grounds: smooth noise, sky, and the seven families of backgrounds."""

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: background family -> noun of its ground
GROUNDS = {
    "meadow": "grass",
    "forest": "moss",
    "street": "pavement",
    "sand": "sand",
    "snow": "snow",
    "lake": "water",
    "sea": "sea",
}
FAMILIES = tuple(GROUNDS)
WATER = ("lake", "sea")


@lru_cache(maxsize=256)
def _interpolation(size: int, cells: int) -> Array:
    """Weights [size, cells + 1] of smooth interpolation between the corners of equal cells."""
    position = (np.arange(size) + 0.5) / size * cells
    cell = np.minimum(position.astype(int), cells - 1)
    share = position - cell
    share = share * share * (3 - 2 * share)
    weights = np.zeros((size, cells + 1))
    weights[np.arange(size), cell] = 1 - share
    weights[np.arange(size), cell + 1] += share
    return weights


def smooth_noise(rng: Generator, height: int, width: int, rows: float, columns: float) -> Array:
    """Noise in [0, 1] that is smooth between ``rows`` x ``columns`` random values, [height, width]."""
    rows, columns = max(1, round(rows)), max(1, round(columns))
    corners = rng.random((rows + 1, columns + 1))
    return _interpolation(height, rows) @ corners @ _interpolation(width, columns).T


def cloudy_noise(rng: Generator, height: int, width: int, cells: float, octaves: int = 3) -> Array:
    """Sum of smooth noises of doubled frequency and halved weight, in [0, 1]; ``cells`` per shorter side."""
    side = min(height, width)
    total = np.zeros((height, width))
    for octave in range(octaves):
        fine = cells * 2**octave
        total += 0.5**octave * smooth_noise(rng, height, width, fine * height / side, fine * width / side)
    return total / (2 - 0.5 ** (octaves - 1))


def ramp(values: Array, *colors: tuple[float, float, float]) -> Array:
    """Colors along a ramp at values in [0, 1], [..., 3].

    >>> ramp(np.array([0.5]), (0.0, 0.0, 0.0), (1.0, 1.0, 0.0)).tolist()
    [[0.5, 0.5, 0.0]]
    """
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(values, stops, channel) for channel in zip(*colors, strict=True)], axis=-1)


def paint_sky(rng: Generator, height: int, width: int) -> Array:
    """Blue sky with clouds that pales towards its lower edge, [height, width, 3]."""
    depth = np.linspace(0, 1, height)[:, None] * np.ones(width)
    sky = ramp(depth, (0.42, 0.65, 0.90), (0.84, 0.92, 0.97))
    clouds = np.clip(4 * smooth_noise(rng, height, width, 3, 4) - 2.4, 0, 1)[..., None]
    return sky + 0.85 * clouds * (1 - sky)


def paint_ground(rng: Generator, height: int, width: int, family: str) -> Array:
    """Ground of a background family, RGB on the 0..1 scale, [height, width, 3].

    Raises:
        ValueError: the family is not one of ``FAMILIES``.
    """
    side = min(height, width)
    tall, wide = height / side, width / side
    broad = cloudy_noise(rng, height, width, 3)

    def strands(rows: float, columns: float) -> Array:
        return smooth_noise(rng, height, width, rows * tall, columns * wide) - 0.5

    if family == "meadow":
        color = ramp(broad, (0.30, 0.50, 0.16), (0.44, 0.64, 0.24), (0.62, 0.75, 0.34))
        return color * (1 + 0.50 * strands(14, 44))[..., None]
    if family == "forest":
        color = ramp(broad, (0.10, 0.19, 0.11), (0.20, 0.33, 0.16), (0.34, 0.40, 0.19), (0.40, 0.35, 0.20))
        return color * (1 + 0.7 * strands(26, 26))[..., None]
    if family == "street":
        color = ramp(broad, (0.42, 0.42, 0.45), (0.52, 0.52, 0.55))
        rows = np.linspace(0, 1, height)[:, None]
        dashes = (np.abs(rows - 0.55) < 0.022) & (np.sin(np.linspace(0, 9 * wide, width) + 6 * broad[0, 0]) > 0)
        color = np.where(dashes[..., None], 0.88, color)
        return color * (1 + 0.24 * strands(46, 46))[..., None]
    if family == "sand":
        waves = np.sin(2 * np.pi * (np.linspace(0, 5 * tall, height)[:, None] + 2.5 * broad))
        color = ramp(0.5 + 0.5 * waves, (0.80, 0.65, 0.42), (0.93, 0.82, 0.60))
        return color * (1 + 0.16 * strands(46, 46))[..., None]
    if family == "snow":
        color = ramp(broad, (0.70, 0.79, 0.90), (0.88, 0.92, 0.97), (0.98, 0.98, 1.0))
        return color * (1 + 0.06 * strands(40, 40))[..., None]
    if family == "lake":
        ripples = np.clip(0.5 + broad - 0.5 + 0.9 * strands(26, 7), 0, 1)
        return ramp(ripples, (0.07, 0.36, 0.40), (0.17, 0.52, 0.54), (0.52, 0.76, 0.73))
    if family == "sea":
        rows = np.linspace(0, 7 * tall, height)[:, None]
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * (rows + 2.0 * broad))
        color = ramp(swell, (0.05, 0.20, 0.46), (0.12, 0.34, 0.62), (0.28, 0.52, 0.76))
        foam = np.clip(9 * (swell * (0.5 + strands(18, 12)) - 0.66), 0, 1)[..., None]
        return color + 0.75 * foam * (1 - color)
    raise ValueError(f"unknown background family {family!r}; known: {', '.join(FAMILIES)}")


def _skyline(rng: Generator, height: int, width: int, family: str) -> tuple[Array, Array]:
    """What stands at the horizon: its height as a share of the sky [width], and its color [height, width, 3]."""
    wide = max(1.0, width / height / 4)
    if family == "street":
        houses = rng.random(round(6 * wide) + 1)
        house = np.minimum((np.linspace(0, 1, width) * len(houses)).astype(int), len(houses) - 1)
        tones = np.array([(0.72, 0.56, 0.48), (0.80, 0.72, 0.60), (0.58, 0.60, 0.66), (0.66, 0.48, 0.44)])
        color = np.broadcast_to(tones[(houses * 997).astype(int) % 4][house], (height, width, 3))
        across = np.linspace(0, 3.5 * len(houses), width) % 1
        down = np.linspace(0, 4, height)[:, None] % 1
        panes = (across > 0.45) & (across < 0.85) & (down > 0.35) & (down < 0.75)
        return 0.35 + 0.5 * houses[house], np.where(panes[..., None], (0.36, 0.42, 0.50), color)
    ridge = smooth_noise(rng, 1, width, 1, 5 * wide)[0]
    tops = {
        "meadow": ((0.36, 0.52, 0.36), 0.10, 0.30),
        "forest": ((0.12, 0.22, 0.14), 0.80, 0.35),
        "sand": ((0.76, 0.58, 0.42), 0.05, 0.30),
        "snow": ((0.62, 0.71, 0.84), 0.10, 0.55),
        "lake": ((0.35, 0.50, 0.44), 0.08, 0.22),
        "sea": ((0.20, 0.40, 0.66), 0.0, 0.0),
    }
    tone, low, more = tops[family]
    grain = 1 + 0.5 * (smooth_noise(rng, height, width, 5, 24 * wide) - 0.5)
    return low + more * ridge, np.asarray(tone) * grain[..., None]


def paint_background(rng: Generator, height: int, width: int, family: str) -> tuple[Array, int]:
    """A landscape: sky, a skyline and the ground of the family.

    Returns:
        RGB on the 0..1 scale [height, width, 3], and the row of the horizon (0: no sky in the picture).
    """
    horizon = int(height * max(0.0, 0.42 * rng.random() - 0.06))
    if horizon < 3:
        return paint_ground(rng, height, width, family), 0
    sky = paint_sky(rng, horizon, width)
    top, tones = _skyline(rng, horizon, width, family)
    above = np.arange(horizon)[:, None] / horizon < 1 - top
    upper = np.where(above[..., None], sky, tones)
    return np.concatenate([upper, paint_ground(rng, height - horizon, width, family)]), horizon
