import math

import pytest
import torch

from wsss_lib.labels.pixel_adaptive import (
    DIRECTIONS,
    color_weights,
    edge_weights,
    neighbours,
    parvar_affinities,
    pixel_affinities,
    position_weights,
    refine_scores,
    spread_scores,
    varm_affinities,
)

VARIANTS = {"par": pixel_affinities, "parvar": parvar_affinities, "varm": varm_affinities}


def softmax(values):
    highest = max(values)
    exponentials = [math.exp(value - highest) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def deviation(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def places(row, column, size, dilations):
    """Neighbours of a pixel; beyond the border stands the pixel of the border."""
    return [
        (min(max(row + down * d, 0), size[0] - 1), min(max(column + right * d, 0), size[1] - 1))
        for d in dilations
        for down, right in DIRECTIONS
    ]


def affinities_of_pixel(image, row, column, dilations, variant):
    """Weights of all neighbours of one pixel, from the formulas of the three variants."""
    temperature = 0.25 if variant == "varm" else 0.3
    size = image.shape[1:]
    around = [[image[c, r, s].item() for r, s in places(row, column, size, dilations)] for c in range(3)]
    color = []
    for n in range(len(around[0])):
        terms = [
            ((around[c][n] - image[c, row, column].item()) / (deviation(around[c]) + 1e-8) / temperature) ** 2
            for c in range(3)
        ]
        color.append(-sum(terms) / 3)
    distances = [d * math.hypot(*direction) for d in dilations for direction in DIRECTIONS]
    position = softmax([-((x / (deviation(distances) + 1e-8) / 0.3) ** 2) for x in distances])
    edges = []
    for n in range(len(distances)):
        terms = []
        for c in range(3):
            here = image[c][places(row, column, size, dilations)[n]].item()
            right = image[c][places(row, column + 1, size, dilations)[n]].item() if column + 1 < size[1] else here
            down = image[c][places(row + 1, column, size, dilations)[n]].item() if row + 1 < size[0] else here
            terms.append((right - here) ** 2 + (down - here) ** 2)
        edges.append(sum(terms) / 3)
    weights = softmax(color)
    if variant != "varm":
        weights = [w + 0.01 * p for w, p in zip(weights, position, strict=True)]
    if variant != "par":
        weights = [w - 0.01 * e for w, e in zip(weights, softmax(edges), strict=True)]
    return weights


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dilations", [[1], [1, 3, 7]])
def test_affinities_equal_their_formulas(variant, dilations):
    images = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    found = VARIANTS[variant](images, dilations)
    assert found.shape == (2, 8 * len(dilations), 5, 4)
    for index, row, column in [(0, 0, 0), (0, 2, 1), (1, 4, 3), (1, 1, 2)]:
        expected = affinities_of_pixel(images[index], row, column, dilations, variant)
        torch.testing.assert_close(found[index, :, row, column], torch.tensor(expected, dtype=torch.float64))


def test_weights_sum_to_one_and_a_hundredth():
    images = torch.rand(1, 3, 9, 7)
    for weights in (color_weights(images), edge_weights(images)):
        torch.testing.assert_close(weights.sum(1), torch.ones(1, 9, 7))
    torch.testing.assert_close(position_weights().sum(), torch.tensor(1.0))
    for variant, total in (("par", 1.01), ("parvar", 1.0), ("varm", 0.99)):
        torch.testing.assert_close(VARIANTS[variant](images).sum(1), torch.full((1, 9, 7), total))


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_spreading_equals_its_loop(iterations):
    dilations, size = [1, 2], (4, 5)
    scores = torch.rand(2, 3, *size, dtype=torch.float64)
    affinities = torch.rand(2, 16, *size, dtype=torch.float64)
    expected = scores
    for _ in range(iterations):
        before, expected = expected, torch.zeros_like(scores)
        for row in range(size[0]):
            for column in range(size[1]):
                for n, (r, s) in enumerate(places(row, column, size, dilations)):
                    expected[:, :, row, column] += affinities[:, n, row, column, None] * before[:, :, r, s]
    torch.testing.assert_close(spread_scores(scores, affinities, dilations, iterations), expected)


def test_scores_stop_at_an_edge_of_color():
    images = torch.zeros(1, 3, 16, 16)
    images[..., 8:] = 1.0
    images += 0.01 * torch.rand_like(images)
    scores = torch.zeros(1, 2, 4, 4)
    scores[:, 0, :, :1], scores[:, 1] = 1.0, 0.3
    refined = refine_scores(scores, images)
    best = refined.argmax(1)[0]
    assert (best[:, :8] == 0).all() and (best[:, 8:] == 1).all(), "the class fills its side and no more"
    assert not (torch.nn.functional.interpolate(scores, (16, 16), mode="bilinear").argmax(1)[0, :, :8] == 0).all()


def test_a_mirrored_image_gives_the_mirrored_scores():
    images, scores = torch.rand(1, 3, 11, 13, dtype=torch.float64), torch.rand(1, 2, 11, 13, dtype=torch.float64)
    torch.testing.assert_close(refine_scores(scores.flip(-1), images.flip(-1)), refine_scores(scores, images).flip(-1))


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_flat_and_tiny_images_stay_finite(size):
    refined = refine_scores(torch.rand(1, 2, *size), torch.ones(1, 3, *size))
    assert refined.isfinite().all() and refined.shape == (1, 2, *size)


def test_no_gradient_is_kept():
    scores = torch.rand(1, 2, 4, 4, requires_grad=True)
    assert not refine_scores(scores, torch.rand(1, 3, 4, 4, requires_grad=True)).requires_grad


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="at least 1 px"):
        list(neighbours(torch.rand(1, 1, 3, 3), []))
    with pytest.raises(ValueError, match="at least 1 px"):
        list(neighbours(torch.rand(1, 1, 3, 3), [2, 0]))
    with pytest.raises(ValueError, match="same dilations"):
        spread_scores(torch.rand(1, 2, 3, 3), torch.rand(1, 8, 3, 3), dilations=[1, 2])
