import warnings

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.labels.pixel_pairs import pair_affinities, pair_displacements, pair_indices
from wsss_lib.labels.random_walk import random_walk, refined_scores, transition_matrix, walk_by_features


def dense_transition(affinity, beta):
    """The authors' matrix: a power of the affinities of all pixels, divided by the sums of its columns."""
    powered = affinity**beta
    return powered / powered.sum(0, keepdim=True)


def dense_affinity(features, displacements):
    """Affinities between all pixels of a map [C, h, w] that are a displacement apart, either way."""
    _, height, width = features.shape
    dense = torch.eye(height * width, dtype=features.dtype)
    for y in range(height):
        for x in range(width):
            for dy, dx in displacements:
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    distance = (features[:, y, x] - features[:, y + dy, x + dx]).abs().mean()
                    here, there = y * width + x, (y + dy) * width + x + dx
                    dense[here, there] = dense[there, here] = torch.exp(-distance)
    return dense


@pytest.mark.parametrize("size, radius, beta, doublings", [((9, 12), 5, 8, 8), ((4, 6), 3, 1, 2), ((3, 3), 2, 2.5, 0)])
def test_walk_equals_squaring_the_dense_matrix(size, radius, beta, doublings):
    displacements = pair_displacements(radius)
    sources, destinations = pair_indices(*size, displacements)
    affinities = torch.rand(destinations.shape, dtype=torch.float64)
    dense = torch.eye(size[0] * size[1], dtype=torch.float64)
    dense[sources, destinations] = dense[destinations, sources] = affinities
    expected = dense_transition(dense, beta)
    for _ in range(doublings):
        expected = expected @ expected
    scores = torch.rand(2, *size, dtype=torch.float64)
    walked = random_walk(scores, transition_matrix(affinities, size, displacements, beta), 2**doublings)
    torch.testing.assert_close(walked, (scores.flatten(1) @ expected).view_as(scores))
    assert (walked - scores).abs().max() > 0.1


@pytest.mark.parametrize("size", [(6, 7), (9, 12), (1, 3), (1, 1)])
def test_walk_by_features_uses_the_pairs_up_to_the_border(size):
    displacements = pair_displacements(5)
    features, scores = torch.randn(4, *size, dtype=torch.float64), torch.rand(3, *size, dtype=torch.float64)
    one_step = dense_transition(dense_affinity(features, displacements), 2.0)
    walks = list(walk_by_features(scores, features, displacements, beta=2.0, steps=(0, 1, 5)))
    assert len(walks) == 3
    for walked, steps in zip(walks, (0, 1, 5), strict=True):
        expected = scores.flatten(1) @ torch.linalg.matrix_power(one_step, steps)
        torch.testing.assert_close(walked, expected.view_as(scores))


def test_walk_by_features_without_the_border_is_that_of_the_authors():
    size, displacements = (9, 12), pair_displacements(4)
    features, scores = torch.randn(4, *size, dtype=torch.float64), torch.rand(3, *size, dtype=torch.float64)
    transition = transition_matrix(pair_affinities(features[None], displacements)[0], size, displacements, 3.0)
    (walked,) = walk_by_features(scores, features, displacements, beta=3.0, steps=[7], every_source=False)
    torch.testing.assert_close(walked, random_walk(scores, transition, 7))
    (everywhere,) = walk_by_features(scores, features, displacements, beta=3.0, steps=[7])
    assert (walked - everywhere).abs().max() > 0.01
    assert torch.equal(walked[:, -1, 0], scores[:, -1, 0]), "no pair holds this corner"


