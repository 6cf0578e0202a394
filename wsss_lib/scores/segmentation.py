"""Scores of label maps against masks, all from one confusion matrix over the whole data set.

Confusions are int64 [K + 1, K + 1], row truth, column prediction; add those of images or batches. The scores accept
stacks [..., K + 1, K + 1] as well (a threshold sweep) and are in percent.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

Counted = Literal["seen", "true", "all"]


def _array(values: Tensor | ArrayLike) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    return np.asarray(values)


def _truth_rows(masks: np.ndarray, num_labels: int, ignore: int) -> np.ndarray:
    """Row of the confusion of each pixel; ignored pixels go to one row more, ``num_labels``."""
    outside = ((masks < 0) | (masks >= num_labels)) & (masks != ignore)
    if outside.any():
        raise ValueError(
            f"masks hold the labels {np.unique(masks[outside]).tolist()[:10]}, which are neither 0 to {num_labels - 1} "
            f"nor {ignore} (ignored); check the class list or map them to {ignore}"
        )
    return np.minimum(np.where(masks == ignore, num_labels, masks), num_labels).astype(np.intp)


def confusion_matrix(
    label_maps: Tensor | ArrayLike, masks: Tensor | ArrayLike, num_labels: int, *, ignore: int = 255
) -> np.ndarray:
    """Count the pixels of each pair of true and predicted label.

    Args:
        label_maps: predicted labels in 0..num_labels - 1, any shape.
        masks: true labels, same shape; pixels of value ``ignore`` are left out.
        num_labels: number of classes and background, K + 1.

    >>> confusion_matrix([[0, 1], [1, 1]], [[0, 0], [1, 255]], 2)
    array([[1, 1],
           [0, 1]])
    """
    label_maps, masks = _array(label_maps), _array(masks)
    if label_maps.shape != masks.shape:
        raise ValueError(f"label maps have shape {label_maps.shape}, masks {masks.shape}; resize the maps to the masks")
    if label_maps.size and not 0 <= label_maps.min() <= label_maps.max() < num_labels:
        raise ValueError(
            f"label maps hold the labels {label_maps.min()} to {label_maps.max()}, not 0 to {num_labels - 1}; "
            "give pixels without a prediction a label (background, say) before scoring"
        )
    codes = _truth_rows(masks, num_labels, ignore) * num_labels + label_maps
    counts = np.bincount(codes.ravel(), minlength=(num_labels + 1) * num_labels)
    return counts.reshape(num_labels + 1, num_labels)[:num_labels]


def _best_label(maps: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest map of one image among the classes present, and its label; the first class wins a tie."""
    labels = np.full(maps.shape[1:], present[0] + 1, np.uint8)
    scores = maps[present[0]].copy()
    for channel in present[1:]:
        higher = maps[channel] > scores
        np.maximum(labels, higher.view(np.uint8) * np.uint8(channel + 1), out=labels)
        np.maximum(scores, maps[channel], out=scores)
    return scores, labels


