"""Uncertainty terms of Mixup-CAM (Chang et al., BMVC 2020): entropy of the prediction, concentration of the maps."""

import torch
from torch import Tensor


def entropy_loss(logits: Tensor, eps: float = 1e-5) -> Tensor:
    """Mean binary entropy of the predicted probabilities, in nats; small where the network is sure of itself.

    With mixed images the authors' code hands the *labels* to it, as if they were logits: a constant, which teaches
    nothing.

    Args:
        logits: [B, K].
        eps: guard inside both logarithms.

    >>> round(entropy_loss(torch.zeros(2, 3), eps=0.0).item(), 4)  # log 2
    0.6931
    """
    probabilities = logits.float().sigmoid()
    others = 1 - probabilities
    return -(probabilities * (probabilities + eps).log() + others * (others + eps).log()).mean()


def concentration_loss(maps: Tensor, class_labels: Tensor, eps: float = 1e-3) -> Tensor:
    """Spatial variance of the maps of the classes present, summed over classes, mean over images.

    Linear in the labels, so that the loss of mixed labels is the mix of the losses. The gradient flows through the
    center of a map as well. Departs from the authors' code where a map is not square: there rows and columns are
    swapped, and such maps fail.

    Args:
        maps: non-negative, [B, K, h, w]. The paper takes them as they are, the authors' code ``maps.softmax(1)``, the
            share of each class at a place.
        class_labels: [B, K], weight of each map, in [0, 1].
        eps: added to every pixel before a map is divided by its sum, in units of the maps.

    >>> two_corners = torch.eye(2)[None, None]
    >>> concentration_loss(two_corners, torch.ones(1, 1), eps=0.0)  # coordinates are -1 and 0, both ways
    tensor(0.5000)
    """
    present = (class_labels > 0).flatten().nonzero().squeeze(1)  # [P]
    weights = class_labels.flatten()[present]
    _, variances = spatial_moments(maps.flatten(0, 1).index_select(0, present), eps)
    return (weights * variances.sum(1)).sum() / len(maps)


def spatial_moments(maps: Tensor, eps: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Center and variance of each map, as a distribution over its pixels.

    Coordinates run from -1 (left, top) in steps of 2 / w and 2 / h, so that the last pixel lies just below 1.

    Args:
        maps: non-negative, [P, h, w].
        eps: see :func:`concentration_loss`.

    Returns:
        Centers and variances, [P, 2] each: horizontal, vertical.
    """
    maps = maps.float() + eps
    moments = []
    for marginal in (maps.sum(1), maps.sum(2)):  # over columns [P, w], over rows [P, h]
        positions = torch.arange(marginal.shape[1], device=maps.device) / marginal.shape[1] * 2 - 1
        shares = marginal / marginal.sum(1, keepdim=True)
        centers = (shares * positions).sum(1, keepdim=True)
        moments.append((centers.squeeze(1), (shares * (positions - centers).square()).sum(1)))
    centers, variances = (torch.stack(both, 1) for both in zip(*moments, strict=True))
    return centers, variances
