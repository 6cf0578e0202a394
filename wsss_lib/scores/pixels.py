"""Scores of pixels that a confusion does not hold, or not directly: foreground only, and of the scores themselves."""

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from wsss_lib.scores.classification import average_precision


def foreground_accuracy(confusion: np.ndarray) -> float:
    """Share of the true foreground pixels that are right, percent; NaN without one.

    >>> foreground_accuracy(np.array([[9, 9], [1, 3]]))
    75.0
    """
    right, all_pixels = np.diagonal(confusion)[1:].sum(), confusion[1:].sum()
    return float(100.0 * right / all_pixels) if all_pixels else float("nan")


def pixel_average_precision(scores: Tensor | ArrayLike, masks: Tensor | ArrayLike, *, ignore: int = 255) -> np.ndarray:
    """Average precision of each image over all of its pixels and classes at once (micro average), percent.

    Args:
        scores: [B, K + 1, H, W], comparable between classes, for example after a softmax.
        masks: [B, H, W], 0 to K; ignored pixels are left out.

    Returns:
        [B]; NaN for an image without a mask.

    >>> pixel_average_precision([[[[0.9, 0.2]], [[0.1, 0.8]]]], [[[0, 1]]])
    array([100.])
    """
    scores, masks = np.asarray(scores), np.asarray(masks)
    if scores.shape[:1] + scores.shape[2:] != masks.shape:
        raise ValueError(f"scores {scores.shape} and masks {masks.shape} should be [B, K + 1, H, W] and [B, H, W]")
    values = []
    for of_image, mask in zip(scores, masks, strict=True):
        known = mask != ignore
        truth = np.arange(len(of_image))[:, None] == mask[known]  # [K + 1, pixels]
        values.append(average_precision(of_image[:, known].reshape(-1, 1), truth.reshape(-1, 1))[0])
    return np.array(values)


def class_accuracies(logits: Tensor | ArrayLike, class_labels: Tensor | ArrayLike) -> np.ndarray:
    """Share of images in which each class is decided rightly at ``logit > 0``, percent, [K].

    >>> class_accuracies([[1.0, -1.0], [2.0, 3.0]], [[1, 0], [0, 1]])
    array([ 50., 100.])
    """
    logits, class_labels = np.asarray(logits), np.asarray(class_labels)
    return 100.0 * ((logits > 0) == (class_labels > 0)).mean(0)
