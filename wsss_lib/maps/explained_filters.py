"""Embeddings of filters: what an explainer makes of an image as one filter sees it."""

import torch
from torch import Tensor

from wsss_lib.maps.filter_attention import attended_features, masked_images, pooled_attention
from wsss_lib.networks.filter_explainer import FilterExplainer


@torch.no_grad()
def filter_embeddings(
    explainer: FilterExplainer,
    images: Tensor,
    features: Tensor,
    pairs: Tensor,
    thresholds: Tensor,
    *,
    method: str = "attention",
    form: str = "official",
    batch_size: int = 64,
) -> Tensor:
    """Word vector of every pair of a filter and an image.

    Args:
        explainer: in evaluation mode.
        images: normalized, [M, 3, H, W]; read by the method ``image`` only.
        features: of the layer, [M, C, h, w].
        pairs: filter and image, int64 [P, 2].
        thresholds: of all filters, [C].
        method, form: see :func:`wsss_lib.maps.filter_attention.attended_features`; ``image`` masks the image and runs
            the network again.
        batch_size: pairs at once.

    Returns:
        [P, E].

    Raises:
        ValueError: no pair, since no filter fires on any image.
    """
    if not len(pairs):
        raise ValueError("none of these filters fires on any image: ask for other filters, or show more images")
    found = []
    for filters, places in (part.T for part in pairs.split(batch_size)):
        of_image, limits = features[places], thresholds[filters]
        if method == "image":
            maps = of_image[torch.arange(len(places)), filters]
            seen = explainer.features(masked_images(images[places], maps, limits))
        elif method == "attention" and explainer.pooling == "average":  # the reweighted features are never made
            seen = pooled_attention(of_image, filters[:, None], form=form)[:, 0]
        else:
            seen = attended_features(of_image, filters, limits, method=method, form=form)
        found.append(explainer(seen))
    return torch.cat(found)
