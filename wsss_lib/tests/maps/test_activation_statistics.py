"""One pass over the features: exact quantiles and images, whatever the batches."""

import numpy as np
import pytest
import torch

from wsss_lib.maps.activation_statistics import ActivationQuantile, TopImages


def passed(what, features, sizes):
    for part in features.split(sizes):
        what.update(part)
    return what


@pytest.mark.parametrize("quantile", [0.995, 0.005, 0.9, 0.5, 0.0, 1.0])
@pytest.mark.parametrize("batch", [1, 7, 40])
def test_quantile_is_that_of_numpy(quantile, batch):
    features = torch.randn(40, 3, 4, 5)
    features[:, 1] = features[:, 1].relu()
    found = passed(ActivationQuantile(3, 800, quantile), features, batch).value()
    wanted = np.quantile(features.transpose(0, 1).flatten(1).numpy(), quantile, axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_memory_is_half_a_percent():
    quantile = passed(ActivationQuantile(2, 400 * 100, 0.995), torch.randn(400, 2, 10, 10), 50)
    assert quantile._kept.numel() <= 2 * 202


def test_another_number_of_values_is_refused():
    with pytest.raises(ValueError, match="20 values of each filter came, 30 were announced"):
        passed(ActivationQuantile(1, 30), torch.rand(5, 1, 2, 2), 5).value()
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        ActivationQuantile(1, 30, 99.5)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_top_images_are_the_stable_sort(batch):
    features = torch.randint(-4, 5, (30, 6, 2, 2)).float()
    features[:, 5] = 0
    features[3, 5] = -0.0
    top = passed(TopImages(6, 7), features, batch)
    maxima = features.amax((2, 3)).T
    order = maxima.sort(dim=1, descending=True, stable=True).indices[:, :7]
    assert torch.equal(top.images, order) and torch.equal(top.maxima, maxima.gather(1, order) + 0.0)
    assert top.images[5].tolist() == list(range(7)), "a filter that never fires: ties in the order of the images"


def test_fewer_images_than_asked_for():
    top = passed(TopImages(2, 25), torch.rand(4, 2, 3, 3), 3)
    assert top.images.shape == (2, 4) and top.images[0].sort().values.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="at least one"):
        TopImages(2, 0)