@pytest.mark.parametrize("size", [(24, 20), (21, 17)])
@pytest.mark.parametrize("every_source", [True, False])
def test_refined_scores_equal_one_walk_for_each_setting(size, every_source):
    displacements, stride = pair_displacements(2), 4
    maps, features = torch.rand(2, *size) ** 2, torch.randn(3, 6, 5)
    options = {"beta": 3.0, "every_source": every_source}
    several = {"alphas": [1.0, 4.0], "steps": [0, 2, 9]}
    found = refined_scores(maps, features, displacements, stride=stride, **several, **options)
    assert found.shape == (3, 2, 3, *size) and set(found.argmax(2).flatten().tolist()) == {0, 1, 2}
    for place, alpha in enumerate([1.0, 4.0]):
        background = (1 - maps.amax(0, keepdim=True)) ** alpha
        filled = F.pad(torch.cat([background, maps]), (0, 20 - size[1], 0, 24 - size[0]))
        pooled = filled.unflatten(2, (5, 4)).unflatten(1, (6, 4)).mean((2, 4))
        for length, steps in enumerate([0, 2, 9]):
            (walked,) = walk_by_features(pooled, features, displacements, steps=[steps], **options)
            stretched = F.interpolate(walked[None], scale_factor=stride, mode="bilinear")[0, :, : size[0], : size[1]]
            torch.testing.assert_close(found[length, place], stretched)
    assert (found[0] - found[2]).abs().max() > 0.05


def test_without_a_class_present_all_is_background():
    options = {"stride": 8, "alphas": [16.0], "beta": 8.0, "steps": [4]}
    scores = refined_scores(torch.zeros(0, 16, 24), torch.randn(2, 2, 3), pair_displacements(2), **options)
    assert scores.shape == (1, 1, 1, 16, 24) and (scores > 0).all()


def test_features_that_do_not_cover_the_image_are_refused():
    options = {"stride": 4, "alphas": [16.0], "beta": 8.0, "steps": [4]}
    with pytest.raises(ValueError, match="2 x 3 px at stride 4 do not cover an image of 16 x 24 px"):
        refined_scores(torch.rand(1, 16, 24), torch.randn(2, 2, 3), pair_displacements(2), **options)


def test_scores_keep_their_bounds_and_constants_stay():
    displacements = pair_displacements(3)
    transition = transition_matrix(torch.rand(12, 6), (5, 6), [*displacements, (1, 0), (1, 1)][:12], 4.0)
    scores = torch.rand(2, 5, 6)
    walked = random_walk(torch.cat([scores, torch.full((1, 5, 6), 0.3)]), transition, 50)
    assert walked[:2].max() < scores.max() and walked[:2].min() > scores.min()
    torch.testing.assert_close(walked[2], torch.full((5, 6), 0.3))
    assert torch.equal(random_walk(scores, transition, 0), scores)


def test_scores_stay_inside_an_object_whose_affinity_to_the_rest_is_zero():
    features = torch.zeros(1, 6, 6)
    features[:, :, 3:] = torch.inf
    features[:, :, 3:] = 1e4
    scores = torch.zeros(1, 6, 6)
    scores[0, 2, 1] = 1.0
    (walked,) = walk_by_features(scores, features, pair_displacements(3), beta=8, steps=[300])
    assert (walked[..., 3:] == 0).all() and (walked[..., :3] > 0.01).all()


def test_no_warning_reaches_the_page():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transition_matrix(torch.ones(1, 1), (1, 2), [(0, 1)], 1.0)


def test_affinities_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\[1, 7\] do not belong to a map of 2 x 4 px .* which has \[1, 6\]"):
        transition_matrix(torch.ones(1, 7), (2, 4), [(0, 1)], 1.0)


def test_bad_walks_are_refused():
    scores, features, displacements = torch.ones(1, 6, 8), torch.ones(2, 6, 8), pair_displacements(5)
    with pytest.raises(ValueError, match="6 x 8 px with features of 3 x 4 px; pool the scores"):
        next(walk_by_features(scores, features[:, :3, :4], displacements, beta=1, steps=[1]))
    with pytest.raises(ValueError, match=r"\[2, 1\] of the walk should increase"):
        next(walk_by_features(scores, features, displacements, beta=1, steps=[2, 1]))
    with pytest.raises(ValueError, match="6 x 8 px holds no pixel pair"):
        next(walk_by_features(scores, features, displacements, beta=1, steps=[1], every_source=False))
