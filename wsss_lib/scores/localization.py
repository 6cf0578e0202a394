"""How well attribution maps fall into boxes: energy pointing game and IoU (Rao et al., ICCV 2023; Wang et al., 2020).

Both take pairs of one image and one class present in it, whole batches of them, and give one value per pair in
percent; the score of a data set is their mean over all pairs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

PIECE = 2**17  # pixels that are scored at once on the CPU: they stay in its cache


def _in_pieces(attributions: Tensor, box_masks: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Maps without their graph and boolean masks, both [n, P]: all at once on a GPU, few at a time on the CPU."""
    if attributions.ndim != 3 or attributions.shape != box_masks.shape:
        raise ValueError(
            f"attributions {list(attributions.shape)} and box masks {list(box_masks.shape)} should both be [N, H, W]: "
            "one pair of image and class each, maps resized to the masks"
        )
    maps, masks = attributions.detach().flatten(1), box_masks.bool().flatten(1)
    rows = max(1, PIECE // max(1, maps.shape[1])) if maps.device.type == "cpu" else max(1, len(maps))
    yield from zip(maps.split(rows), masks.split(rows), strict=True)


def _counts(flags: Tensor) -> Tensor:
    """How many are true in each row of [N, P]; as bytes, which is twice as fast as a sum of booleans."""
    return flags.view(torch.uint8).sum(1, dtype=torch.int32)


def energy_pointing_game(
    attributions: Tensor, box_masks: Tensor, *, eps: float = 1e-7, undefined: float = 0.0
) -> Tensor:
    """Share of the positive attribution that lies inside the boxes, in percent (EPG; ``BB-Loc`` in the authors' code).

    Args:
        attributions: [N, H, W], of either sign and any scale.
        box_masks: [N, H, W], True inside any box of the class.
        eps: a map whose positive values add up to less has no share.
        undefined: value of such a map; 0 as in the authors' mean, NaN to leave it out (``nanmean``).

    Returns:
        float [N].

    >>> energy_pointing_game(torch.tensor([[[3.0, 1.0], [-2.0, 0.0]]]), torch.tensor([[[True, False], [False, False]]]))
    tensor([75.])
    """
    shares = []
    for maps, masks in _in_pieces(attributions, box_masks):
        positive = maps.clamp(min=0)
        inside, total = torch.linalg.vecdot(positive, masks.to(positive.dtype)), positive.sum(1)
        shares.append(torch.where(total < eps, undefined, 100 * inside / total.clamp(min=eps)))
    return torch.cat(shares)


def box_iou(
    attributions: Tensor, box_masks: Tensor, thresholds: float | Sequence[float] = 0.5, *, eps: float = 1e-7
) -> Tensor:
    """Intersection over union of the thresholded map and the boxes, in percent.

    The positive part of the map is stretched to [0, 1]; a pixel counts if it lies above the threshold. 0.5 is the
    constant of the authors' code; the paper chooses the threshold on held-out images, see :func:`tuned_threshold`.

    Args:
        attributions: [N, H, W], of either sign and any scale.
        box_masks: [N, H, W], True inside any box of the class.
        thresholds: one, or T of them.
        eps: below this difference of maximum and minimum a map is constant.

    Returns:
        float [N], or [N, T] for a sequence; 0 where neither map nor boxes have a pixel.

    >>> box_iou(torch.tensor([[[4.0, 3.0], [1.0, 0.0]]]), torch.tensor([[[True, False], [True, False]]]), [0.5, 0.8])
    tensor([[33.3333, 50.0000]])
    """
    one = isinstance(thresholds, int | float)
    values = []
    for maps, masks in _in_pieces(attributions, box_masks):
        lowest, highest = maps.amin(1, keepdim=True).relu(), maps.amax(1, keepdim=True).relu()
        lowest = torch.where(highest - lowest < eps, 0.0, lowest)  # a constant map is 1 everywhere, a map of zeros 0
        area = _counts(masks)
        values.append(maps.new_zeros(len(maps), 1 if one else len(thresholds)))
        for place, threshold in enumerate([thresholds] if one else thresholds):
            above = maps > lowest + threshold * (highest - lowest)
            both = _counts(above & masks)
            values[-1][:, place] = 100 * both / (_counts(above) + area - both).clamp(min=1)
    return torch.cat(values)[:, 0] if one else torch.cat(values)


def tuned_threshold(iou_of_pairs: Tensor, thresholds: Sequence[float]) -> float:
    """The threshold with the highest mean IoU on held-out pairs; the lowest of equal ones.

    Args:
        iou_of_pairs: [N, T], as :func:`box_iou` gives them.
        thresholds: T of them, in rising order.

    Raises:
        ValueError: no pair, or another number of thresholds.

    >>> tuned_threshold(torch.tensor([[10.0, 30.0], [20.0, 40.0]]), [0.3, 0.5])
    0.5
    """
    if iou_of_pairs.ndim != 2 or iou_of_pairs.shape[1] != len(thresholds) or not len(iou_of_pairs):
        raise ValueError(
            f"IoU of shape {list(iou_of_pairs.shape)} for {len(thresholds)} thresholds; it should be [N, "
            f"{len(thresholds)}] with at least one pair, box_iou(attributions, box_masks, thresholds)"
        )
    return float(thresholds[int(np.argmax(iou_of_pairs.double().mean(0).cpu().numpy()))])


def within_size(box_masks: Tensor, smallest: int = 0, largest: float = float("inf")) -> Tensor:
    """Pairs whose boxes cover ``smallest <= pixels < largest``, bool [N]: small and large objects scored alone.

    >>> within_size(torch.tensor([[[True, True]], [[True, False]]]), smallest=2).tolist()
    [True, False]
    """
    area = _counts(box_masks.bool().flatten(1))
    return (area >= smallest) & (area < largest)
