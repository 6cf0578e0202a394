"""Accuracy of each group of a data set, the worst of them, and all (Sagawa et al., ICLR 2020), in percent."""

import numpy as np
import torch
from torch import Tensor


def group_accuracies(logits: Tensor, class_labels: Tensor, groups: Tensor, num_groups: int) -> np.ndarray:
    """Share of images of each group whose highest logit is the label, [num_groups]; NaN for a group without images.

    Args:
        logits: [N, K]; of equal ones the first counts.
        class_labels: [N, K], one of them 1.
        groups: int [N], in 0..num_groups - 1.
        num_groups: how many there are.

    Raises:
        ValueError: shapes that do not fit, or a group out of range.

    >>> logits, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), torch.tensor([[1, 0], [1, 0], [0, 1]])
    >>> group_accuracies(logits, labels, torch.tensor([0, 0, 1]), 2)
    array([ 50., 100.])
    """
    if logits.shape != class_labels.shape or logits.shape[:1] != groups.shape:
        raise ValueError(
            f"logits {list(logits.shape)}, labels {list(class_labels.shape)} and groups {list(groups.shape)} should be "
            "[N, K], [N, K] and [N]"
        )
    if len(groups) and not 0 <= int(groups.min()) <= int(groups.max()) < num_groups:
        raise ValueError(f"groups {int(groups.min())} to {int(groups.max())} are not in 0 to {num_groups - 1}")
    right = (logits.argmax(1) == class_labels.argmax(1)).double()
    counts = torch.bincount(groups, minlength=num_groups).numpy()
    hits = torch.bincount(groups, weights=right, minlength=num_groups).numpy()
    return np.divide(100 * hits, counts, out=np.full(num_groups, np.nan), where=counts > 0)
