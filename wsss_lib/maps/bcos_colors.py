"""Explanations of B-cos networks in the colors of the image (Boehle et al., CVPR 2022, section 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def colored_explanation(images: Tensor, weights: Tensor, *, smooth: int = 0, percentile: float = 99.5) -> Tensor:
    """Color: what the linear map looks for at each pixel; opacity: how strongly, where it speaks for the class.

    Args:
        images: six-channel encoding, [B, 6, H, W].
        weights: linear map of the network for each image (:func:`wsss_lib.maps.gradients.dynamic_weights`), same shape.
        smooth: side of the window that the opacity is averaged over, px and odd; 0 does not (B-cos v2: 15).
        percentile: of the opacity of an image that becomes 1.

    Returns:
        RGB and opacity in [0, 1], [B, H, W, 4].
    """
    if images.shape != weights.shape or images.shape[1] != 6:
        raise ValueError(
            f"images {list(images.shape)} and weights {list(weights.shape)} should both be [B, 6, H, W], as "
            "dynamic_weights returns them"
        )
    if smooth and smooth % 2 == 0:
        raise ValueError(f"smooth={smooth} should be odd, so that the window has a middle")
    contribution = (images * weights).sum(1)
    relative = weights / (weights.abs().amax(1, keepdim=True) + 1e-12)
    relative = relative.clamp(min=0)
    color, inverse = relative[:, :3], relative[:, 3:]
    color = color / (color + inverse + 1e-12)
    opacity = weights.norm(dim=1)
    opacity = torch.where(contribution < 0, 1e-12, opacity)[:, None]
    if smooth:
        opacity = F.avg_pool2d(opacity, smooth, stride=1, padding=smooth // 2)
    highest = torch.quantile(opacity.flatten(1), percentile / 100, dim=1).view(-1, 1, 1, 1)
    return torch.cat([color, (opacity / highest).clamp(0, 1)], 1).permute(0, 2, 3, 1)
