"""Maps of several image scales and mirror images, merged as each paper does it.

One pass of the network gives, for a scale, a *pair*: a tensor [2, ...] with the maps of the images and those of their
mirror images, the latter mirrored back. The merges below take one pair per scale and differ in three habits of the
authors' code: whether rectification comes before or after a sum, whether maps are stretched to whole blocks of pixels
and then cropped, and whether mirrored maps are cropped before they are mirrored back.
"""

import ctypes
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CPU_PIXELS = 128 * 128  # of the images in a batch; above it the mirror images get a pass of their own

MapFunction = Callable[[Tensor], Tensor]
Merge = Callable[[Sequence[Tensor], tuple[int, int]], Tensor]


def rescaled_images(images: Tensor, scales: Sequence[float]) -> list[Tensor]:
    """Bilinear copies of a whole batch of equally sized images, one per scale, sides rounded.

    Args:
        images: [B, 3, H, W].
        scales: factors above 0; 1 gives the images themselves.

    Returns:
        One tensor [B, 3, round(H s), round(W s)] per scale; smoothed before shrinking.
    """
    height, width = images.shape[-2:]
    sizes = [(max(1, round(height * scale)), max(1, round(width * scale))) for scale in scales]
    return [
        images
        if size == (height, width)
        else F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        for size in sizes
    ]


def map_pairs(maps_of: MapFunction, pyramid: Sequence[Tensor]) -> list[Tensor]:
    """Maps of every scale and its mirror image, mirrored back.

    Both come from one pass of the network, except for large batches on the CPU, where two passes are up to a tenth
    faster (measured: MobileNetV2 from 187 x 250 px on; smaller images are a fifth faster in one).

    Args:
        maps_of: images [N, 3, h, w] -> maps [N, K, h', w']; the network in evaluation mode.
        pyramid: images of each scale, [B, 3, h, w].

    Returns:
        One pair [2, B, K, h', w'] per scale.
    """
    pairs = []
    for images in pyramid:
        if images.device.type == "cpu" and images[:, 0].numel() > CPU_PIXELS:
            plain, mirrored = maps_of(images), maps_of(images.flip(-1))
        else:
            plain, mirrored = maps_of(torch.cat([images, images.flip(-1)])).chunk(2)
        pairs.append(torch.stack([plain, mirrored.flip(-1)]))
    return pairs


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def strided_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width at an output stride, rounded up.

    >>> strided_size((375, 500), 4)
    (94, 125)
    """
    return -(-size[0] // stride), -(-size[1] // stride)


def sum_aligned(pairs: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Sum of all maps, each resized to exactly ``size`` (PSA; the intended form of the sub-category seed).

    Args:
        pairs: per scale [2, N, h, w] (or [1, N, h, w]) non-negative maps.
        size: height and width of the result, px.

    Returns:
        [N, H, W], not normalized. Resizing is linear, so each pair is summed before it is resized.
    """
    return sum(_resize(pair.sum(0, keepdim=True), size)[0] for pair in pairs)


def sum_cropped(pairs: Sequence[Tensor], size: tuple[int, int], multiple: int = 16) -> Tensor:
    """Sum of maps that are stretched to whole blocks, then cropped to ``size``; mirrored ones before mirroring back.

    This is what the authors' code of IRN (single maps, [1, N, h, w]) and of the sub-category seed (pairs) does. It
    displaces the maps by up to ``multiple - 1`` px where a side is no multiple; :func:`sum_aligned` does not.

    Args and result as in :func:`sum_aligned`; ``multiple`` is the side of a block, px.
    """
    height, width = size
    blocks = tuple(side * multiple for side in strided_size(size, multiple))
    total = 0
    for pair in pairs:
        stretched = _resize(pair, blocks)[..., :height, :]
        total = total + stretched[0, ..., :width]
        if len(pair) == 2:
            total = total + stretched[1, ..., blocks[1] - width :]
    return total


def sum_rectified(pairs: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Sum of maps of either sign, each rectified after it was resized (authors' code of KTSE, stage 1).

    Args and result as in :func:`sum_aligned`.
    """
    return sum(_resize(pair, size).relu().sum(0) for pair in pairs)


def rectify_pairs(pairs: Sequence[Tensor]) -> list[Tensor]:
    """Rectified sum of each pair of maps of either sign, [1, N, h, w] per scale (authors' code of IRN).

    >>> rectify_pairs([torch.tensor([3.0, -2.0]).view(2, 1, 1, 1)])[0].flatten()
    tensor([1.])
    """
    return [pair.sum(0, keepdim=True).relu() for pair in pairs]


@torch.no_grad()
def multiscale_maps(
    maps_of: MapFunction,
    pyramid: Sequence[Tensor],
    class_labels: Tensor,
    size: tuple[int, int],
    merge: Merge = sum_aligned,
) -> Tensor:
    """Maps of a batch summed over scales and mirror images; only the classes present are resized.

    Args:
        maps_of: images [N, 3, h, w] -> maps [N, K, h', w']; the network in evaluation mode.
        pyramid: images of each scale, [B, 3, h, w], from :func:`rescaled_images` or an image pyramid made by PIL.
        class_labels: [B, K], positive where a class is present.
        size: height and width of the images at scale 1, px.
        merge: one of the sums of this file, or ``lambda pairs, size: sum_cropped(rectify_pairs(pairs), size)``.

    Returns:
        [B, K, H, W], not normalized; zero for absent classes.

    >>> maps = multiscale_maps(lambda images: images, [torch.ones(1, 2, 4, 4)], torch.tensor([[0, 1]]), (2, 2))
    >>> maps[0, 0].max().item(), maps[0, 1].max().item()
    (0.0, 2.0)
    """
    present = (class_labels > 0).to(pyramid[0].device)
    pairs = [pair[:, present] for pair in map_pairs(maps_of, pyramid)]  # [2, N, h, w], N = number of ones
    maps = pairs[0].new_zeros(*present.shape, *size)
    if present.any():
        maps[present] = merge(pairs, size)
    _return_free_memory()
    return maps


def _return_free_memory() -> None:
    """Hand freed memory back to the system, where the C library can (glibc).

    Photographs differ in size, and so do all tensors made from them; the holes that these leave on the heap cost 10 to
    15 MB a photograph otherwise, 20 GB after two splits.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
