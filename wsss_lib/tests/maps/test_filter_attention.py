"""Filter attention against loops; filters that never fire."""

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.maps.filter_attention import attended_features, masked_images, pooled_attention, regions_of


def slow_attention(features, unit, form):
    result = torch.zeros_like(features)
    for k in range(len(features)):
        if form == "official":
            result[k] = features[k] * features[unit] / features[unit].norm()
        else:
            result[k] = F.cosine_similarity(features[unit].flatten(), features[k].flatten(), dim=0) * features[k]
    return result


@pytest.mark.parametrize("form", ["official", "paper"])
def test_attention_is_the_definition(form):
    features, filters = torch.rand(3, 5, 4, 6), torch.tensor([4, 0, 2])
    found = attended_features(features, filters, torch.zeros(3), form=form)
    for one, image, unit in zip(found, features, filters.tolist(), strict=True):
        assert torch.allclose(one, slow_attention(image, unit, form), atol=1e-6)
    pooled = pooled_attention(features, form=form)
    assert torch.allclose(pooled[torch.arange(3), filters], found.mean((2, 3)), atol=1e-6)
    some = torch.tensor([[4, 1], [0, 0], [2, 3]])
    assert torch.allclose(pooled_attention(features, some, form=form), pooled[torch.arange(3)[:, None], some])


def test_the_other_methods():
    features, filters = torch.rand(2, 3, 4, 4), torch.tensor([1, 2])
    thresholds = torch.tensor([0.5, 0.2])
    assert torch.equal(attended_features(features, filters, thresholds, method="original"), features)
    found = attended_features(features, filters, thresholds, method="activation")
    assert torch.equal(found[0], features[0] * (features[0, 1] > 0.5))
    images = torch.randn(2, 3, 16, 16)
    maps, before = features[torch.arange(2), filters], images.clone()
    masked = masked_images(images, maps, thresholds)
    regions = regions_of(maps, thresholds, (16, 16))
    assert torch.equal(masked, images * regions[:, None]) and regions.any() and not regions.all()
    assert torch.equal(images, before), "the input stays"


@pytest.mark.parametrize("form", ["official", "paper"])
def test_a_filter_that_never_fires_gives_zeros_not_nan(form):
    features = torch.rand(1, 3, 4, 4)
    features[:, 1] = 0
    assert not attended_features(features, torch.tensor([1]), torch.zeros(1), form=form).any()
    assert not pooled_attention(features, form=form)[0, 1].any()
    assert pooled_attention(features, form=form).isfinite().all()
    assert not regions_of(features[:, 1], torch.zeros(1), (8, 8)).any()


def test_unknown_methods_are_refused():
    for options in ({"method": "image"}, {"method": "projection"}, {"form": "seed"}):
        with pytest.raises(ValueError, match=r"choose one of original.*masked_images"):
            attended_features(torch.rand(1, 2, 2, 2), torch.tensor([0]), torch.zeros(1), **options)
