"""Paths and their affinity: against the definition in loops, autograd, and known geometry."""

import pytest
import torch

from wsss_lib.labels.affinity_labels import pair_labels
from wsss_lib.labels.pair_paths import path_affinities, path_displacements, path_points
from wsss_lib.labels.pixel_pairs import pad_for_pairs, pair_displacements, source_area
from wsss_lib.losses.affinity import affinity_terms
from wsss_lib.losses.displacement import displacement_terms
from wsss_lib.tests.largest_tensor import LargestTensor


def distance_to_line(point, end):
    (y, x), (dy, dx) = point, end
    return abs(dy * x - dx * y) / (dy**2 + dx**2) ** 0.5


@pytest.mark.parametrize("end", [(0, 4), (3, 0), (2, -3), (4, 4), (-1, 2)])
def test_a_path_is_the_line_with_its_ends(end):
    path = path_points(end)
    assert path[0] == end and path[-1] == (0, 0) and len(set(path)) == len(path)
    assert all(distance_to_line(point, end) < 1 for point in path)
    assert {(end[0] - y, end[1] - x) for y, x in path} == set(path), "there and back is the same way"


def test_a_straight_path_is_one_pixel_wide_and_a_diagonal_one_three():
    assert path_points((0, 3)) == [(0, 3), (0, 2), (0, 1), (0, 0)]
    assert set(path_points((2, 2))) == {(0, 0), (1, 1), (2, 2), (0, 1), (1, 0), (1, 2), (2, 1)}


def test_displacements_are_sorted_by_path():
    assert sorted(path_displacements(5)) == sorted(pair_displacements(5))
    lengths = [len(path_points(displacement)) for displacement in path_displacements(5)]
    assert lengths == sorted(lengths) and lengths[0] == 2


def slow_affinities(boundaries, displacements):
    """One gathered list of values for each pair."""
    rows, columns = source_area(*boundaries.shape[1:], displacements)
    found = []
    for boundary in boundaries:
        for displacement in displacements:
            for y in range(rows.start, rows.stop):
                for x in range(columns.start, columns.stop):
                    values = [boundary[y + dy, x + dx] for dy, dx in path_points(displacement)]
                    found.append(1 - torch.stack(values).max())
    return torch.stack(found).view(len(boundaries), len(displacements), -1)


@pytest.mark.parametrize("size, radius", [((5, 7), 2), ((6, 9), 3), ((7, 13), 4)])
def test_affinities_and_their_gradient_are_those_of_the_definition(size, radius):
    torch.manual_seed(radius)
    ours, slow = (torch.rand(2, *size, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    displacements = path_displacements(radius)
    affinities, expected = path_affinities(ours, displacements), slow_affinities(slow, displacements)
    torch.testing.assert_close(affinities, expected, rtol=0, atol=0)
    weights = torch.randn(expected.shape)
    (affinities * weights).sum().backward()
    (expected * weights).sum().backward()
    assert slow.grad.abs().max() > 0
    torch.testing.assert_close(ours.grad, slow.grad)
    torch.testing.assert_close(path_affinities(ours.detach(), displacements), expected.detach(), rtol=0, atol=0)


def test_a_wall_separates_what_it_stands_between():
    boundaries = torch.zeros(1, 1, 6)
    boundaries[..., 3] = 0.75
    assert path_affinities(boundaries, [(0, 2)]).flatten().tolist() == [1.0, 0.25, 0.25, 0.25]


def test_the_gradient_of_equal_boundaries_goes_to_one_of_them():
    boundaries = torch.full((1, 1, 4), 0.5, requires_grad=True)
    path_affinities(boundaries, [(0, 3)]).sum().backward()
    assert sorted(boundaries.grad.flatten().tolist()) == [-1.0, 0.0, 0.0, 0.0]


def test_nothing_leads_out_of_a_map_that_is_surrounded():
    displacements = path_displacements(3)
    affinities = path_affinities(pad_for_pairs(torch.zeros(1, 3, 4), displacements, 1.0), displacements)
    assert affinities.shape[2] == 12, "all pixels are sources"
    assert affinities[0, displacements.index((0, 1))].view(3, 4)[:, -1].tolist() == [0, 0, 0]
    assert affinities[0, displacements.index((0, 1))].view(3, 4)[:, :-1].eq(1).all()


def test_the_losses_at_radius_10_take_the_memory_of_their_affinities():
    """Forward and backward; the authors keep a table of 27.9 million pixels beside."""
    displacements = path_displacements(10)
    logits, fields = torch.randn(1, 128, 128, requires_grad=True), torch.randn(1, 2, 128, 128, requires_grad=True)
    labels = pair_labels(torch.randint(0, 3, (1, 128, 128)), displacements)
    with LargestTensor() as largest:
        terms = affinity_terms(path_affinities(logits.sigmoid(), displacements), labels)
        sum((terms | displacement_terms(fields, labels, displacements)).values()).backward()
    assert labels.negative.numel() <= largest.numbers <= 1.5 * len(displacements) * 128 * 128


def test_half_precision_gives_single():
    assert path_affinities(torch.rand(1, 4, 6).bfloat16(), [(0, 1)]).dtype == torch.float32


def test_a_map_too_small_for_a_pair():
    with pytest.raises(ValueError, match="smaller radius or output stride"):
        path_affinities(torch.zeros(1, 4, 4), path_displacements(10))


def test_boundaries_must_be_maps():
    with pytest.raises(ValueError, match=r"\[B, h, w\]"):
        path_affinities(torch.zeros(4, 4), [(0, 1)])
