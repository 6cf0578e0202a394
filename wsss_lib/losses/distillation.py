"""The second term of sub-category exploration and teaching (SC-CAM, Chang et al., CVPR 2020; mva-wsss)."""

import torch.nn.functional as F
from torch import Tensor


def sub_category_loss(sub_logits: Tensor, sub_labels: Tensor, weight: float = 2.0) -> Tensor:
    """Mean binary cross-entropy of all sub-categories, times a weight; it joins that of the classes.

    Args:
        sub_logits: [B, S].
        sub_labels: [B, S], 0 or 1.
        weight: 2 in mva-wsss, 5 in SC-CAM.

    Returns:
        0-d tensor.

    Raises:
        ValueError: logits and labels differ in shape.

    >>> import torch
    >>> sub_category_loss(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]), weight=1.0)
    tensor(0.6931)
    """
    if sub_logits.shape != sub_labels.shape:
        raise ValueError(
            f"logits {[*sub_logits.shape]} and labels {[*sub_labels.shape]} of sub-categories differ in shape; build "
            "the network for as many sub-categories as the labels have columns"
        )
    return weight * F.multilabel_soft_margin_loss(sub_logits, sub_labels)
