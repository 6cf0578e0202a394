"""Max pooling turned round: relevance goes to the pixels that won (unrolled LRP, arXiv 2407.03009)."""

import torch
from torch import Tensor

FORMS = ("sum", "last")


def check_unpool(unpool: str) -> None:
    """Refuse a form of unpooling that does not exist."""
    if unpool not in FORMS:
        raise ValueError(f"unpool {unpool!r} is not known; choose sum (exact) or last (the authors' code)")


def overwritten_windows(indices: Tensor, num_pixels: int) -> Tensor:
    """Windows whose winning pixel wins a later window as well, in raster order.

    Args:
        indices: winning pixel of each window, [B, C, h, w], as ``max_pool2d`` returns it.
        num_pixels: of the pooled image, H W.

    Returns:
        Bool, [B, C, h, w].

    >>> overwritten_windows(torch.tensor([[[[1, 1, 3]]]]), 6)
    tensor([[[[ True, False, False]]]])
    """
    winners = indices.flatten(2)
    order = torch.arange(winners.shape[2], device=indices.device).expand_as(winners)
    last = order.new_zeros(*winners.shape[:2], num_pixels).scatter_reduce(2, winners, order, "amax")
    return (last.gather(2, winners) != order).view_as(indices)


def without_overwritten(relevance: Tensor, overwritten: Tensor) -> Tensor:
    """Relevance that the authors' unpooling keeps: zero for overwritten windows.

    Its gradient is that of their code, which hands every window what arrives at its pixel, the overwritten ones too.

    Args:
        relevance: [..., B, C, h, w].
        overwritten: bool [B, C, h, w], see :func:`overwritten_windows`.
    """
    with torch.no_grad():
        lost = relevance * overwritten
    return relevance - lost


def max_unpool(relevance: Tensor, indices: Tensor, size: tuple[int, int], unpool: str = "sum") -> Tensor:
    """Relevance of the windows to their winning pixels.

    Args:
        relevance: [..., B, C, h, w].
        indices: winning pixel of each window, [B, C, h, w].
        size: (H, W) of the pooled image.
        unpool: "sum" adds up where windows overlap, which is the gradient of max pooling and keeps the sum; "last"
            keeps the last window of a pixel in raster order, as the authors' code does.

    Returns:
        [..., B, C, H, W].

    >>> max_unpool(torch.ones(1, 1, 1, 2), torch.tensor([[[[1, 1]]]]), (1, 3)).flatten()
    tensor([0., 2., 0.])
    """
    check_unpool(unpool)
    height, width = size
    if unpool == "last":
        relevance = without_overwritten(relevance, overwritten_windows(indices, height * width))
    places = indices.flatten(2).expand(*relevance.shape[:-2], -1)
    image = relevance.new_zeros(*relevance.shape[:-2], height * width)
    return image.scatter_add(-1, places, relevance.flatten(-2)).unflatten(-1, (height, width))
