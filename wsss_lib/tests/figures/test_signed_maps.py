import colorsys

import numpy as np
import pytest

from wsss_lib.figures.signed_maps import IGNORED_COLOR, LABEL_COLORS, label_colors, signed_colors


def test_colors_of_each_pixel():
    values = np.random.default_rng(0).normal(size=(6, 7))
    values[0, 0] = 0
    full = np.percentile(np.abs(values), 90)
    colors = signed_colors(values, 90)
    for (y, x), value in np.ndenumerate(values):
        hue = 0.0 if value > 0 else 0.6667 if value < 0 else 0.3333
        expected = colorsys.hsv_to_rgb(hue, min(abs(value) / full, 1), 1)
        np.testing.assert_allclose(colors[y, x], expected, atol=0.501 / 255)


def test_maps_are_scaled_one_by_one_and_an_empty_one_is_white():
    maps = np.stack([np.eye(3), 100 * np.eye(3), np.zeros((3, 3))])
    colors = signed_colors(maps)
    np.testing.assert_array_equal(colors[0], colors[1])
    assert (colors[2] == 1).all()


def test_labels_by_a_table():
    labels = np.random.default_rng(0).choice([*range(21), 255], (5, 9))
    colors = label_colors(labels)
    for place, label in np.ndenumerate(labels):
        assert tuple(colors[place]) == (IGNORED_COLOR if label == 255 else tuple(LABEL_COLORS[label]))
    with pytest.raises(ValueError, match=r"labels \[21\] have no color"):
        label_colors([21])
