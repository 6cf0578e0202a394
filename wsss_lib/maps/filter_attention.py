"""What a filter looks at: the features of an image weighted by where one filter fires (Yang et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

METHODS = ("original", "image", "activation", "attention")
FORMS = ("official", "paper")


def attended_features(
    features: Tensor, filters: Tensor, thresholds: Tensor, *, method: str = "attention", form: str = "official"
) -> Tensor:
    """Features of each image reweighted by one of its filters.

    ``original`` leaves them as they are; ``activation`` keeps the places where the filter exceeds its threshold;
    ``attention`` (the paper's filter attention, ``projection`` in its code) multiplies every channel F_k at each place
    by F_u / ||F_u|| (``official``), or as a whole by cos(F_u, F_k) (``paper``). A filter that never fires gives zeros.

    Args:
        features: [B, C, h, w].
        filters: filter u of each image, int64 [B].
        thresholds: threshold T_u of each image's filter, [B] (``activation`` only).

    Returns:
        [B, C, h, w], the input of the pooling.

    Raises:
        ValueError: an unknown method or form; ``image`` masks images, see :func:`masked_images`.
    """
    if method == "original":
        return features
    maps = features[torch.arange(len(features)), filters][:, None]  # [B, 1, h, w]
    if method == "activation":
        return features * (maps > thresholds[:, None, None, None])
    _check(method, form)
    directions = maps / norm(maps)
    if form == "official":
        return features * directions
    cosines = (features / norm(features) * directions).sum((2, 3), keepdim=True)
    return features * cosines


def pooled_attention(features: Tensor, filters: Tensor | None = None, *, form: str = "official") -> Tensor:
    """Average-pooled filter attention of many filters at once, from the products of pairs of channels.

    Args:
        features: [B, C, h, w].
        filters: filters of each image, int64 [B, U]; all C of them by default.

    Returns:
        [B, U, C]: row u holds the pooled features as filter u sees them.
    """
    _check("attention", form)
    flat = features.flatten(2)
    norms = flat.norm(dim=2, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
    chosen = (slice(None),) if filters is None else (torch.arange(len(flat))[:, None], filters)
    products = flat[chosen] @ flat.transpose(1, 2) / norms[chosen]  # [B, u, k]
    if form == "official":
        return products / flat.shape[2]
    return products / norms.transpose(1, 2) * flat.mean(2)[:, None]


def masked_images(images: Tensor, maps: Tensor, thresholds: Tensor) -> Tensor:
    """Images kept only where a filter, enlarged to the image, exceeds its threshold (``image`` masking).

    Elsewhere the normalized image becomes 0, the mean colour of the weights' training images.

    Args:
        images: normalized, [B, 3, H, W].
        maps: of the filter, [B, h, w].
        thresholds: [B].
    """
    return images * regions_of(maps, thresholds, tuple(images.shape[2:]))[:, None]


def regions_of(maps: Tensor, thresholds: Tensor, size: tuple[int, int]) -> Tensor:
    """Where a filter fires: its map enlarged (bilinear) to ``size`` exceeds the threshold; bool [B, H, W]."""
    enlarged = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return enlarged > thresholds[:, None, None]


def norm(maps: Tensor) -> Tensor:
    """Length of each map over its positions, [..., 1, 1]; never 0."""
    return maps.flatten(-2).norm(dim=-1)[..., None, None].clamp(min=torch.finfo(maps.dtype).tiny)


def _check(method: str, form: str) -> None:
    if method != "attention" or form not in FORMS:
        raise ValueError(
            f"method {method!r} with form {form!r}: choose one of {', '.join(METHODS)} and {' or '.join(FORMS)}; "
            "for image masking see masked_images"
        )
