"""Scores of multi-label image classification, in percent."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor


def _arrays(logits: Tensor | ArrayLike, class_labels: Tensor | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = (
        values.detach().float().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        for values in (logits, class_labels)
    )
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"logits {scores.shape} and class labels {labels.shape} must both be [N, K]")
    return scores, labels > 0


def multilabel_f1(
    logits: Tensor | ArrayLike,
    class_labels: Tensor | ArrayLike,
    *,
    average: Literal["macro", "micro"] = "macro",
    threshold: float = 0.0,
) -> float:
    """F1 of the predictions ``logit >= threshold``.

    Args:
        logits: [N, K] over the whole data set.
        class_labels: [N, K], positive where a class is present.
        average: ``macro``: mean of the classes that are present or predicted at least once; ``micro``: F1 of the counts
            of all classes together.
        threshold: in units of the logits; 0 is probability 1/2 after a sigmoid.

    >>> round(multilabel_f1([[1.0, -1.0], [2.0, 3.0]], [[1, 0], [0, 1]]), 2)
    83.33
    >>> multilabel_f1([[1.0, -1.0], [2.0, 3.0]], [[1, 0], [0, 1]], average="micro")
    80.0
    """
    if average not in ("macro", "micro"):
        raise ValueError(f"average is {average!r}; choose 'macro' or 'micro'")
    scores, present = _arrays(logits, class_labels)
    predicted = scores >= threshold
    right, occurring = (predicted & present).sum(0), predicted.sum(0) + present.sum(0)  # TP; 2 TP + FP + FN
    if average == "micro":
        right, occurring = right.sum(keepdims=True), occurring.sum(keepdims=True)
    used = occurring > 0
    return float((200.0 * right[used] / occurring[used]).mean()) if used.any() else float("nan")


def average_precision(logits: Tensor | ArrayLike, class_labels: Tensor | ArrayLike) -> np.ndarray:
    """Average precision of each class, [K]: precision at the score of each positive image, averaged over these.

    Images of equal score are retrieved together. NaN for a class without a positive image. Shapes as in
    :func:`multilabel_f1`.

    >>> average_precision([[0.9], [0.8], [0.7]], [[1], [0], [1]])
    array([83.33333333])
    """
    values = []
    for scores, present in zip(*(array.T for array in _arrays(logits, class_labels)), strict=True):
        positives, ranked = np.sort(scores[present]), np.sort(scores)
        retrieved = len(ranked) - np.searchsorted(ranked, positives)
        right = len(positives) - np.searchsorted(positives, positives)
        values.append(100.0 * (right / retrieved).mean() if len(positives) else np.nan)
    return np.array(values)


def mean_average_precision(logits: Tensor | ArrayLike, class_labels: Tensor | ArrayLike) -> float:
    """Mean of :func:`average_precision` over the classes with a positive image; warns which classes are left out."""
    values = average_precision(logits, class_labels)
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        warnings.warn(
            f"mean average precision leaves out {len(missing)} of {len(values)} classes, which no image has: "
            f"{missing.tolist()}",
            stacklevel=2,
        )
    return float(np.nanmean(values)) if len(missing) < len(values) else float("nan")


def exact_match_accuracy(logits: Tensor | ArrayLike, class_labels: Tensor | ArrayLike) -> float:
    """Share of images with every class right at ``logit > 0`` (subset accuracy; the seed's validation score).

    >>> exact_match_accuracy([[1.0, -1.0], [2.0, 3.0]], [[1, 0], [0, 1]])
    50.0
    """
    scores, present = _arrays(logits, class_labels)
    return float(100.0 * ((scores > 0) == present).all(1).mean())
