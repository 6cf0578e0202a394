"""The training crop of BECO: windows, masks that follow their image, and bad input."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.labelled_crop import LabelledCrop, draw_area_crop, draw_scale_crop, read_confidence
from wsss_lib.networks.base import IMAGENET


def sample(height=20, width=30):
    """An image whose red channel is its label times ten, so that what belongs together can be seen."""
    labels = (np.indices((height, width)).sum(0) // 8).astype(np.uint8)
    labels[:3, :3] = 255
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.where(labels == 255, 0, 10 * labels)
    return Sample("one", Image.fromarray(picture), torch.zeros(3), labels)


@pytest.mark.parametrize(("height", "width"), [(60, 80), (20, 200), (200, 20), (1, 9)])
@pytest.mark.parametrize("areas", [(0.5, 0.75), (0.95, 1.0)])
def test_windows_are_torchvisions(height, width, areas):
    image = torch.zeros(3, height, width)
    for seed in range(20):
        torch.manual_seed(seed)
        expected = RandomResizedCrop.get_params(image, areas, (3 / 4, 4 / 3))
        assert draw_area_crop(height, width, areas, Draws(seed)) == expected


def test_scaled_windows_reach_beyond_small_images_only():
    draws = Draws(0)
    for _ in range(100):
        top, left, height, width = draw_scale_crop(50, 40, (32, 32), (0.5, 1.0, 2.0), draws)
        assert (height, width) in {(64, 64), (32, 32), (16, 16)}
        assert (top <= 0 and top + height >= 50) if height > 50 else 0 <= top <= 50 - height
        assert (left <= 0 and left + width >= 40) if width > 40 else 0 <= left <= 40 - width


@pytest.mark.parametrize("form", ["official", "paper"])
def test_masks_follow_their_image(form, tmp_path):
    one = sample(40, 60)
    Image.fromarray(((one.mask % 2) * 255).astype(np.uint8)).save(tmp_path / "one.png")
    crop = LabelledCrop(IMAGENET, (24, 24), folder=tmp_path, form=form)
    mirrored = 0
    for seed in range(12):
        image, masks = crop(one, Draws(seed))
        labels, confident = masks
        assert image.shape == (3, 24, 24) and masks.shape == (2, 24, 24)
        red = 255 * IMAGENET.denormalize(image)[0]
        known = labels != 255
        assert torch.equal(confident[known], labels[known] % 2)
        assert ((red - 10 * labels)[known].abs() < 8).float().mean() > 0.8
        mirrored += labels.float()[:, :12].mean() > labels.float()[:, 12:].mean()
    assert 0 < mirrored < 12


def test_without_confidence_masks_labelled_pixels_are_trusted():
    _, (labels, confident) = LabelledCrop(IMAGENET, (20, 20), areas=(0.9, 1.0))(sample(), Draws(1))
    assert torch.equal(confident == 1, labels != 255) and confident.any() and (labels == 255).any()


def test_beyond_the_image_nothing_is_known():
    crop = LabelledCrop(IMAGENET, (64, 64), form="paper", scales=(1.0,))
    image, (labels, confident) = crop(sample(), Draws(0))
    unknown, beyond = labels == 255, image.abs().amax(0) < 0.01  # beyond the image is the mean color
    assert beyond.sum() == 64 * 64 - 20 * 30 and unknown[beyond].all()
    assert unknown.sum() == beyond.sum() + 3 * 3, "those ignored in the image"
    assert torch.equal(confident == 0, unknown)


def test_images_smaller_than_the_crop_and_of_one_pixel():
    for height, width in ((5, 7), (1, 1), (1, 30)):
        for form in ("official", "paper"):
            image, masks = LabelledCrop(IMAGENET, (16, 16), form=form)(sample(height, width), Draws(2))
            assert image.shape == (3, 16, 16) and image.isfinite().all() and masks.shape == (2, 16, 16)


def test_confidence_masks_of_any_kind(tmp_path):
    values = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(values).save(tmp_path / "gray.png")
    Image.fromarray(np.repeat(values[..., None], 3, 2)).save(tmp_path / "color.png")
    Image.fromarray(values // 255).save(tmp_path / "ones.png")
    for name in ("gray", "color", "ones"):
        assert read_confidence(tmp_path / f"{name}.png").tolist() == [[0, 1], [1, 0]]


def test_errors_name_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="name the run or folder that has one for every image"):
        LabelledCrop(IMAGENET, (8, 8), folder=tmp_path)(sample(), Draws(0))
    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="at the size of the images"):
        LabelledCrop(IMAGENET, (8, 8), folder=tmp_path)(sample(), Draws(0))
    with pytest.raises(ValueError, match="choose one of official, paper"):
        LabelledCrop(IMAGENET, (8, 8), form="new")
    with pytest.raises(ValueError, match="areas at most 1"):
        LabelledCrop(IMAGENET, (8, 8), areas=(0.5, 2.0))
