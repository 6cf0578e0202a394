"""Maps, labels, scores and figures of the sub-category and mixing seed against its authors' code."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.data.transforms import image_pyramid
from wsss_lib.figures.overlays import add_overlay, jet_heat, voc_palette
from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.maps.cam import normalize_maps
from wsss_lib.maps.multiscale import map_pairs, strided_size, sum_aligned, sum_cropped
from wsss_lib.networks.base import IMAGENET
from wsss_lib.scores.classification import exact_match_accuracy
from wsss_lib.scores.segmentation import (
    class_iou,
    confusion_matrix,
    frequency_weighted_iou,
    mean_iou,
    mean_recall,
    pixel_accuracy,
)
from wsss_lib.tests.golden_files import conforms


def stand_in_pairs(golden, **resizing):
    """Map pairs of the classes present, from the stored one-convolution network."""
    weight, present = golden.tensor("in_weight"), golden["in_label"] > 0
    side = weight.shape[-1]
    pyramid = image_pyramid(Image.fromarray(golden["in_image"]), golden.params["scales"], IMAGENET, **resizing)

    def maps_of(images):
        return F.conv2d(images, weight, stride=side, padding=(side - 1) // 2).relu()

    return [pair[:, 0, present] for pair in map_pairs(maps_of, pyramid)]


@conforms("mva_wsss/cam_inference")
def test_cam_inference(golden):
    pairs = stand_in_pairs(golden, resample="lanczos", rounding="floor")
    size = golden["in_image"].shape[:2]
    golden.check("out_keys", golden["in_label"].nonzero()[0])
    strided, high_res = sum_aligned(pairs, strided_size(size, 4)), sum_cropped(pairs, size)
    golden.check("out_strided_unnormalised_sum", strided)
    golden.check("out_highres_unnormalised_sum", high_res)
    golden.check("out_strided", normalize_maps(strided))
    golden.check("out_highres", normalize_maps(high_res))


@conforms("mva_wsss/psa_cam_inference")
def test_psa_cam_inference(golden):
    pairs = stand_in_pairs(golden, resample="bicubic", rounding="round")
    present = golden["in_label"].nonzero()[0]
    maps = normalize_maps(sum_aligned(pairs, golden["in_image"].shape[:2]))
    golden.check("out_keys", present)
    golden.check("out_cam", maps)
    every = torch.zeros(1, len(golden["in_label"]), *maps.shape[1:])
    every[0, present] = maps
    golden.check("out_pred", threshold_labels(every, golden.tensor("in_label")[None], 0.2)[0])


@conforms("mva_wsss/cam_evaluation")
def test_cam_evaluation(golden):
    images = range(int(golden["in_n"]))
    masks = [np.where(golden[f"in_gt_{i}"] == 255, 0, golden[f"in_gt_{i}"]) for i in images]
    num_labels = 1 + max(max(golden[f"in_keys_{i}"].max() + 1, masks[i].max()) for i in images)
    total = np.zeros((num_labels, num_labels), np.int64)
    for image in images:
        maps, keys, mask = (golden.tensor(f"in_{name}_{image}") for name in ("cams", "keys", "gt"))
        every, class_labels = torch.zeros(1, num_labels - 1, *mask.shape), torch.zeros(1, num_labels - 1)
        every[0, keys], class_labels[0, keys] = maps, 1.0
        label_maps = threshold_labels(every, class_labels, float(golden["in_threshold"]))
        golden.check(f"out_pred_{image}", label_maps[0])
        total += confusion_matrix(label_maps[0], mask, num_labels)
    seen = len(golden["out_iou"])  # the authors' matrix ends at the highest label that occurs
    assert not total[seen:].any() and not total[:, seen:].any()
    golden.check("out_confusion", total[:seen, :seen])
    golden.check("out_iou", class_iou(total)[:seen] / 100)
    golden.check("out_miou", mean_iou(total) / 100)


@conforms("mva_wsss/segmentation_scores")
def test_segmentation_scores(golden):
    num_labels, masks = int(golden["in_n_class"]), golden["in_gt"]
    inside = (masks >= 0) & (masks < num_labels)
    confusion = confusion_matrix(golden["in_pred"], np.where(inside, masks, 255), num_labels)
    golden.check("out_pixel_acc", pixel_accuracy(confusion) / 100)
    golden.check("out_mean_acc", mean_recall(confusion) / 100)
    golden.check("out_fwiou", frequency_weighted_iou(confusion) / 100)
    golden.check("out_miou", mean_iou(confusion, counted="true") / 100)
    golden.check("out_class_iou", class_iou(confusion) / 100)


@conforms("mva_wsss/validation_accuracy")
def test_validation_accuracy(golden):
    logits, labels = golden.tensor("in_logits"), golden.tensor("in_labels")
    batches = zip(*(values.split(int(golden["in_batch_size"])) for values in (logits, labels)), strict=True)
    golden.check("out_val_loss", torch.stack([F.multilabel_soft_margin_loss(*batch) for batch in batches]).mean())
    golden.check("out_val_accuracy", exact_match_accuracy(logits, labels) / 100)


@conforms("mva_wsss/figure_helpers")
def test_figure_helpers(golden):
    palette = voc_palette(len(golden["out_colormap"]))
    heat = jet_heat(golden["in_cam"])
    golden.check("out_colormap", palette)
    golden.check("out_heat", heat)
    golden.check("out_overlay", add_overlay(golden["in_image"], heat))
    golden.check("out_label_rgb", palette[golden["in_label"]])
