"""Speed of the scores."""

import numpy as np

from wsss_lib.scores.segmentation import threshold_sweep
from wsss_lib.tests.bench import benchmark

THRESHOLDS = np.linspace(0.05, 0.95, 20)


def counts_at(label_map: np.ndarray, mask: np.ndarray, num_labels: int) -> np.ndarray:
    """True, predicted and correct pixels of each label, counted label by label."""
    known = mask != 255
    counts = np.zeros((num_labels, 3), np.int64)
    for label in range(num_labels):
        true, predicted = (mask == label) & known, (label_map == label) & known
        counts[label] = true.sum(), predicted.sum(), (true & predicted).sum()
    return counts


@benchmark("threshold sweep, 375 x 500 px, 3 of 20 classes", ratio=10, seconds=0.02)
def sweep_of_a_photograph():
    rng = np.random.default_rng(0)
    maps = np.zeros((20, 375, 500), np.float32)
    class_labels = np.zeros(20)
    present = [3, 8, 14]
    maps[present], class_labels[present] = rng.random((3, 375, 500)), 1.0
    mask = rng.choice([0, 4, 9, 15, 255], (375, 500)).astype(np.uint8)
    labels = np.array([0, *(channel + 1 for channel in present)])

    def slow():
        sweep = []
        for threshold in THRESHOLDS:
            scores = np.concatenate([np.full((1, 375, 500), threshold, np.float32), maps[present]])
            sweep.append(counts_at(labels[scores.argmax(0)], mask, 21))
        return np.stack(sweep)

    def fast():
        confusions = threshold_sweep(maps, class_labels, mask, THRESHOLDS)
        return np.stack([confusions.sum(2), confusions.sum(1), confusions.diagonal(axis1=1, axis2=2)], 2)

    return slow, fast
