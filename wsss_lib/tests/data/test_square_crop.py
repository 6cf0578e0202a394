import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.square_crop import CenterSquare, RandomSquare, out_of_focus
from wsss_lib.networks.unet import POSITIVE


def halves(height, width):
    """Left half black and label 0, right half white and label 1."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    return Sample("", Image.fromarray(np.repeat(255 * mask[..., None], 3, axis=2)), torch.ones(1), mask)


@pytest.mark.parametrize("height, width", [(20, 30), (31, 20), (9, 9), (1, 3)])
def test_the_middle_square(height, width):
    sample = halves(height, width)
    image, mask = CenterSquare(POSITIVE, 16)(sample, Draws(0))
    assert image.shape == (3, 16, 16) and mask.shape == (16, 16)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    rows, columns = (np.arange(16) * side / 16).astype(int) + top, (np.arange(16) * side / 16).astype(int) + left
    assert np.array_equal(mask, sample.mask[rows][:, columns])


def test_a_square_image_of_that_size_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image, mask = CenterSquare(POSITIVE, 8)(Sample("", Image.fromarray(pixels), torch.ones(1), None), Draws(0))
    torch.testing.assert_close(image * 256 - 1, torch.from_numpy(pixels).permute(2, 0, 1).float())
    assert mask is None


def test_image_and_mask_move_together_and_items_repeat():
    view = RandomSquare(POSITIVE, 32, radius=(0, 0), brightness=0.0, noise=(0.0, 0.0), jitter=0.0)
    mirrored = set()
    for seed in range(12):
        image, mask = view(halves(32, 48), Draws(seed))
        assert torch.equal((image[0] > 0.5).byte(), mask)
        mirrored.add(bool(mask[0, 0] > mask[0, -1]))
    assert mirrored == {False, True}


def test_colors_change_masks_do_not():
    view, sample = RandomSquare(POSITIVE, 24), halves(24, 24)
    images, masks = zip(*(view(sample, Draws(seed)) for seed in range(8)), strict=True)
    assert len({image.sum().item() for image in images}) == 8
    assert all(image.min() > 0 and image.max() <= 1 for image in images)
    assert {mask.sum().item() for mask in masks} == {24 * 12}
    again = view(sample, Draws(3))[0]
    assert torch.equal(again, images[3])


def test_blur_is_a_soft_disk():
    image = torch.zeros(3, 21, 21)
    image[:, 10, 10] = 1
    blurred = out_of_focus(image, 3, 0.1)
    inside = torch.tensor([[(y - 10) ** 2 + (x - 10) ** 2 <= 9 for x in range(21)] for y in range(21)])
    torch.testing.assert_close(blurred[0], inside / inside.sum())
    torch.testing.assert_close(out_of_focus(torch.full((3, 3, 4), 7.0), 5, 0.5), torch.full((3, 3, 4), 7.0))
