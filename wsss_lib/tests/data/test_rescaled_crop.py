"""Training crop of IRN: image and labels stay together, labels are thinned as PIL does it."""

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.rescaled_crop import RescaledCrop
from wsss_lib.networks.base import Normalization

PLAIN = Normalization((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))


def sample(height=40, width=56):
    """Every pixel of the image shows its label."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[height // 4 : height // 2, width // 4 :] = 7
    return Sample("one", Image.fromarray(np.repeat(mask[..., None], 3, axis=2)), torch.ones(1), mask)


@pytest.mark.parametrize("seed", range(4))
def test_labels_follow_the_image(seed):
    image, mask = RescaledCrop(PLAIN, 32, scales=(1.0, 1.0))(sample(), Draws(seed))
    assert image.shape == (3, 32, 32) and mask.shape == (32, 32)
    torch.testing.assert_close(image[0].round(), mask.float(), rtol=0, atol=0)


def test_scales_and_flips_vary_and_repeat_with_the_seed():
    crop = RescaledCrop(PLAIN, 24)
    shares = [float((crop(sample(), Draws(seed))[1] == 7).float().mean()) for seed in range(20)]
    assert len(set(shares)) > 5
    assert torch.equal(crop(sample(), Draws(3))[0], crop(sample(), Draws(3))[0])


def test_what_the_image_does_not_reach_is_mean_color_and_ignored():
    image, mask = RescaledCrop(PLAIN, 64, scales=(0.5, 0.5))(sample(), Draws(0))
    assert (mask != 255).sum() == 20 * 28
    assert image[:, mask == 255].abs().max() == 0


@pytest.mark.parametrize("crop, stride", [(32, 4), (30, 4), (27, 2)])
def test_thinned_labels_are_pils_nearest(crop, stride):
    view = {"scales": (1.0, 1.0)}
    _, whole = RescaledCrop(PLAIN, crop, **view)(sample(), Draws(1))
    _, thinned = RescaledCrop(PLAIN, crop, mask_stride=stride, **view)(sample(), Draws(1))
    assert len(thinned) == -(-crop // stride) and thinned.unique().numel() > 1
    if crop % stride == 0:
        smaller = Image.fromarray(whole.numpy()).resize((crop // stride,) * 2, Image.Resampling.NEAREST)
        assert np.array_equal(thinned.numpy(), np.array(smaller))


def test_an_image_without_labels():
    image, mask = RescaledCrop(PLAIN, 16)(Sample("one", sample().image, torch.ones(1), None), Draws(0))
    assert image.shape == (3, 16, 16) and mask is None
