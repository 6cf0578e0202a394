"""Speed of DeepLab's loss."""

import numpy as np
import torch
from PIL import Image

from wsss_lib.losses.segmentation import resize_labels
from wsss_lib.tests.bench import benchmark

SIZES = ((41, 41), (21, 21), (31, 31), (41, 41))  # logits of 321 px at stride 8: whole, half, three quarters, maximum


@benchmark("labels of a DeepLab step, 5 crops of 321 px to 4 sizes", ratio=1.5)
def labels_of_a_step():
    masks = torch.from_numpy(np.random.default_rng(0).integers(0, 21, (5, 321, 321)))

    def slow():
        resized = []
        for height, width in SIZES:
            labels = []
            for mask in masks:
                picture = Image.fromarray(mask.float().numpy())
                labels.append(np.asarray(picture.resize((width, height), resample=Image.Resampling.NEAREST)))
            resized.append(torch.from_numpy(np.stack(labels)).long())
        return np.concatenate([labels.flatten() for labels in resized])

    def fast():
        return np.concatenate([resize_labels(masks, size).flatten() for size in SIZES])

    return slow, fast
