"""Image preprocessing of the sub-category seed."""

import numpy as np
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import (
    LongSideCrop,
    Squash,
    center_window,
    long_side_size,
    normalized,
    random_window,
    to_pixels,
)
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.golden_files import conforms

FIRST_CROP_SEED = 100  # as the file's description says
LONG_SIDES = 40, 90
LONG_SIDE_IMAGE_SEED = 3
TRAIN_SEED = 7


@conforms("mva_wsss/preprocessing")
def test_preprocessing(golden):
    image, size = Image.fromarray(golden["in_image"]), int(golden["in_size"])
    sample = Sample("", image, torch.zeros(0), None)

    golden.check("out_normalised", normalized(to_pixels(image), IMAGENET).permute(1, 2, 0))
    golden.check("out_hflip", to_pixels(image).flip(-1).permute(1, 2, 0))
    for number, crop in enumerate(golden.series("in_crop")):
        height, width = crop.shape[:2]
        window = random_window(height, width, size, Draws(FIRST_CROP_SEED + number))
        cut = window.cut(torch.from_numpy(crop).permute(2, 0, 1), 0)
        golden.check(f"out_crop_{number}", cut.permute(1, 2, 0))

    pixels = golden.tensor("out_normalised").permute(2, 0, 1)
    center = center_window(image.height, image.width, size).cut(pixels, 0)
    golden.check("out_center_crop", center.permute(1, 2, 0))

    sizes = [
        long_side_size((image.height, image.width), Draws(seed).randint(*LONG_SIDES))
        for seed in range(len(golden["out_resize_long_wh"]))
    ]
    golden.check("out_resize_long_wh", np.array(sizes)[:, ::-1])
    resized = image.resize(sizes[LONG_SIDE_IMAGE_SEED][::-1], Image.Resampling.BICUBIC)
    golden.check("out_resize_long_image", np.asarray(resized))

    golden.check("out_val", Squash(IMAGENET, size)(sample, Draws(0))[0])
    train = LongSideCrop(IMAGENET, crop=size, long_side=tuple(golden.params["train_resize"]))
    golden.check("out_train", train(sample, Draws(TRAIN_SEED))[0])
