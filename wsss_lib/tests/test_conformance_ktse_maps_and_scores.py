"""Maps and scores of the simulated inter-image erasing seed, stages 1 and 2, against its authors' code."""

import numpy as np
import torch

from wsss_lib.maps.cam import min_max_normalize_maps, normalize_maps
from wsss_lib.maps.multiscale import rectify_pairs, strided_size, sum_aligned, sum_cropped, sum_rectified
from wsss_lib.scores.segmentation import (
    class_iou,
    confusion_matrix,
    mean_iou,
    over_activation,
    threshold_sweep,
    under_activation,
)
from wsss_lib.tests.golden_files import conforms


def images_of(golden, case, num_labels):
    """Maps of all classes, class labels, mask (255 ignored) and label map of each image of a case."""
    for image in range(len([key for key in golden.arrays if key.startswith(f"in_{case}_gt_")])):
        keys, maps, mask = (golden[f"in_{case}_{name}_{image}"] for name in ("keys", "cam", "gt"))
        every, class_labels = np.zeros((num_labels - 1, *mask.shape), maps.dtype), np.zeros(num_labels - 1)
        every[keys], class_labels[keys] = maps, 1.0
        yield every, class_labels, np.where(mask < 0, 255, mask), golden[f"in_{case}_png_{image}"]


@conforms("ktse/ktse_msf_cam")
def test_multiscale_maps(golden):
    for case in golden.cases:
        present = golden[f"in_{case}_label"] > 0
        maps = [torch.from_numpy(array)[0, present] for array in golden.series(f"in_{case}_cam")]
        pairs = [torch.stack([a, b.flip(-1)]) for a, b in zip(maps[::2], maps[1::2], strict=True)]
        golden.check(f"out_{case}_keys", present.nonzero()[0])
        golden.check(f"out_{case}_cam", normalize_maps(sum_rectified(pairs, tuple(golden.params[case]["size"]))))


@conforms("ktse/irn_make_cam")
def test_cam_files_of_irn(golden):
    for case in golden.cases:
        present, size = golden[f"in_{case}_label"] > 0, tuple(golden.params[case]["size"])
        maps = [torch.from_numpy(array)[:, present] for array in golden.series(f"in_{case}_cam")]
        merged = rectify_pairs([torch.stack([plain, mirrored.flip(-1)]) for plain, mirrored in maps])
        golden.check(f"out_{case}_keys", present.nonzero()[0])
        golden.check(f"out_{case}_cam", normalize_maps(sum_aligned(merged, strided_size(size, 4))))
        golden.check(f"out_{case}_high_res", normalize_maps(sum_cropped(merged, size)))


@conforms("ktse/ktse_max_norm")
def test_min_max_normalization(golden):
    for case in golden.cases:
        golden.check(f"out_{case}_norm", min_max_normalize_maps(golden.tensor(f"in_{case}_cam")))


@conforms("ktse/ktse_cam_eval")
def test_cam_evaluation(golden):
    for case in golden.cases:
        sweep, labels, num_labels = 0, 0, len(golden[f"out_{case}_png_iou"]) - 1
        for maps, class_labels, mask, label_map in images_of(golden, case, num_labels):
            sweep = sweep + threshold_sweep(maps, class_labels, mask, golden[f"in_{case}_thresholds"])
            labels = labels + confusion_matrix(label_map, mask, num_labels)
        for key, confusions in (("cam_iou", sweep), ("png_iou", labels)):
            scores = [np.nan_to_num(class_iou(confusions)), np.expand_dims(mean_iou(confusions, counted="all"), -1)]
            golden.check(f"out_{case}_{key}", np.concatenate(scores, -1))


@conforms("ktse/irn_eval")
def test_evaluation_of_irn(golden):
    for case in golden.cases:
        cam, semantic, num_labels = 0, 0, len(golden[f"out_{case}_cam_iou"])
        for maps, class_labels, mask, label_map in images_of(golden, case, num_labels):
            cam = cam + threshold_sweep(maps, class_labels, mask, [golden.params[case]["cam_eval_thres"]])[0]
            semantic = semantic + confusion_matrix(np.where(label_map == 255, 0, label_map), mask, num_labels)
        for key, confusion in (("cam", cam), ("sem", semantic)):
            golden.check(f"out_{case}_{key}_iou", class_iou(confusion) / 100)
            golden.check(f"out_{case}_{key}_miou", mean_iou(confusion) / 100)
        background = [over_activation(semantic)[0], under_activation(semantic)[0]]
        golden.check(f"out_{case}_sem_fp_fn_bg", np.array(background) / 100)
