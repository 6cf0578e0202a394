import pytest
import torch

from wsss_lib.maps.bcos_colors import colored_explanation


def test_color_is_that_of_the_weights_and_negative_contributions_are_clear():
    images = torch.full((1, 6, 2, 2), 0.5)
    weights = torch.zeros(1, 6, 2, 2)
    weights[0, :, 0, 0] = torch.tensor([1.0, 0, 0, 0, 1, 1])  # looks for red
    weights[0, :, 0, 1] = torch.tensor([0.0, 0, 0.5, 0.5, 0.5, 0])  # looks weakly for blue
    weights[0, :, 1, 0] = -1.0
    found = colored_explanation(images, weights, percentile=100)[0]
    assert torch.allclose(found[0, 0], torch.tensor([1.0, 0, 0, 1]), atol=1e-6)
    assert torch.allclose(found[0, 1], torch.tensor([0.0, 0, 1, 0.5]), atol=1e-6)
    assert found[1, :, 3].max() < 1e-6 and found.shape == (2, 2, 4)


def test_smoothing_spreads_the_opacity():
    weights = torch.zeros(2, 6, 5, 5)
    weights[:, :, 2, 2] = 1
    images = torch.ones(2, 6, 5, 5)
    assert (colored_explanation(images, weights, smooth=3, percentile=100)[..., 3] > 0.9).sum((1, 2)).tolist() == [9, 9]


def test_refusals():
    with pytest.raises(ValueError, match="dynamic_weights"):
        colored_explanation(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="odd"):
        colored_explanation(torch.zeros(1, 6, 2, 2), torch.zeros(1, 6, 2, 2), smooth=4)
