"""Views of images and masks: the same crop for both, checked against PIL and torchvision."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from wsss_lib.data.batch import Draws
from wsss_lib.data.regions import View, boxes_to_masks, nearest_index, random_view, validation_view
from wsss_lib.networks.base import Normalization

PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def picture(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(90, 120), (120, 90), (64, 64), (51, 97)])
def test_validation_view_is_that_of_torchvision(size):
    image, view = picture(*size), validation_view(*size, short_side=64, crop=56)
    wanted = TF.to_tensor(TF.center_crop(TF.resize(image, 64), 56))
    assert torch.equal(view.image(image, PLAIN), wanted)


@pytest.mark.parametrize("grid", [(7, 7), (6, 9)])
@pytest.mark.parametrize("size", [(90, 120), (51, 97)])
def test_masks_go_the_way_of_pil(size, grid):
    mask = (np.random.default_rng(1).random(size) > 0.5).astype(np.uint8)
    view = validation_view(*size, short_side=64, crop=56)
    resized = Image.fromarray(mask).resize(view.resized[::-1], Image.Resampling.NEAREST).crop(view.box)
    wanted = np.asarray(resized.resize(grid[::-1], Image.Resampling.NEAREST))
    assert (view.masks(mask[None], grid)[0].numpy() == wanted).all() and wanted.any()


def test_nearest_index_rounds_like_pil():
    for old, new in ((120, 341), (90, 256), (7, 224), (256, 7)):
        line = Image.fromarray(np.arange(old, dtype=np.int32)[None])
        assert (np.asarray(line.resize((new, 1), Image.Resampling.NEAREST))[0] == nearest_index(old, new)).all()


def test_image_and_mask_get_the_same_crop():
    for seed in range(20):
        mask = np.zeros((1, 80, 100), np.uint8)
        mask[:, 20:60, 30:75] = 1
        image = Image.fromarray(np.repeat(mask[0, :, :, None] * 255, 3, 2))
        view = random_view(80, 100, Draws(seed), crop=64, smallest=0.3)
        seen, grid = view.image(image, PLAIN)[0] > 0.5, view.masks(mask, (64, 64))[0] > 0
        assert (seen == grid).float().mean() > 0.93
    assert {random_view(80, 100, Draws(seed), crop=64).mirrored for seed in range(20)} == {True, False}


def test_a_mirrored_view_is_the_mirror_image():
    mask = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    plain, mirrored = (View((4, 4), (4, 4), (0, 0, 4, 4), 4, side) for side in (False, True))
    assert torch.equal(mirrored.masks(mask, (4, 4)), plain.masks(mask, (4, 4)).flip(-1))
    image = picture(4, 4)
    assert torch.equal(mirrored.image(image, PLAIN), plain.image(image, PLAIN).flip(-1))


def test_boxes_outside_the_image_are_cut():
    masks = boxes_to_masks([(-5, -5, 8, 8), (2, 1, 50, 50), (9, 9, 4, 4), (1, 1, 0, 3)], (4, 6))
    assert masks.sum((1, 2)).tolist() == [9, 12, 0, 0]


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="choose it smaller"):
        validation_view(10, 10, short_side=8, crop=9)
    view = validation_view(10, 12, short_side=8, crop=8)
    with pytest.raises(ValueError, match="got an image of"):
        view.image(picture(12, 10), PLAIN)
    with pytest.raises(ValueError, match="got masks of"):
        view.masks(np.zeros((1, 12, 10)), (2, 2))
    assert view.masks(np.zeros((0, 10, 12)), (2, 2)).shape == (0, 2, 2), "an image without regions"
