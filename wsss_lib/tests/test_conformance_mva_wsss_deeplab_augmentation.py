"""Training sample of DeepLab."""

import numpy as np
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import RandomScaledCrop, WholeImage
from wsss_lib.networks.base import CAFFE
from wsss_lib.tests.golden_files import conforms


@conforms("mva_wsss/deeplab_augmentation")
def test_deeplab_augmentation(golden):
    image = Image.fromarray(np.ascontiguousarray(golden["in_image"][..., ::-1]))  # stored as BGR
    sample = Sample("", image, torch.zeros(0), golden["in_label"].astype(np.uint8))
    golden.check("out_val_image", WholeImage(CAFFE)(sample, Draws(0))[0])
    transform = RandomScaledCrop(CAFFE, golden.params["crop"], tuple(golden.params["scales"]))
    for number, seed in enumerate(golden.series("in_seed")):
        image, mask = transform(sample, Draws(int(seed)))
        golden.check(f"out_image_{number}", image)
        golden.check(f"out_label_{number}", mask)
