"""Cross-entropy on pseudo labels of one's own maps, and the inter-class term (KTSE, ECCV 2024, stage 1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255


def background_cross_entropy(logits: Tensor, label_maps: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels labelled background; arguments as in :func:`self_training_loss`."""
    return _cross_entropy_of(logits, label_maps, label_maps == 0)


def foreground_cross_entropy(logits: Tensor, label_maps: Tensor, images: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the pixels labelled foreground, of some images (bool [B]) or of all."""
    counted = (label_maps > 0) & (label_maps != IGNORE)
    return _cross_entropy_of(logits, label_maps, counted if images is None else counted & images[:, None, None])


def self_training_loss(
    logits: Tensor, label_maps: Tensor, *, foreground_weight: float = 0.0125, images: Tensor | None = None
) -> Tensor:
    """Background and, with a small weight, foreground, each a mean over its own pixels.

    Departs from the authors' code where there is no such pixel: the term is 0 there instead of NaN.

    Args:
        logits: of background and classes, [B, K + 1, H, W].
        label_maps: int64 [B, H, W], 0 background, 1..K, 255 ignored.
        foreground_weight: 0.0125 in the authors' code, 1 in the formula of the paper.
        images: bool [B], images whose foreground counts; in single images those of one class, in pairs all (None).

    >>> logits, labels = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    >>> self_training_loss(logits, labels, foreground_weight=1.0) / torch.log(torch.tensor(2.0))
    tensor(2.)
    """
    foreground = foreground_cross_entropy(logits, label_maps, images)
    return background_cross_entropy(logits, label_maps) + foreground_weight * foreground


def inter_class_loss(
    logits: Tensor, foreground: Tensor, class_labels: Tensor, *, threshold: float = 0.2, eps: float = 1e-5
) -> Tensor:
    """In images of several classes, the second best class of a foreground pixel should be far below the best.

    Args:
        logits: of background and classes, rectified, [B, K + 1, H, W]; the best class gets no gradient.
        foreground: the highest normalized map of the classes present, [B, 1, H, W].
        class_labels: [B, K]; images with fewer than two classes do not count.
        threshold: pixels whose foreground is above it count.
        eps: guard of their number.

    Returns:
        Mean of second best minus best, 0 or negative, in logit units; 0 where no pixel counts.

    >>> logits = torch.tensor([9.0, 3.0, 1.0]).view(1, 3, 1, 1)
    >>> inter_class_loss(logits, torch.ones(1, 1, 1, 1), torch.ones(1, 2), eps=0.0)
    tensor(-2.)
    """
    classes = logits[:, 1:]
    best = classes.amax(1, keepdim=True)
    second = classes.masked_fill(classes == best, 0).amax(1, keepdim=True)
    several = (class_labels > 0).sum(1) > 1
    counted = (foreground > threshold) & several[:, None, None, None]
    return torch.where(counted, second - best.detach(), 0.0).sum() / (counted.sum() + eps)


def rectified_logits(segmentation_logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits as KTSE compares them with labels: negative ones are 0 and get no gradient; bilinear, [B, K + 1, H, W]."""
    return F.interpolate(segmentation_logits.relu(), tuple(size), mode="bilinear", align_corners=False)


def single_image_terms(
    segmentation_logits: Tensor,
    label_maps: Tensor,
    foreground: Tensor,
    class_labels: Tensor,
    *,
    segmentation_weight: float = 1.0,
    foreground_weight: float = 0.0125,
    inter_class_weight: float = 0.005,
) -> dict[str, Tensor]:
    """Cross-entropy, with the foreground of images of one class only, and the inter-class term, with their weights.

    Args:
        segmentation_logits: of either sign, [B, K + 1, h, w].
        others: as above; the inter-class weight stands for itself.
    """
    logits = rectified_logits(segmentation_logits, label_maps.shape[1:])
    single = (class_labels > 0).sum(1) == 1
    loss = self_training_loss(logits, label_maps, foreground_weight=foreground_weight, images=single)
    inter_class = inter_class_loss(logits, foreground, class_labels)
    return {"segmentation": segmentation_weight * loss, "inter_class": inter_class_weight * inter_class}


def pair_terms(
    segmentation_logits: Tensor,
    label_maps: Tensor,
    *,
    segmentation_weight: float = 1.0,
    foreground_weight: float = 0.0125,
) -> dict[str, Tensor]:
    """Cross-entropy of concatenated pairs, with the foreground of all of them; arguments as above."""
    logits = rectified_logits(segmentation_logits, label_maps.shape[1:])
    loss = self_training_loss(logits, label_maps, foreground_weight=foreground_weight)
    return {"pair_segmentation": segmentation_weight * loss}


def _cross_entropy_of(logits: Tensor, label_maps: Tensor, counted: Tensor) -> Tensor:
    """Mean over the pixels counted, bool [B, H, W]; 0 if there is none."""
    labels = torch.where(counted, label_maps, IGNORE)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    return total / counted.sum().clamp(min=1)
