"""Simulated erasing of KTSE (ECCV 2024, stage 1): what a second look at an image, or at a pair of them, should find.

Two images are shown to the network as one (simulated inter-image erasing): the more striking one draws its attention,
as if the other had been erased, so what single images say of themselves is taught to the pair. And where the found
parts of an image are erased in earnest, the whole image should show what the rest of it then shows, and both maps
should have the same mean (alignment).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def erase(images: Tensor, foreground: Tensor, threshold: float) -> Tensor:
    """Images without what their maps found: 0, the mean color, where the foreground reaches the threshold.

    Args:
        images: normalized, [B, 3, H, W].
        foreground: highest normalized map of the classes present, [B, 1, H, W] (``maps.foreground``).
        threshold: in (0, 1]; 0.6 in the authors' code.
    """
    return images * (foreground < threshold)


def local_alignment_loss(
    maps: Tensor, erased_maps: Tensor, kept: Tensor, class_labels: Tensor, *, margin: float = 0.05
) -> Tensor:
    """Where nothing was erased, the erased image should not score higher than the whole one.

    Args:
        maps, erased_maps: raw and of either sign, [B, K, h, w].
        kept: bool [B, 1, h, w], places below the threshold of :func:`erase`, at the size of the maps.
        class_labels: [B, K]; absent classes add 0 to the mean over B, K, h and w.
        margin: by how much it may, in units of the maps; the formula of the paper has none.
    """
    excess = (erased_maps * kept - maps * kept - margin).relu()
    return (excess * class_labels[..., None, None]).mean()


def global_alignment_loss(maps: Tensor, erased_maps: Tensor, class_labels: Tensor) -> Tensor:
    """Difference between the mean of each rectified map before and after erasing, for classes present; [B, K, h, w].

    >>> maps = torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)
    >>> global_alignment_loss(maps, -maps, torch.tensor([[1.0, 0.0]]))
    tensor(1.)
    """
    before, after = (of.relu().mean((2, 3)) for of in (maps, erased_maps))
    return (class_labels * (before - after)).abs().mean()


def alignment_terms(
    maps: Tensor,
    erased_maps: Tensor,
    kept: Tensor,
    class_labels: Tensor,
    *,
    local_weight: float = 1.0,
    global_weight: float = 1.0,
    margin: float = 0.05,
) -> dict[str, Tensor]:
    """Both alignments with their weights; arguments as above."""
    local = local_alignment_loss(maps, erased_maps, kept, class_labels, margin=margin)
    return {
        "local": local_weight * local,
        "global": global_weight * global_alignment_loss(maps, erased_maps, class_labels),
    }


def concatenate_pairs(first: Tensor, second: Tensor, num_pairs: int | None = None) -> Tensor:
    """The second of each pair below the first: images, maps or label maps [B, ..., H, W] to [N, ..., 2 H, W].

    Args:
        num_pairs: only the first ones; None takes all.

    >>> concatenate_pairs(torch.zeros(3, 2, 4, 5), torch.ones(3, 2, 4, 5), num_pairs=2).shape
    torch.Size([2, 2, 8, 5])
    """
    return torch.cat([first[:num_pairs], second[:num_pairs]], -2)


def knowledge_transfer_loss(
    maps: Tensor, pair_maps: Tensor, class_labels: Tensor | None = None, *, margin: float = 0.05
) -> Tensor:
    """Wherever a single image finds something, the concatenated pair should find it too.

    Args:
        maps: of single images, one below the other (:func:`concatenate_pairs`), [N, K, 2 h, w]; get a gradient too.
        pair_maps: of the concatenated images, [N, K, h', w]. Their height may differ from that of the two together by
            rounding, where the side of an image is no multiple of the output stride; they are then resized.
        class_labels: of the pairs, [N, K]; None counts all classes, as the formula of the paper does.
        margin: by how much the pair may fall short, in units of the maps; the formula of the paper has none.
    """
    if pair_maps.shape[-2:] != maps.shape[-2:]:
        pair_maps = F.interpolate(pair_maps, maps.shape[-2:], mode="bilinear", align_corners=False)
    missing = (maps - pair_maps - margin).relu()
    return (missing if class_labels is None else missing * class_labels[..., None, None]).mean()
