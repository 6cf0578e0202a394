"""Losses that guide explanations into boxes (Rao et al., ICCV 2023).

Each takes the attribution map of one class per image and the boxes of that class. ``reduction="sum"`` is the authors'
code: it adds up the images, so the weight of the term depends on the batch size and on the share of annotated images;
"mean" is the paper's, per image. No image at all costs nothing, and value and gradient are finite for an empty mask
and for a map of zeros.

How the maps are prepared differs; see :data:`LOCALIZATION_LOSSES`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Reduction = Literal["sum", "mean", "none"]


def _reduced(per_image: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return per_image
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction {reduction!r} is not known; choose sum (authors' code), mean or none")
    return per_image.sum() / (max(len(per_image), 1) if reduction == "mean" else 1)


def _checked(attributions: Tensor, box_masks: Tensor) -> Tensor:
    """The masks in the number type of the maps."""
    if attributions.ndim != 3 or attributions.shape != box_masks.shape:
        raise ValueError(
            f"attributions {list(attributions.shape)} and box masks {list(box_masks.shape)} should both be [N, H, W]: "
            "one class per image, maps resized to the masks"
        )
    return box_masks.to(attributions.dtype)


def energy_loss(attributions: Tensor, box_masks: Tensor, *, reduction: Reduction = "sum", eps: float = 1e-7) -> Tensor:
    """Share of the positive attribution that lies outside the boxes: 1 - energy pointing game (paper, "Energy").

    Args:
        attributions: [N, H, W], of either sign and any scale.
        box_masks: [N, H, W], 1 or True inside the boxes.
        reduction: over the images.
        eps: below this sum of positive values a map is not divided by it (authors' code); its gradient stays finite.

    >>> energy_loss(torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]]), torch.tensor([[[True, False], [False, False]]]))
    tensor(0.2500)
    """
    masks = _checked(attributions, box_masks)
    positive = attributions.clamp(min=0)
    inside, total = (positive * masks).sum((1, 2)), positive.sum((1, 2))
    return _reduced(1 - inside / torch.where(total < eps, 1.0, total), reduction)


def l1_loss(attributions: Tensor, box_masks: Tensor, *, reduction: Reduction = "sum") -> Tensor:
    """Mean distance per pixel between map and mask: asks for a map that fills the boxes (paper, "L1").

    Args:
        attributions: [N, H, W] in [0, 1].
        box_masks: [N, H, W], 1 or True inside the boxes.
        reduction: over the images.

    >>> l1_loss(torch.tensor([[[0.75, 0.25]]]), torch.tensor([[[True, False]]]))
    tensor(0.2500)
    """
    masks = _checked(attributions, box_masks)
    return _reduced((attributions - masks).abs().mean((1, 2)), reduction)


def ppce_loss(
    attributions: Tensor, box_masks: Tensor, *, reduction: Reduction = "sum", lowest: float = -100.0
) -> Tensor:
    """Mean of -log(map) over the pixels inside the boxes, per-pixel cross-entropy (paper, "PPCE").

    What lies outside costs nothing. Departs from the authors' code: an image with an empty mask costs nothing, where
    theirs is NaN, and a pixel that is exactly 0 does not pull, where theirs pulls by 1e12.

    Args:
        attributions: [N, H, W] in [0, 1].
        box_masks: [N, H, W], 1 or True inside the boxes.
        reduction: over the images.
        lowest: bound of the logarithm.

    >>> ppce_loss(torch.tensor([[[0.5, 0.0]]]), torch.tensor([[[True, False]]]))
    tensor(0.6931)
    """
    masks = _checked(attributions, box_masks)
    logarithm = torch.where(attributions > 0, attributions, 1.0).log().clamp(min=lowest)
    logarithm = torch.where(attributions > 0, logarithm, lowest)
    return _reduced(-(masks * logarithm).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1), reduction)


def rrr_loss(attributions: Tensor, box_masks: Tensor, *, reduction: Reduction = "sum") -> Tensor:
    """Sum of the squared map outside the boxes (paper, "RRR*": right for the right reasons, on the attributions).

    A sum over the pixels, not a mean: at 224 px it is of the order of thousands, and its weight accordingly small.

    Args:
        attributions: [N, H, W] in [-1, 1].
        box_masks: [N, H, W], 1 or True inside the boxes.
        reduction: over the images.

    >>> rrr_loss(torch.tensor([[[0.5, -0.5]]]), torch.tensor([[[True, False]]]))
    tensor(0.2500)
    """
    masks = _checked(attributions, box_masks)
    return _reduced(((1 - masks) * attributions.square()).sum((1, 2)), reduction)


class LocalizationLoss(NamedTuple):
    """A loss and the maps it takes: negative values set to 0 or not, divided by the largest absolute value or not."""

    function: Callable[..., Tensor]
    only_positive: bool
    divide_by_maximum: bool


#: name in the paper -> loss and preparation of its maps, as in the authors' code
LOCALIZATION_LOSSES = {
    "Energy": LocalizationLoss(energy_loss, only_positive=False, divide_by_maximum=False),
    "L1": LocalizationLoss(l1_loss, only_positive=True, divide_by_maximum=True),
    "PPCE": LocalizationLoss(ppce_loss, only_positive=True, divide_by_maximum=True),
    "RRR": LocalizationLoss(rrr_loss, only_positive=False, divide_by_maximum=True),
}
