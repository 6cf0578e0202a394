"""Loss of networks that learn from few masks and many image labels at once (arXiv 2407.03009)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.losses.segmentation import multi_scale_cross_entropy

FORMS = ("official", "paper")


def mask_loss(maps: Tensor, masks: Tensor, *, ignore: int = 255) -> Tensor:
    """Cross-entropy of the softmax over the classes, mean over all pixels of the batch that are not ignored.

    An image without a mask is ignored everywhere; a batch of such images adds 0 (NaN in the authors' code).

    Args:
        maps: [B, K + 1, H, W].
        masks: int64 [B, H, W].

    >>> mask_loss(torch.zeros(1, 4, 1, 2), torch.tensor([[[3, 255]]])).exp()
    tensor(4.)
    """
    if maps.shape[-2:] != masks.shape[-2:]:
        raise ValueError(f"maps are {[*maps.shape[-2:]]} px, masks {[*masks.shape[-2:]]}; resize the maps to the masks")
    return multi_scale_cross_entropy([maps], masks, ignore=ignore)


def label_loss(logits: Tensor, class_labels: Tensor, *, batch_size: int, form: str = "official") -> Tensor:
    """Binary cross-entropies of the foreground logits.

    Args:
        logits: [B, K + 1], channel 0 is background and is not trained by this term.
        class_labels: [B, K].
        batch_size: that of the training, which the authors' term is multiplied with.
        form: "official": ``batch_size`` times the mean over images and K + 1 classes, of which background adds nothing;
            "paper": the mean over images and K classes.

    Raises:
        ValueError: an unknown form, or shapes that do not fit.

    >>> label_loss(torch.zeros(2, 4), torch.ones(2, 3), batch_size=4) / torch.log(torch.tensor(2.0))
    tensor(3.)
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is not known; choose one of {', '.join(FORMS)}")
    if logits.shape[1] != class_labels.shape[1] + 1:
        raise ValueError(
            f"{logits.shape[1]} logits for {class_labels.shape[1]} classes; there should be one more, for background"
        )
    loss = F.multilabel_soft_margin_loss(logits[:, 1:], class_labels.to(logits.dtype))
    return loss if form == "paper" else loss * batch_size * (class_labels.shape[1] / logits.shape[1])


def visible_labels(masks: Tensor, class_labels: Tensor, *, ignore: int = 255) -> Tensor:
    """Image labels after cropping: of what the mask still shows where there is a mask, else those of the whole image.

    Args:
        masks: int64 [B, H, W]; ignored everywhere where there is no mask.
        class_labels: [B, K].

    >>> visible_labels(torch.tensor([[[0, 2, 255]], [[255, 255, 255]]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    num_classes = class_labels.shape[1]
    flat = torch.where(masks == ignore, num_classes + 1, masks).flatten(1)
    seen = torch.zeros(len(masks), num_classes + 2, dtype=torch.bool, device=masks.device)
    seen = seen.scatter(1, flat, True)
    has_mask = seen[:, :-1].any(1, keepdim=True)
    return torch.where(has_mask, seen[:, 1:-1].to(class_labels.dtype), class_labels)
