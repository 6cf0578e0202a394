"""Batches of regions: masks belong to their images, empty masks are left out, random views repeat."""

import numpy as np
import torch
from PIL import Image

from wsss_lib.data.region_batches import region_batches
from wsss_lib.data.regions import RegionSample
from wsss_lib.networks.base import IMAGENET


class Pictures:
    """Image i is all of brightness 40 i, with i regions, the last of them a single pixel."""

    def __len__(self):
        return 4

    def read(self, index):
        masks = np.zeros((index, 16, 20), np.uint8)
        for place, mask in enumerate(masks):
            mask[:, place:] = 1
        if index:
            masks[-1] = 0
            masks[-1, 0, 0] = 1
        image = Image.fromarray(np.full((16, 20, 3), 40 * index, np.uint8))
        return RegionSample(str(index), image, [(f"word{index}",)] * index, masks)


OPTIONS = {"short_side": 16, "crop": 16, "batch_size": 3}


def test_masks_belong_to_their_images():
    first, second = region_batches(Pictures(), IMAGENET, (4, 4), **OPTIONS)
    assert first.images.shape == (3, 3, 16, 16) and first.masks.shape == (1, 4, 4) and first.indices == [0, 1, 2]
    assert first.words == [("word2",)] and first.image_of_mask.tolist() == [2]
    assert second.words == [("word3",)] * 2 and second.image_of_mask.tolist() == [0, 0]
    assert torch.allclose(IMAGENET.denormalize(second.images[0]), torch.tensor(120 / 255), atol=1e-5)


def test_images_without_regions_and_a_choice_of_images():
    (batch,) = region_batches(Pictures(), IMAGENET, (4, 4), indices=[0, 1], **OPTIONS)
    assert batch.images.shape[0] == 2 and batch.masks.shape == (0, 4, 4) and batch.words == []


def test_random_views_depend_on_seed_and_number():
    class Half(Pictures):
        def read(self, index):
            mask = np.zeros((1, 16, 20), np.uint8)
            mask[:, :, :10] = 1
            return RegionSample("half", Image.fromarray(np.zeros((16, 20, 3), np.uint8)), [("left",)], mask)

    def masks(view, seed=0):
        batches = region_batches(Half(), IMAGENET, (8, 8), view=view, seed=seed, **OPTIONS | {"batch_size": 4})
        return next(batches).masks.flatten().tolist()

    assert masks(1) == masks(1) and masks(0) == masks(0, seed=5)
    assert len({str(masks(view)) for view in range(4)} | {str(masks(1, seed=9))}) == 5
