"""Speed of sub-category labels."""

import numpy as np
import torch

from wsss_lib.labels.sub_categories import sub_category_labels
from wsss_lib.tests.bench import benchmark

CLUSTERS = 10
#: images of train_aug that have a class, VOC order: 16,458 pairs in 10,582 images
IMAGES_OF_CLASS = (
    *(590, 504, 705, 468, 714, 393, 1150, 1005, 1228, 267),
    *(613, 1188, 445, 492, 4155, 522, 300, 649, 503, 567),
)
NUM_IMAGES = 10_582


@benchmark("SC-CAM sub-category label list, 16,458 pairs", ratio=110, seconds=0.05)
def label_list():
    """The authors go through the list of (image, class) pairs by name, and look for all others of each name."""
    generator = np.random.default_rng(0)
    clusters = torch.full((NUM_IMAGES, len(IMAGES_OF_CLASS)), -1)
    for k, number in enumerate(IMAGES_OF_CLASS):
        images = generator.permutation(NUM_IMAGES)[:number]
        clusters[images, k] = torch.from_numpy(np.arange(number) % CLUSTERS)
    pairs = (clusters.T >= 0).nonzero()
    names = [f"2007_{image:06d}" for _, image in pairs.tolist()]
    columns = [k * CLUSTERS + int(clusters[image, k]) for k, image in pairs.tolist()]

    def slow():
        labels = np.zeros((NUM_IMAGES, len(IMAGES_OF_CLASS) * CLUSTERS), np.float32)
        merged = set()
        for name in names:
            if name not in merged:
                same = [place for place, other in enumerate(names) if other == name]
                merged.add(name)
                labels[int(name[5:]), [columns[place] for place in same]] = 1
        return labels

    return slow, lambda: sub_category_labels(clusters).labels
