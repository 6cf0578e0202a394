import pytest
import torch

from wsss_lib.maps.cam import (
    class_activation_maps,
    class_score_maps,
    min_max_normalize_maps,
    normalize_maps,
    root_activation_maps,
)


@pytest.mark.parametrize("shape, num_classes", [((1, 2, 3, 3), 2), ((3, 5, 2, 4), 1), ((2, 4, 1, 1), 6)])
def test_maps_are_weighted_sums_of_channels(shape, num_classes):
    features, weight = torch.randn(shape), torch.randn(num_classes, shape[1])
    found = class_score_maps(features, weight)
    for b in range(shape[0]):
        for k in range(num_classes):
            expected = sum(weight[k, c] * features[b, c] for c in range(shape[1]))
            torch.testing.assert_close(found[b, k], expected)
    torch.testing.assert_close(class_activation_maps(features, weight), found.clamp(min=0))
    torch.testing.assert_close(root_activation_maps(features, weight) ** 2, found.clamp(min=0))


def test_mean_score_is_the_logit():
    features, weight = torch.randn(2, 6, 5, 7), torch.randn(3, 6)
    torch.testing.assert_close(class_score_maps(features, weight).mean((2, 3)), features.mean((2, 3)) @ weight.T)


def test_gradients_are_those_of_the_positive_scores():
    features, weight = torch.randn(2, 3, 2, 2, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    maps = class_activation_maps(features, weight)
    maps.sum().backward()
    speaks = (maps > 0).float()  # [B, K, h, w]
    torch.testing.assert_close(features.grad, torch.einsum("bkhw,kc->bchw", speaks, weight))
    torch.testing.assert_close(weight.grad, torch.einsum("bkhw,bchw->kc", speaks, features))


def test_normalization_reaches_one_and_keeps_zero():
    maps = torch.rand(2, 3, 6, 5) * torch.tensor([1.0, 1e3, 0.0]).view(1, 3, 1, 1)
    found = normalize_maps(maps)
    torch.testing.assert_close(found[:, :2].amax((2, 3)), torch.ones(2, 2), atol=1e-4, rtol=0)
    assert found.amax() <= 1 and not found[:, 2].any()
    torch.testing.assert_close(found[1, 0], maps[1, 0] / (max(maps[1, 0].flatten().tolist()) + 1e-5))


def test_min_max_is_the_equation():
    maps = torch.randn(2, 3, 4, 4)
    maps[0, 0], maps[0, 1] = -1.0, 0.5  # nothing positive; constant
    found = min_max_normalize_maps(maps, eps=1e-3)
    assert not found[0, :2].any()
    for one, result in zip(maps.flatten(0, 1), found.flatten(0, 1), strict=True):
        values = [max(v, 0.0) for v in one.flatten().tolist()]
        low, high = min(values), max(values)
        expected = [max(v - low - 1e-3, 0.0) / (high - low + 1e-3) for v in values]
        torch.testing.assert_close(result.flatten(), torch.tensor(expected))
    assert found[0, 2].amax() > 0.99
