"""Noise against loops, and every family of backgrounds."""

import numpy as np
import pytest
from numpy.random import PCG64, Generator

from wsss_lib.data.scenes.textures import FAMILIES, cloudy_noise, paint_background, paint_ground, smooth_noise


def slow_noise(corners, height, width):
    """Smooth interpolation between the corners of equal cells, pixel by pixel."""
    rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
    noise = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y, x = (i + 0.5) / height * rows, (j + 0.5) / width * columns
            top, left = min(int(y), rows - 1), min(int(x), columns - 1)
            a, b = (3 * s**2 - 2 * s**3 for s in (y - top, x - left))
            upper = (1 - b) * corners[top, left] + b * corners[top, left + 1]
            lower = (1 - b) * corners[top + 1, left] + b * corners[top + 1, left + 1]
            noise[i, j] = (1 - a) * upper + a * lower
    return noise


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(7, 9, 2, 3), (12, 5, 1, 4), (6, 6, 9, 6)])
def test_smooth_noise(height, width, rows, columns):
    corners = Generator(PCG64(3)).random((rows + 1, columns + 1))
    noise = smooth_noise(Generator(PCG64(3)), height, width, rows, columns)
    np.testing.assert_allclose(noise, slow_noise(corners, height, width), atol=1e-12)


def test_cloudy_noise_stays_in_range_and_varies():
    noise = cloudy_noise(Generator(PCG64(0)), 40, 60, 3)
    assert noise.min() >= 0 and noise.max() <= 1 and noise.std() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_fills_the_picture(family):
    for seed, (height, width) in enumerate([(40, 40), (33, 57), (64, 32)]):
        colors, horizon = paint_background(Generator(PCG64(seed)), height, width, family)
        assert colors.shape == (height, width, 3) and np.isfinite(colors).all()
        assert colors.min() >= 0 and colors.max() < 1.6 and colors.std() > 0.01
        assert 0 <= horizon < height / 2


def test_families_differ():
    means = [paint_ground(Generator(PCG64(0)), 48, 48, family).mean((0, 1)) for family in FAMILIES]
    distances = [np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i]]
    assert min(distances) > 0.05


def test_unknown_family():
    with pytest.raises(ValueError, match="unknown background family 'moon'; known: meadow"):
        paint_ground(Generator(PCG64(0)), 8, 8, "moon")
