"""The walk held back by boundaries: against dense powers, and what walls must do."""

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.labels.boundary_walk import stretched_scores, walk_by_boundaries
from wsss_lib.labels.pair_paths import path_displacements, path_points
from wsss_lib.tests.largest_tensor import LargestTensor


def dense_walk(scores, boundaries, radius, beta, steps):
    """Affinity of every pair by its path, columns that sum to one, the power of the matrix."""
    height, width = boundaries.shape
    dense = torch.eye(height * width, dtype=torch.double)
    for displacement in path_displacements(radius):
        for y in range(height):
            for x in range(width):
                path = [(y + dy, x + dx) for dy, dx in path_points(displacement)]
                if all(0 <= row < height and 0 <= column < width for row, column in path):
                    affinity = 1 - max(boundaries[place].item() for place in path)
                    here, there = y * width + x, path[0][0] * width + path[0][1]
                    dense[here, there] = dense[there, here] = affinity
    transition = dense**beta / (dense**beta).sum(0)
    flat = (scores * (1 - boundaries)).flatten(1).double()
    return (flat @ torch.linalg.matrix_power(transition, steps)).view(scores.shape)


@pytest.mark.parametrize("size, radius", [((6, 8), 3), ((5, 7), 5), ((1, 9), 2), ((3, 3), 5)])
def test_the_walk_is_a_power_of_the_dense_matrix(size, radius):
    torch.manual_seed(0)
    scores, boundaries = torch.rand(2, *size), torch.rand(size)
    first, second = walk_by_boundaries(scores, boundaries, path_displacements(radius), beta=3, steps=[4, 64])
    for walked, steps in ((first, 4), (second, 64)):
        expected = dense_walk(scores, boundaries, radius, 3, steps).float()
        torch.testing.assert_close(walked, expected, rtol=1e-3, atol=1e-6)
        assert (scores - expected).abs().max() > 0.1, "the walk moves"


def test_single_precision_is_near_double():
    torch.manual_seed(0)
    scores, boundaries = torch.rand(3, 47, 63), 0.3 * F.avg_pool2d(torch.rand(1, 47, 63), 3, 1, 1)[0]
    walk = {"beta": 10, "steps": [256]}
    (single,) = walk_by_boundaries(scores, boundaries, path_displacements(5), **walk)
    (double,) = walk_by_boundaries(scores, boundaries.double(), path_displacements(5), **walk)
    assert ((single - double) / double).abs().max() <= 1e-3


def test_scores_stay_on_their_side_of_a_wall():
    scores, boundaries = torch.zeros(1, 6, 9), torch.zeros(6, 9)
    scores[0, :, :4], boundaries[:, 4] = torch.rand(6, 4), 1.0
    (walked,) = walk_by_boundaries(scores, boundaries, path_displacements(4), beta=10, steps=[512])
    assert walked[0, :, 4:].abs().max() == 0
    torch.testing.assert_close(walked[0, :, :4], scores[0, :, :4].mean().expand(6, 4), rtol=0.25, atol=0)


def test_no_class_no_scores():
    (walked,) = walk_by_boundaries(torch.zeros(0, 4, 5), torch.rand(4, 5), [(0, 1)], beta=1, steps=[2])
    assert walked.shape == (0, 4, 5) and stretched_scores(walked, 4, (15, 18)).shape == (0, 15, 18)


def test_errors_of_the_walk():
    with pytest.raises(ValueError, match="pool the scores"):
        next(walk_by_boundaries(torch.rand(1, 4, 4), torch.rand(4, 5), [(0, 1)], beta=1, steps=[2]))
    with pytest.raises(ValueError, match="increase"):
        next(walk_by_boundaries(torch.rand(1, 4, 4), torch.rand(4, 4), [(0, 1)], beta=1, steps=[4, 2]))


def test_stretched_scores_have_one_highest_and_the_size_of_the_image():
    scores = stretched_scores(torch.rand(2, 3, 5, 4) / 7, 4, (18, 13))
    assert scores.shape == (2, 3, 18, 13)
    torch.testing.assert_close(scores.amax((1, 2, 3)), torch.ones(2))
    assert scores.amax((2, 3)).min() < 1, "classes share one scale"


def test_scores_of_nothing_stay_nothing():
    assert stretched_scores(torch.zeros(2, 3, 3), 4, (11, 12)).abs().max() == 0


def test_a_walk_smaller_than_the_image():
    with pytest.raises(ValueError, match="do not cover"):
        stretched_scores(torch.rand(1, 3, 3), 4, (13, 12))


@pytest.mark.parametrize("height, width", [(24, 32), (48, 64)])
def test_memory_grows_with_pixels_times_neighbours(height, width):
    scores, boundaries, displacements = torch.rand(3, height, width), torch.rand(height, width), path_displacements(5)
    with LargestTensor() as largest:
        next(walk_by_boundaries(scores, boundaries, displacements, beta=10, steps=[64]))
    pairs = height * width * len(displacements)
    assert pairs <= largest.numbers < 2.5 * pairs  # a dense matrix of the larger map would have 90 times as many
