"""Class activation maps (Zhou et al., CVPR 2016) and their normalization."""

import torch
from torch import Tensor


def class_score_maps(features: Tensor, head_weight: Tensor) -> Tensor:
    """Score of each class at each place: the linear head applied before the pooling.

    Their mean over the pixels is the logit of a network that ends in global average pooling and a head without bias.

    Args:
        features: last feature map, [B, C, h, w].
        head_weight: linear classifier weight, [K, C].

    Returns:
        Maps of either sign, [B, K, h, w], in logit units.
    """
    return torch.einsum("bchw,kc->bkhw", features, head_weight)


def class_activation_maps(features: Tensor, head_weight: Tensor) -> Tensor:
    """Weight feature channels by the classifier and keep what speaks for the class.

    Args:
        features: last feature map, [B, C, h, w].
        head_weight: linear classifier weight, [K, C].

    Returns:
        Non-negative maps, [B, K, h, w], in logit units (not normalized); differentiable in both arguments.

    >>> class_activation_maps(torch.ones(1, 2, 1, 1), torch.tensor([[1.0, 2.0], [-1.0, 0.0]])).flatten()
    tensor([3., 0.])
    """
    return class_score_maps(features, head_weight).relu()


def root_activation_maps(features: Tensor, head_weight: Tensor) -> Tensor:
    """Square root of the class activation maps, as PSA takes it for VGG-16 (Ahn and Kwak, CVPR 2018; authors' code).

    Shapes as in :func:`class_activation_maps`. The gradient is infinite where a map is zero.
    """
    return class_activation_maps(features, head_weight).sqrt()


def normalize_maps(maps: Tensor, eps: float = 1e-5) -> Tensor:
    """Divide each map by its own maximum (PSA section 3.1), so that its strongest pixel is 1 (just below, by eps).

    Args:
        maps: [..., h, w]; non-negative maps give values in [0, 1], a map of zeros stays zero.
        eps: guard added to the maximum, in units of the maps.

    >>> normalize_maps(torch.tensor([[[0.0, 2.0], [1.0, 4.0]]]), eps=0.0)
    tensor([[[0.0000, 0.5000], [0.2500, 1.0000]]])
    """
    return maps / (maps.amax((-2, -1), keepdim=True) + eps)


def min_max_normalize_maps(maps: Tensor, eps: float = 1e-5) -> Tensor:
    """Rectify each map and stretch it from its own minimum to its own maximum.

    ``relu(m - min - eps) / (max - min + eps)`` with ``m = relu(map)``, as in the authors' code of KTSE: a constant map
    and a map without a positive value become zero.

    Args:
        maps: [..., h, w], of either sign.
        eps: guard, in units of the maps.

    >>> min_max_normalize_maps(torch.tensor([[[-1.0, 1.0], [2.0, 4.0]]]), eps=0.0)
    tensor([[[0.0000, 0.2500], [0.5000, 1.0000]]])
    """
    positive = maps.relu()
    lowest, highest = positive.amin((-2, -1), keepdim=True), positive.amax((-2, -1), keepdim=True)
    return (positive - lowest - eps).relu() / (highest - lowest + eps)
