"""Class maps that were trained as segmentation logits, turned into scores of pixels (arXiv 2407.03009)."""

import torch
from torch import Tensor


def mask_scores(maps: Tensor, present: Tensor | None = None) -> Tensor:
    """Probability of each class at each pixel: softmax over the channels.

    Args:
        maps: logits of the pixels, [B, K + 1, H, W], channel 0 is background.
        present: bool [B, K]: classes that an image may have, by its label or :func:`predicted_classes`; None, as in
            the authors' code, allows all of them.

    >>> mask_scores(torch.zeros(1, 4, 1, 1), torch.tensor([[True, False, False]])).flatten()
    tensor([0.5000, 0.5000, 0.0000, 0.0000])
    """
    if present is not None:
        absent = torch.cat([torch.zeros_like(present[:, :1], dtype=torch.bool), ~present.bool()], 1)
        maps = maps.masked_fill(absent[:, :, None, None], float("-inf"))
    return maps.softmax(1)


def predicted_classes(logits: Tensor, threshold: float = 0.5) -> Tensor:
    """Classes whose probability exceeds a threshold, bool of the shape of the logits.

    >>> predicted_classes(torch.tensor([0.0, 0.1]))
    tensor([False,  True])
    """
    return logits.sigmoid() > threshold
