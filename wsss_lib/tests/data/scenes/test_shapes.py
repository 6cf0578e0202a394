"""Shapes against loops over points, and canvases against painting without windows."""

import numpy as np
import pytest

from wsss_lib.data.scenes.shapes import SAMPLES, Canvas, Pen, capsule, ellipse, polygon

SHAPES = {
    "ellipse": ellipse(0.2, -0.3, 0.9, 0.4, 0.5),
    "rounded box": ellipse(-0.1, 0.2, 0.8, 0.5, -0.3, power=4.0),
    "capsule": capsule(-0.6, -0.4, 0.7, 0.3, 0.2),
    "triangle": polygon((-0.7, 0.5), (0.9, 0.4), (0.1, -0.8)),
}


def distance_to_segment(u, v, u0, v0, u1, v1):
    """Shortest of many distances to points of the segment."""
    return min(np.hypot(u - u0 - t * (u1 - u0), v - v0 - t * (v1 - v0)) for t in np.linspace(0, 1, 401))


def test_ellipse_has_its_area():
    steps = np.linspace(-2, 2, 801)
    u, v = np.meshgrid(steps, steps)
    area = ellipse(0.1, 0.2, 1.2, 0.5, 0.7).inside(u, v).sum() * (steps[1] - steps[0]) ** 2
    assert area == pytest.approx(np.pi * 1.2 * 0.5, rel=5e-3)


def test_capsule_is_all_points_near_the_segment():
    shape, rng = capsule(-0.6, -0.4, 0.7, 0.3, 0.25), np.random.default_rng(0)
    for u, v in rng.uniform(-1.2, 1.2, (120, 2)):
        distance = distance_to_segment(u, v, -0.6, -0.4, 0.7, 0.3)
        if abs(distance - 0.25) > 5e-3:
            assert bool(shape.inside(np.array(u), np.array(v))) == (distance < 0.25)


def test_polygon_takes_its_corners_in_either_order():
    corners = ((-0.7, 0.5), (0.9, 0.4), (0.1, -0.8))
    u, v = np.random.default_rng(0).uniform(-1, 1, (2, 500))
    forward, backward = polygon(*corners).inside(u, v), polygon(*corners[::-1]).inside(u, v)
    assert (forward == backward).all() and 0 < forward.sum() < 500


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.6, -1.1])
@pytest.mark.parametrize("name", SHAPES)
def test_window_holds_the_whole_shape(name, angle, mirrored):
    canvas = Canvas(20, 1.5, angle, mirrored)
    canvas.fill(SHAPES[name], (1, 0, 0))
    expected = SHAPES[name].inside(canvas.u, canvas.v)
    assert expected.any() and (canvas.covered == expected).all()
    assert canvas.color[0, expected].min() == 1 and not canvas.color[:, ~expected].any()


def test_mirrored_figure_is_the_reflection():
    plain, mirrored = Canvas(15, 1.3, 0.0), Canvas(15, 1.3, 0.0, mirrored=True)
    for canvas in (plain, mirrored):
        canvas.fill(SHAPES["capsule"], (0.2, 0.4, 0.6), shade=0.3)
    np.testing.assert_allclose(mirrored.stamp().color, plain.stamp().color[:, ::-1], atol=1e-12)


def test_stamp_averages_the_samples_of_a_pixel():
    canvas = Canvas(9, 1.2, 0.3)
    canvas.fill(SHAPES["ellipse"], (0.5, 1.0, 0.25), name="wing", part=True)
    stamp = canvas.stamp()
    for row in range(2 * stamp.radius):
        for column in range(2 * stamp.radius):
            cell = canvas.covered[SAMPLES * row : SAMPLES * (row + 1), SAMPLES * column : SAMPLES * (column + 1)]
            assert stamp.coverage[row, column] == cell.mean()
            assert stamp.part[row, column] == stamp.mask[row, column] == (cell.mean() >= 0.5)
            assert stamp.pieces[row, column] == cell.any()
            np.testing.assert_allclose(stamp.color[row, column], cell.mean() * np.array([0.5, 1.0, 0.25]))


def test_paint_without_a_name_hides_the_named_piece():
    canvas = Canvas(10, 1.2)
    canvas.fill(ellipse(0, 0, 0.9, 0.9), (1, 1, 1), name="leg")
    canvas.fill(ellipse(0, 0, 0.5, 0.5), (0, 0, 0))
    inner = ellipse(0, 0, 0.5, 0.5).inside(canvas.u, canvas.v)
    assert not canvas.pieces[inner].any() and (canvas.pieces[canvas.covered & ~inner] == 1).all()


def test_pattern_blends_two_colors():
    canvas = Canvas(10, 1.2)
    pattern = np.where(canvas.u > 0, 1.0, 0.25)
    canvas.fill(ellipse(0, 0, 0.9, 0.9), (0, 0, 0), second=(1, 0.5, 0), pattern=pattern)
    inside = canvas.covered
    np.testing.assert_allclose(canvas.color[:, inside], pattern[inside] * np.array([[1], [0.5], [0]]))


def test_pen_moves_and_scales():
    by_pen, by_hand = Canvas(20, 1.5), Canvas(20, 1.5)
    Pen(by_pen, 0.3, -0.2, 0.5).ellipse((1, 1, 1), 0.4, 0.2, 1.0, 0.6, 0.2)
    by_hand.fill(ellipse(0.5, -0.1, 0.5, 0.3, 0.2), (1, 1, 1))
    assert (by_pen.covered == by_hand.covered).all()
