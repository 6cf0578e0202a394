"""Pseudo labels by a constant background score (PSA, SC-CAM, IRN, KTSE)."""

import torch
from torch import Tensor


def threshold_labels(normalized_maps: Tensor, class_labels: Tensor, background_score: float) -> Tensor:
    """The class with the highest map where that exceeds the background score, else background.

    Args:
        normalized_maps: [B, K, H, W], in [0, 1].
        class_labels: [B, K], positive where a class is present; absent classes are never given.
        background_score: score of background; a tie with it goes to background, a tie among classes to the first.

    Returns:
        label_maps, int64 [B, H, W]: 0 background, map channel k is label k + 1.

    >>> maps = torch.tensor([0.2, 0.3, 0.9]).view(1, 3, 1, 1)
    >>> threshold_labels(maps, torch.tensor([[1, 1, 0]]), 0.25).item()
    2
    >>> threshold_labels(maps, torch.tensor([[1, 1, 0]]), 0.3).item()
    0
    """
    absent = (class_labels <= 0).to(normalized_maps.device)[..., None, None]
    best_score, best_class = normalized_maps.masked_fill(absent, -torch.inf).max(1)
    return torch.where(best_score > background_score, best_class + 1, 0)
