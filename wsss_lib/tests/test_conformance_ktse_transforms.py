"""Training transform of KTSE, stage 1, without the flip."""

import numpy as np
from PIL import Image

from wsss_lib.data.batch import Draws
from wsss_lib.data.transforms import long_side_size, normalized, random_window, to_pixels
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.golden_files import conforms


@conforms("ktse/ktse_transforms")
def test_ktse_transforms(golden):
    for case in golden.cases:
        params, image = golden.params[case], Image.fromarray(golden[f"in_{case}_img"])
        rng = Draws(params["python_random_seed"])
        long_side = rng.randint(params["min_long"], params["max_long"])
        assert long_side == params["target_long"]
        size = long_side_size((image.height, image.width), long_side)
        resized = image.resize(size[::-1], Image.Resampling.BICUBIC)
        golden.check(f"out_{case}_resized", np.asarray(resized))
        window = random_window(*size, params["crop"], rng)
        golden.check(f"out_{case}_crop", window.cut(normalized(to_pixels(resized), IMAGENET), 0))
