import math

import pytest
import torch

from wsss_lib.labels.pixel_pairs import (
    affinity_to_pixel,
    margins,
    pad_for_pairs,
    pair_affinities,
    pair_displacements,
    pair_indices,
    source_area,
    without_padding,
)

UPWARDS = [(-2, 1), (1, -3), (0, 2)]


def pairs_slowly(height, width, displacements):
    """All sources in reading order, and their destinations for each displacement."""
    sources = [
        (y, x)
        for y in range(height)
        for x in range(width)
        if all(0 <= y + dy < height and 0 <= x + dx < width for dy, dx in displacements)
    ]
    return sources, [[(y + dy, x + dx) for y, x in sources] for dy, dx in displacements]


@pytest.mark.parametrize(
    "size, displacements",
    [((9, 12), pair_displacements(5)), ((4, 6), pair_displacements(3)), ((6, 7), UPWARDS), ((1, 4), [(0, 2)])],
)
def test_indices_and_affinities_equal_the_loops(size, displacements):
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    sources, destinations = pairs_slowly(*size, displacements)
    found_sources, found_destinations = pair_indices(*size, displacements)
    assert found_sources.tolist() == [y * size[1] + x for y, x in sources]
    assert found_destinations.tolist() == [[y * size[1] + x for y, x in row] for row in destinations]

    affinities = pair_affinities(features, displacements)
    assert affinities.shape == (2, len(displacements), len(sources)) and affinities.std() > 0.05
    for b in range(2):
        for d, row in enumerate(destinations):
            for n, ((y, x), (other_y, other_x)) in enumerate(zip(sources, row, strict=True)):
                difference = sum(abs(features[b, c, y, x] - features[b, c, other_y, other_x]).item() for c in range(3))
                assert affinities[b, d, n].item() == pytest.approx(math.exp(-difference / 3))


def test_displacements_come_in_the_order_given():
    features, displacements = torch.randn(1, 4, 9, 10), pair_displacements(4)
    order = torch.randperm(len(displacements)).tolist()
    shuffled = pair_affinities(features, [displacements[place] for place in order])
    assert torch.equal(shuffled, pair_affinities(features, displacements)[:, order])


@pytest.mark.parametrize("radius", [2, 3, 5, 10])
def test_displacements_hold_each_pair_of_neighbours_once(radius):
    displacements = pair_displacements(radius)
    both_ways = {*displacements, *((-dy, -dx) for dy, dx in displacements)}
    reach = range(1 - radius, radius)
    assert both_ways == {(y, x) for y in reach for x in reach if 0 < y * y + x * x < radius**2}
    assert len(both_ways) == 2 * len(displacements)


def test_gradient():
    features = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: pair_affinities(values, pair_displacements(3)), features)
    assert torch.autograd.gradcheck(lambda values: pair_affinities(values, UPWARDS), features)


def test_padding_makes_every_pixel_a_source():
    features, displacements = torch.randn(1, 3, 3, 4, requires_grad=True), pair_displacements(5)
    affinities = pair_affinities(pad_for_pairs(features, displacements, torch.inf), displacements)
    assert affinities.shape == (1, len(displacements), 12)
    for d, (dy, dx) in enumerate(displacements):
        for y in range(3):
            for x in range(4):
                outside = not (0 <= y + dy < 3 and 0 <= x + dx < 4)
                assert (affinities[0, d, y * 4 + x] == 0) == outside
    affinities.sum().backward()
    assert features.grad.isfinite().all() and features.grad.abs().sum() > 0


@pytest.mark.parametrize("displacements", [pair_displacements(5), UPWARDS])
def test_padding_can_be_undone(displacements):
    values = torch.randn(2, 3, 2, 3)
    padded = pad_for_pairs(values, displacements, 7.0)
    assert torch.equal(without_padding(padded, displacements), values)
    assert (padded == 7).sum() == padded.numel() - values.numel()
    assert margins(UPWARDS) == (3, 2, 2, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_give_single_precision_affinities(dtype):
    features = torch.randn(1, 8, 6, 9).to(dtype)
    affinities = pair_affinities(features, pair_displacements(4))
    assert affinities.dtype == torch.float32
    torch.testing.assert_close(affinities, pair_affinities(features.float(), pair_displacements(4)))


@pytest.mark.parametrize("size", [(4, 20), (20, 8), (1, 1)])
def test_maps_too_small_for_a_pair_are_refused(size):
    with pytest.raises(ValueError, match=r"holds no pixel pair.*smaller radius or output stride, or pad"):
        pair_affinities(torch.zeros(1, 1, *size), pair_displacements(5))
    source_area(5, 9, pair_displacements(5))


def test_a_radius_without_neighbours_is_refused():
    with pytest.raises(ValueError, match="radius 1 leaves no pair"):
        pair_displacements(1)


def test_affinity_to_one_pixel_is_that_of_its_pairs():
    features, displacements = torch.randn(1, 5, 6, 7), pair_displacements(3)
    shown = affinity_to_pixel(features[0], 2, 3)
    sources, _ = pair_indices(6, 7, displacements)
    place = sources.tolist().index(2 * 7 + 3)
    expected = pair_affinities(features, displacements)[0, :, place]
    torch.testing.assert_close(torch.stack([shown[2 + dy, 3 + dx] for dy, dx in displacements]), expected)
    assert shown[2, 3] == 1 and shown.max() == 1
