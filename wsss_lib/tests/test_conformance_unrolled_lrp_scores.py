"""Loss, scores and colors against the authors' code."""

import numpy as np
import torch

from wsss_lib.figures.signed_maps import label_colors, signed_colors
from wsss_lib.labels.mask_scores import mask_scores, predicted_classes
from wsss_lib.losses.mask_and_label import label_loss, mask_loss
from wsss_lib.scores.classification import exact_match_accuracy
from wsss_lib.scores.pixels import class_accuracies, foreground_accuracy, pixel_average_precision
from wsss_lib.scores.segmentation import class_iou, confusion_matrix, mean_iou
from wsss_lib.tests.golden_files import conforms

IGNORE = 255


def masks_of(target):
    """Our masks: what has no label (-1 for the authors) is ignored."""
    return np.where(target == -1, IGNORE, target)


def with_unlabelled_row(maps, target):
    """Confusion with one row more, of the pixels without a label, whose predictions the authors count as wrong."""
    num_labels = maps.shape[-3]
    target = np.where(target == -1, num_labels, target)
    return confusion_matrix(maps.argmax(-3), target, num_labels + 1)


@conforms("unrolled_lrp/loss_total")
def test_loss_total(golden):
    params = golden.params
    logits, maps = (golden.tensor(key).requires_grad_() for key in ("in_logits", "in_heatmaps"))
    masks = torch.from_numpy(masks_of(golden["in_seg_target"]))
    class_labels = golden.tensor("in_class_target")[:, 1:].float()
    seg = params["alpha"] * mask_loss(maps, masks)
    cls = params["beta"] * label_loss(logits, class_labels, batch_size=params["batch_size"])
    for key, value in {"total": seg + cls, "seg": seg, "cls": cls, "total_noclass": seg, "seg_noclass": seg}.items():
        golden.check(f"out_{key}", value)
    assert not golden["out_cls_noclass"]
    golden.check("out_cls_raw", cls / params["beta"] / params["batch_size"])
    (seg + cls).backward()
    golden.check("out_grad_logits", logits.grad, atol=1e-9)
    golden.check("out_grad_heatmaps", maps.grad, atol=1e-9)


@conforms("unrolled_lrp/infer_mask_scores")
def test_infer_mask_scores(golden):
    logits, maps = golden.tensor("in_logits"), golden.tensor("in_heatmaps")
    golden.check("out_mask_scores", mask_scores(maps))
    golden.check("out_adjusted", maps)  # the authors' adjustment leaves the maps as they are
    golden.check("out_class_pred", predicted_classes(logits, golden.params["class_thresh"]))


@conforms("unrolled_lrp/metric_iou")
def test_metric_iou(golden):
    confusions = [with_unlabelled_row(*pair) for pair in zip(golden["in_maps"], golden["in_target"], strict=True)]
    num_labels = golden.params["K"]
    confusions = np.stack(confusions)
    right, true, predicted = (
        counts[:, :num_labels]
        for counts in (confusions.diagonal(axis1=1, axis2=2), confusions.sum(2), confusions.sum(1))
    )
    golden.check("out_intersection", right)
    golden.check("out_area_target", true)
    golden.check("out_union", true + predicted - right)
    golden.check("out_iou", class_iou(confusions.sum(0))[:num_labels] / 100)
    golden.check("out_miou", mean_iou(confusions.sum(0), labels=range(num_labels), counted="all") / 100)


@conforms("unrolled_lrp/metric_pixel")
def test_metric_pixel(golden):
    scores, masks = golden["in_scores"], masks_of(golden["in_target"])
    by_image = pixel_average_precision(scores, masks)
    golden.check("out_ap_per_image", by_image / 100)
    golden.check("out_ap", by_image.mean() / 100)
    golden.check("out_ap_count", len(by_image))
    confusion = confusion_matrix(scores.argmax(1), masks, scores.shape[1])
    golden.check("out_pix_acc", foreground_accuracy(confusion) / 100)
    golden.check("out_pix_count", confusion[1:].sum())


@conforms("unrolled_lrp/metric_classification")
def test_metric_classification(golden):
    logits, labels = golden["in_logits"], golden["in_labels"]
    golden.check("out_match_number", round(exact_match_accuracy(logits, labels) * len(logits) / 100))
    golden.check("out_class_correct", (class_accuracies(logits, labels) * len(logits) / 100).round())


@conforms("unrolled_lrp/metric_running")
def test_metric_running(golden):
    maps, target = golden["in_maps"], golden["in_target"]
    num_labels = maps.shape[2]
    confusion = sum(with_unlabelled_row(*pair) for pair in zip(maps, target, strict=True))
    golden.check("out_iou", class_iou(confusion)[:num_labels] / 100)
    golden.check("out_miou", mean_iou(confusion, labels=range(num_labels), counted="all") / 100)
    golden.check("out_pixel_acc", foreground_accuracy(confusion[:num_labels]) / 100)
    scores = mask_scores(golden.tensor("in_maps").flatten(0, 1))
    by_image = pixel_average_precision(scores, masks_of(target).reshape(scores[:, 0].shape))
    golden.check("out_ap", by_image.mean() / 100)
    logits, labels = (golden[key].reshape(-1, num_labels) for key in ("in_logits", "in_labels"))
    assert exact_match_accuracy(logits, labels) == 100 * golden["out_match_ratio"]
    golden.check("out_class_acc", class_accuracies(logits, labels) / 100)
    golden.check("out_avg_class_acc", class_accuracies(logits, labels).mean() / 100)


@conforms("unrolled_lrp/plot_color")
def test_plot_color(golden):
    golden.check("out_heatmap_rgb", signed_colors(golden["in_heatmap"]))
    golden.check("out_labels_rgb", label_colors(golden["in_labels"]), atol=0)
