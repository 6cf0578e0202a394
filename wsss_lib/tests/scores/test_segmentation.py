import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.scores.segmentation import (
    class_iou,
    class_precision,
    class_recall,
    class_scores,
    confusion_matrix,
    frequency_weighted_iou,
    mean_iou,
    mean_precision,
    mean_recall,
    over_activation,
    pixel_accuracy,
    threshold_sweep,
    under_activation,
)

THRESHOLDS = np.linspace(0.05, 0.95, 20)


def random_labels(seed, shape, num_labels, ignored=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_labels, shape)
    predicted = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, num_labels, shape))
    return predicted, np.where(rng.random(shape) < ignored, 255, truth)


def random_maps(seed, num_images, num_classes, size):
    """Maps on a coarse grid of values, so that ties between classes and with thresholds occur."""
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.integers(0, 21, (num_images, num_classes, *size)) / 20).float()
    class_labels = torch.from_numpy(rng.random((num_images, num_classes)) < 0.5).float()
    masks = torch.from_numpy(random_labels(seed, (num_images, *size), num_classes + 1)[1])
    return maps, class_labels, masks


def counted_one_by_one(label_maps, masks, num_labels):
    confusion = np.zeros((num_labels, num_labels), np.int64)
    for predicted, truth in zip(np.ravel(label_maps).tolist(), np.ravel(masks).tolist(), strict=True):
        if truth != 255:
            confusion[truth, predicted] += 1
    return confusion


@pytest.mark.parametrize("seed, shape, num_labels", [(0, (3, 7, 5), 4), (1, (11, 13), 21), (2, (2, 1, 1), 2)])
def test_confusion_is_the_count_of_pairs(seed, shape, num_labels):
    predicted, truth = random_labels(seed, shape, num_labels)
    confusion = confusion_matrix(predicted.astype(np.uint8), truth.astype(np.uint8), num_labels)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, counted_one_by_one(predicted, truth, num_labels))


def test_confusion_and_iou_agree_with_torchmetrics():
    predicted, truth = random_labels(3, (4, 30, 40), 9)
    arguments = torch.from_numpy(predicted), torch.from_numpy(truth)
    confusion = confusion_matrix(*arguments, 9)
    oracle = multiclass_confusion_matrix(*arguments, num_classes=9, ignore_index=255)
    np.testing.assert_array_equal(confusion, oracle.numpy())
    iou = multiclass_jaccard_index(*arguments, num_classes=9, ignore_index=255, average="none")
    np.testing.assert_allclose(class_iou(confusion), 100 * iou.numpy(), rtol=1e-6)


def test_confusions_add_over_images():
    predicted, truth = random_labels(4, (5, 8, 8), 3)
    whole = confusion_matrix(predicted, truth, 3)
    np.testing.assert_array_equal(whole, sum(map(confusion_matrix, predicted, truth, [3] * 5)))


def test_labels_outside_the_list_are_errors():
    with pytest.raises(ValueError, match=r"masks hold the labels \[3, 9\]"):
        confusion_matrix([[0, 0, 0]], [[3, 9, 255]], 3)
    with pytest.raises(ValueError, match="masks hold the labels"):
        confusion_matrix([[0]], [[-1]], 3)
    with pytest.raises(ValueError, match="label maps hold the labels 0 to 255"):
        confusion_matrix([[0, 255]], [[0, 255]], 3)
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix([[0, 1]], [[0], [1]], 3)


@pytest.mark.parametrize(
    "seed, num_images, num_classes, size", [(0, 3, 4, (9, 12)), (1, 1, 20, (30, 20)), (2, 6, 1, (4, 4))]
)
def test_sweep_equals_one_threshold_at_a_time(seed, num_images, num_classes, size):
    maps, class_labels, masks = random_maps(seed, num_images, num_classes, size)
    class_labels[0] = 0  # an image without a class is background at every threshold
    confusions = threshold_sweep(maps, class_labels, masks, THRESHOLDS)
    for threshold, confusion in zip(THRESHOLDS, confusions, strict=True):
        label_maps = threshold_labels(maps, class_labels, threshold)
        np.testing.assert_array_equal(confusion, counted_one_by_one(label_maps, masks, num_classes + 1))


def test_sweep_of_one_image_in_any_precision_and_mask_type():
    maps, class_labels, masks = random_maps(5, 1, 3, (20, 10))
    expected = threshold_sweep(maps, class_labels, masks, [0.22, 0.52])
    for kind in (torch.float16, torch.float64):
        found = threshold_sweep(maps[0].to(kind), class_labels[0], masks[0].to(torch.uint8), [0.22, 0.52])
        np.testing.assert_array_equal(found, expected)


