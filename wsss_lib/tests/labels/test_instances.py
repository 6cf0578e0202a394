"""Instances: displacement fields of known centers, bilinear steps written out, connected areas."""

import math

import pytest
import torch

from wsss_lib.labels.instances import (
    cluster_centroids,
    connected_instances,
    detect_instances,
    find_centroids,
    instance_maps,
)


def field_to(centers, size):
    """Displacement of each pixel to the nearest center, cut to 3 px."""
    pixels = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij")).float()
    away = torch.stack([torch.tensor(center).view(2, 1, 1) - pixels for center in centers])
    nearest = away.norm(dim=1).argmin(0)
    field = away.gather(0, nearest.expand(1, 2, *size))[0]
    return field * (3 / field.norm(dim=0).clamp(min=3)), nearest


def slow_centroids(displacement, iterations):
    """Pixel by pixel with the four neighbours written out."""
    _, height, width = displacement.shape
    ends = torch.zeros(2, height, width, dtype=torch.int64)
    for start in torch.cartesian_prod(torch.arange(height), torch.arange(width)).tolist():
        y, x = map(float, start)
        for _ in range(iterations):
            top, left = math.floor(y), math.floor(x)
            bottom, right, down, along = math.ceil(y), math.ceil(x), y - top, x - left
            move = (
                displacement[:, top, left] * (1 - down) * (1 - along)
                + displacement[:, bottom, left] * down * (1 - along)
                + displacement[:, top, right] * (1 - down) * along
                + displacement[:, bottom, right] * down * along
            )
            y, x = y + move[0].item(), x + move[1].item()
            y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
        ends[:, start[0], start[1]] = torch.tensor([round(y), round(x)])
    return ends


@pytest.mark.parametrize("size", [(6, 9), (1, 8), (7, 1)])
def test_centroids_follow_the_field_step_by_step(size):
    torch.manual_seed(1)
    field = torch.randn(2, *size)
    for iterations in (1, 3):
        ends = find_centroids(field, iterations)
        assert torch.equal(ends, slow_centroids(field, iterations))
        assert (ends[0] >= 0).all() and (ends[0] < size[0]).all() and (ends[1] < size[1]).all()


def test_two_centers_make_two_clusters():
    field, nearest = field_to([(4.0, 4.0), (11.0, 15.0)], (16, 20))
    clusters = cluster_centroids(find_centroids(field), field)
    assert torch.equal(clusters, nearest)
    maps = torch.rand(3, 16, 20)
    cut = instance_maps(maps, clusters)
    assert cut.shape == (3, 2, 16, 20)
    torch.testing.assert_close(cut.sum(1), maps)


def test_without_displacement_all_is_one_cluster():
    still = torch.zeros(2, 5, 6)
    assert cluster_centroids(find_centroids(still), still).unique().tolist() == [0]


def test_a_field_that_is_strong_everywhere_has_one_cluster():
    strong = torch.full((2, 5, 6), 9.0)
    assert cluster_centroids(find_centroids(strong), strong).unique().tolist() == [0]


def test_areas_are_split_scored_and_small_ones_have_no_score():
    mask = torch.zeros(2, 4, 6, dtype=torch.bool)
    mask[0, 0, :2], mask[0, 2:, 4:], mask[1, 3, 0] = True, True, True
    mask[0, 1, 2] = True  # touches the first area at a corner only
    scores = torch.rand(2, 4, 6) + 0.1
    found = connected_instances(scores, mask, torch.tensor([5, 9]), smallest=2)
    assert found.places.tolist() == [5, 5, 5, 9] and [int(area.sum()) for area in found.masks] == [2, 1, 4, 1]
    expected = [scores[0, 0, :2].max(), 0, scores[0, 2:, 4:].max(), 0]
    torch.testing.assert_close(found.scores, torch.tensor([float(score) for score in expected]))


def test_the_highest_row_above_the_background_wins():
    scores = torch.tensor([[[0.9, 0.2, 0.1]], [[0.1, 0.1, 0.6]]]).view(1, 2, 1, 3)
    found = detect_instances(scores, 0.25, smallest=1)
    assert found.masks.flatten(1).int().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert found.places.tolist() == [0, 0]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6]))
    assert detect_instances(scores.view(2, 1, 1, 3), 0.25, smallest=1).places.tolist() == [0, 1]


@pytest.mark.parametrize("scores", [torch.zeros(0, 3, 4, 5), torch.zeros(2, 1, 4, 5)], ids=["no class", "no score"])
def test_no_instance(scores):
    found = detect_instances(scores, 0.25, smallest=1)
    assert found.masks.shape == (0, 4, 5) and len(found.scores) == len(found.places) == 0
