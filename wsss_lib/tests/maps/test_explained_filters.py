"""Embeddings of filters: pair by pair, whatever the batches; filters that never fire."""

import pytest
import torch

from wsss_lib.maps.explained_filters import filter_embeddings
from wsss_lib.maps.filter_attention import attended_features, masked_images
from wsss_lib.networks.filter_explainer import build_explainer


@pytest.fixture(scope="module")
def explainer():
    options = {"output_stride": 8, "width": 0.25, "stages": 2}
    return build_explainer("resnet18", "backbone.layer2", 5, options=options, num_classes=3, side=32).eval()


@pytest.fixture(scope="module")
def explainer_of_positions():
    options = {"output_stride": 8, "width": 0.25, "stages": 2}
    return build_explainer("resnet18", "layer2", 5, options=options, side=32, pooling="positions").eval()


@pytest.mark.parametrize("pooling", ["average", "positions"])
@pytest.mark.parametrize("form", ["official", "paper"])
@torch.no_grad()
def test_both_forms_of_attention_are_those_of_reweighted_features(request, pooling, form):
    explainer = request.getfixturevalue("explainer" if pooling == "average" else "explainer_of_positions")
    features, pairs = torch.rand(2, 32, 4, 4), torch.tensor([[3, 1], [30, 0], [0, 1]])
    found = filter_embeddings(explainer, torch.zeros(0), features, pairs, torch.zeros(32), form=form)
    seen = attended_features(features[pairs[:, 1]], pairs[:, 0], torch.zeros(3), form=form)
    assert torch.allclose(found, explainer(seen), atol=1e-5) and found.std(0).min() > 0


@pytest.mark.parametrize("method", ["original", "image", "activation", "attention"])
@torch.no_grad()
def test_each_pair_by_itself(explainer, method):
    images = torch.randn(3, 3, 32, 32)
    features = explainer.features(images)
    pairs, thresholds = torch.tensor([[0, 2], [7, 1], [7, 0]]), torch.full((features.shape[1],), 0.1)
    found = filter_embeddings(explainer, images, features, pairs, thresholds, method=method, batch_size=2)
    for one, (unit, place) in zip(found, pairs.tolist(), strict=True):
        of_image, limit = features[place : place + 1], thresholds[:1]
        if method == "image":
            seen = explainer.features(masked_images(images[place : place + 1], of_image[:, unit], limit))
        else:
            seen = attended_features(of_image, torch.tensor([unit]), limit, method=method)
        assert torch.allclose(one, explainer(seen)[0], atol=1e-5)
    assert found.std(0).min() > 0 or method == "original"
    assert explainer.normalization == explainer.target.backbone.normalization


def test_filters_that_never_fire_are_refused(explainer):
    nothing = torch.zeros(1, 32, 4, 4), torch.zeros(0, 2).long(), torch.zeros(32)
    with pytest.raises(ValueError, match="none of these filters fires"):
        filter_embeddings(explainer, torch.zeros(0), *nothing)