def test_sweep_does_not_read_maps_of_absent_classes():
    maps, class_labels, masks = random_maps(6, 2, 3, (8, 8))
    expected = threshold_sweep(maps, class_labels, masks, THRESHOLDS)
    maps[class_labels == 0] = torch.nan
    np.testing.assert_array_equal(threshold_sweep(maps, class_labels, masks, THRESHOLDS), expected)


def test_sweep_takes_more_than_255_thresholds():
    maps, class_labels, masks = random_maps(7, 2, 3, (6, 5))
    thresholds = np.linspace(0, 0.999, 300)
    confusions = threshold_sweep(maps, class_labels, masks, thresholds)
    for index in (0, 128, 256, 299):
        label_maps = threshold_labels(maps, class_labels, thresholds[index])
        np.testing.assert_array_equal(confusions[index], counted_one_by_one(label_maps, masks, 4))


def test_bad_sweeps_are_errors():
    maps, class_labels, masks = random_maps(8, 2, 3, (6, 5))
    with pytest.raises(ValueError, match="increasing"):
        threshold_sweep(maps, class_labels, masks, [0.5, 0.4])
    with pytest.raises(ValueError, match="increasing"):
        threshold_sweep(maps, class_labels, masks, [])
    with pytest.raises(ValueError, match="do not fit together"):
        threshold_sweep(maps, class_labels, masks[:, :3], [0.5])


def scores_in_loops(confusion):
    """Definition of each score from lists of pixels: (iou, precision, recall, over, under) of each label."""
    rows = []
    for label in range(len(confusion)):
        both = confusion[label, label]
        extra = sum(confusion[other, label] for other in range(len(confusion)) if other != label)
        missed = sum(confusion[label, other] for other in range(len(confusion)) if other != label)
        union = both + extra + missed
        parts = [(both, union), (both, both + extra), (both, both + missed), (extra, union), (missed, union)]
        rows.append([100 * part / whole if whole else np.nan for part, whole in parts])
    return np.array(rows)


@pytest.mark.parametrize("seed", range(3))
def test_class_scores_are_their_definitions(seed):
    confusion = np.random.default_rng(seed).integers(0, 50, (5, 5))
    confusion[3] = confusion[:, 3] = 0  # never seen
    confusion[4] = 0  # predicted, never true
    found = class_scores(confusion, ["background", "a", "b", "c", "d"])
    np.testing.assert_allclose(found.to_numpy(), scores_in_loops(confusion), rtol=1e-12)
    np.testing.assert_allclose(found["iou"], class_iou(confusion))
    with pytest.raises(ValueError, match="name background"):
        class_scores(confusion, ["a", "b", "c", "d"])


def test_iou_over_and_under_activation_add_up():
    confusion = np.random.default_rng(0).integers(1, 50, (3, 6, 6))
    total = class_iou(confusion) + over_activation(confusion) + under_activation(confusion)
    np.testing.assert_allclose(total, 100)


def test_mean_iou_by_hand():
    confusion = np.array([[6, 0, 2, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])  # label 2 predicted only, 3 never
    iou = [100 * 6 / 9, 75.0, 0.0]
    assert mean_iou(confusion) == pytest.approx(sum(iou) / 3)
    assert mean_iou(confusion, counted="true") == pytest.approx(sum(iou) / 2)
    assert mean_iou(confusion, counted="all") == pytest.approx(sum(iou) / 4)
    assert mean_iou(confusion, labels=[1, 2]) == pytest.approx(37.5)
    assert np.isnan(mean_iou(confusion, labels=[3]))
    assert isinstance(mean_iou(confusion), float)
    with pytest.raises(ValueError, match="seen"):
        mean_iou(confusion, counted="present")


def test_scores_of_a_stack_are_those_of_each():
    confusions = np.random.default_rng(1).integers(0, 9, (4, 3, 3))
    for score in (mean_iou, mean_precision, mean_recall, pixel_accuracy, frequency_weighted_iou):
        np.testing.assert_allclose(score(confusions), [score(confusion) for confusion in confusions])


def test_means_by_hand():
    confusion = np.array([[6, 2], [1, 1]])
    assert pixel_accuracy(confusion) == pytest.approx(70)
    assert mean_recall(confusion) == pytest.approx((75 + 50) / 2)
    assert mean_precision(confusion) == pytest.approx((600 / 7 + 100 / 3) / 2)
    assert mean_precision(confusion, labels=[1]) == pytest.approx(100 / 3)
    assert frequency_weighted_iou(confusion) == pytest.approx(0.8 * 600 / 9 + 0.2 * 25)
    np.testing.assert_allclose(class_precision(confusion), [600 / 7, 100 / 3])
    np.testing.assert_allclose(class_recall(confusion), [75, 50])


def test_an_empty_confusion_has_no_score():
    empty = np.zeros((3, 3), np.int64)
    assert np.isnan([mean_iou(empty), pixel_accuracy(empty), mean_recall(empty)]).all()
