import numpy as np
import pytest

from wsss_lib.scores.pixels import class_accuracies, foreground_accuracy, pixel_average_precision
from wsss_lib.scores.segmentation import confusion_matrix


def slow_average_precision(scores, truth):
    """Of distinct scores: precision wherever a true one is retrieved, averaged."""
    order = sorted(range(len(scores)), key=lambda item: -scores[item])
    hits, precisions = 0, []
    for rank, item in enumerate(order, start=1):
        if truth[item]:
            hits += 1
            precisions.append(hits / rank)
    return 100 * sum(precisions) / len(precisions)


def test_average_precision_over_pixels_and_classes():
    rng = np.random.default_rng(0)
    scores, masks = rng.permutation(2 * 3 * 30).reshape(2, 3, 5, 6) / 180, rng.choice([0, 1, 2, 255], (2, 5, 6))
    expected = []
    for of_image, mask in zip(scores, masks, strict=True):
        pairs = [
            (of_image[k, y, x], mask[y, x] == k)
            for k in range(3)
            for y, x in np.argwhere(mask != 255)
        ]  # fmt: skip
        expected.append(slow_average_precision(*zip(*pairs, strict=True)))
    np.testing.assert_allclose(pixel_average_precision(scores, masks), expected)


def test_an_image_without_a_mask_has_no_average_precision():
    values = pixel_average_precision(np.random.rand(2, 3, 2, 2), [[[0, 1], [2, 0]], [[255, 255], [255, 255]]])
    assert np.isnan(values).tolist() == [False, True]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"should be \[B, K \+ 1, H, W\]"):
        pixel_average_precision(np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 2)))


def test_foreground_accuracy_counts_true_objects_only():
    rng = np.random.default_rng(1)
    predicted, masks = rng.integers(3, size=(9, 9)), rng.choice([0, 1, 2, 255], (9, 9))
    object_pixels = (masks != 0) & (masks != 255)
    expected = 100 * (predicted == masks)[object_pixels].mean()
    assert foreground_accuracy(confusion_matrix(predicted, masks, 3)) == pytest.approx(expected)
    assert np.isnan(foreground_accuracy(np.diag([5, 0])))


def test_class_accuracies_count_both_decisions():
    assert class_accuracies([[1.0, -1.0], [-1.0, -1.0], [2.0, 0.0]], [[1, 1], [1, 0], [1, 1]]) == pytest.approx(
        [200 / 3, 100 / 3]
    )