def threshold_sweep(
    normalized_maps: Tensor | ArrayLike,
    class_labels: Tensor | ArrayLike,
    masks: Tensor | ArrayLike,
    thresholds: Sequence[float],
    *,
    ignore: int = 255,
) -> np.ndarray:
    """Confusion at every background score from one pass over the maps.

    Equals ``confusion_matrix(threshold_labels(maps, class_labels, t), masks, K + 1)`` for each threshold t: the best
    class and its score do not depend on t, so one histogram over (truth, thresholds exceeded, best class) holds all.

    Args:
        normalized_maps: [B, K, H, W], or [K, H, W] of one image.
        class_labels: [B, K] or [K], positive where a class is present; maps of absent classes are not read.
        masks: [B, H, W] or [H, W], pixels of value ``ignore`` are left out.
        thresholds: background scores, increasing; a pixel is foreground where its best map exceeds the score.

    Returns:
        int64 [T, K + 1, K + 1].

    >>> threshold_sweep([[[0.2, 0.6]]], [1], [[0, 1]], [0.1, 0.5]).tolist()
    [[[0, 1], [0, 1]], [[1, 0], [0, 1]]]
    """
    maps, present, masks = _array(normalized_maps), _array(class_labels) > 0, _array(masks)
    if maps.ndim == 3:
        maps, present, masks = maps[None], present[None], masks[None]
    num_images, num_classes = present.shape
    if maps.shape != (num_images, num_classes, *masks.shape[1:]) or len(masks) != num_images:
        raise ValueError(
            f"maps {maps.shape}, class labels {present.shape} and masks {masks.shape} do not fit together; "
            "expected [B, K, H, W], [B, K] and [B, H, W]"
        )
    limits = np.asarray(thresholds, maps.dtype)
    if limits.ndim != 1 or not limits.size or (np.diff(limits) <= 0).any():
        raise ValueError(f"thresholds must be a list of increasing numbers, got {list(thresholds)}")

    num_labels, num_levels = num_classes + 1, len(limits) + 1
    codes = _truth_rows(masks, num_labels, ignore) * (num_levels * num_labels)  # [B, H, W]
    for image, channels in enumerate(present):
        if channels.any():
            scores, labels = _best_label(maps[image], np.flatnonzero(channels))
            exceeded = np.zeros(scores.shape, np.min_scalar_type(num_levels))
            for limit in limits:
                exceeded += (scores > limit).view(np.uint8)
            codes[image] += exceeded * np.intp(num_labels) + labels
    counts = np.bincount(codes.ravel(), minlength=(num_labels + 1) * num_levels * num_labels)
    counts = counts.reshape(num_labels + 1, num_levels, num_labels)[:num_labels]

    # a pixel is foreground at threshold i where it exceeds more than i thresholds
    foreground = counts[:, ::-1].cumsum(1)[:, ::-1][:, 1:].transpose(1, 0, 2).copy()  # [T, truth, label]
    foreground[..., 0] = counts.sum((1, 2)) - foreground.sum(2)
    return foreground


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(100.0 * part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _parts(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correct, true and predicted pixels of each label, each [..., K + 1]."""
    confusion = np.asarray(confusion)
    return np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2)


def _plain(values: np.ndarray) -> np.ndarray | float:
    return values if values.ndim else float(values)


def _mean(values: np.ndarray, counted: np.ndarray, labels: Sequence[int] | None) -> np.ndarray | float:
    if labels is not None:
        chosen = np.zeros(values.shape[-1], bool)
        chosen[list(labels)] = True
        counted = counted & chosen
    return _plain(_percent(np.where(counted, np.nan_to_num(values), 0.0).sum(-1), counted.sum(-1)) / 100)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each label, [..., K + 1]; NaN where a label is in neither truth nor prediction.

    >>> class_iou(np.array([[1, 1], [0, 2]]))
    array([50.        , 66.66666667])
    """
    correct, true, predicted = _parts(confusion)
    return _percent(correct, true + predicted - correct)


def mean_iou(
    confusion: np.ndarray, *, counted: Counted = "seen", labels: Sequence[int] | None = None
) -> np.ndarray | float:
    """Mean of the class IoU; the papers differ only in what they do with labels that do not occur.

    Args:
        confusion: [..., K + 1, K + 1].
        counted: ``seen``: labels in truth or prediction (IRN and the sub-category seed: a class that is predicted but
            never true counts as 0); ``true``: labels in the truth (SC-CAM, deeplab-pytorch); ``all``: every label, one
            that never occurs counts as 0 (KTSE).
        labels: rows of the confusion to average, 0 is background; all by default.

    Returns:
        Percent, one value per confusion; NaN where no label counts.

    >>> confusion = np.array([[2, 0, 2], [0, 0, 0], [0, 0, 0]])
    >>> [round(mean_iou(confusion, counted=counted), 2) for counted in ("seen", "true", "all")]
    [25.0, 50.0, 16.67]
    """
    correct, true, predicted = _parts(confusion)
    occurring = {"seen": true + predicted > 0, "true": true > 0, "all": np.ones_like(true, bool)}
    if counted not in occurring:
        raise ValueError(f"counted is {counted!r}; choose one of {list(occurring)}")
    return _mean(_percent(correct, true + predicted - correct), occurring[counted], labels)


def class_precision(confusion: np.ndarray) -> np.ndarray:
    """Share of the pixels given a label that truly have it, [..., K + 1]; NaN where it was never given."""
    correct, _, predicted = _parts(confusion)
    return _percent(correct, predicted)


def class_recall(confusion: np.ndarray) -> np.ndarray:
    """Share of the true pixels of a label that were found (class accuracy), [..., K + 1]; NaN where there are none."""
    correct, true, _ = _parts(confusion)
    return _percent(correct, true)


def over_activation(confusion: np.ndarray) -> np.ndarray:
    """False positives in the union of truth and prediction, [..., K + 1] (FP of IRN's evaluation).

    Class IoU, over-activation and under-activation add up to 100.
    """
    correct, true, predicted = _parts(confusion)
    return _percent(predicted - correct, true + predicted - correct)


def under_activation(confusion: np.ndarray) -> np.ndarray:
    """False negatives in the union of truth and prediction, [..., K + 1] (FN of IRN's evaluation)."""
    correct, true, predicted = _parts(confusion)
    return _percent(true - correct, true + predicted - correct)


def mean_precision(confusion: np.ndarray, *, labels: Sequence[int] | None = None) -> np.ndarray | float:
    """Mean class precision over the labels that were given at least once."""
    return _mean(class_precision(confusion), _parts(confusion)[2] > 0, labels)


def mean_recall(confusion: np.ndarray, *, labels: Sequence[int] | None = None) -> np.ndarray | float:
    """Mean class recall (mean accuracy) over the labels in the truth."""
    return _mean(class_recall(confusion), _parts(confusion)[1] > 0, labels)


def pixel_accuracy(confusion: np.ndarray) -> np.ndarray | float:
    """Share of all pixels that are right."""
    correct, true, _ = _parts(confusion)
    return _plain(_percent(correct.sum(-1), true.sum(-1)))


def frequency_weighted_iou(confusion: np.ndarray) -> np.ndarray | float:
    """Class IoU weighted by the share of each label in the truth."""
    iou, true = np.nan_to_num(class_iou(confusion)), _parts(confusion)[1]
    return _plain((_percent(true, true.sum(-1, keepdims=True)) * iou).sum(-1) / 100)


def class_scores(confusion: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """One row per label: IoU, precision, recall, over- and under-activation in percent.

    Args:
        confusion: [K + 1, K + 1].
        names: of all labels, background first.
    """
    if np.shape(confusion) != (len(names), len(names)):
        raise ValueError(f"{len(names)} names for a confusion of shape {np.shape(confusion)}; name background as well")
    columns = {
        "iou": class_iou(confusion),
        "precision": class_precision(confusion),
        "recall": class_recall(confusion),
        "over_activation": over_activation(confusion),
        "under_activation": under_activation(confusion),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="class"))
