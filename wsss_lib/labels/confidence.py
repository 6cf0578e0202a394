"""Which pixels of a pseudo label can be trusted (KTSE, stage 2: the mask that BECO takes)."""

import numpy as np
import torch
from torch import Tensor


def score_margins(scores: Tensor) -> Tensor:
    """Best score less the second best, [H, W] of scores [L, H, W], background included; infinite where L is 1.

    Departs from the authors' code, which takes the third best where two are best: their margin is 0 here.

    >>> score_margins(torch.tensor([0.5, 0.2, 0.4]).view(3, 1, 1))
    tensor([[0.1000]])
    """
    if scores.isnan().any():
        raise ValueError("the scores hold NaN; look at the maps and the boundaries they were made from")
    if len(scores) == 1:
        return torch.full_like(scores[0], torch.inf)
    best, second = scores[0], torch.full_like(scores[0], -torch.inf)
    for score in scores[1:]:
        second = torch.maximum(second, torch.minimum(best, score))
        best = torch.maximum(best, score)
    return best - second


def confidence_mask(scores: Tensor, label_map: Tensor | None = None, fraction: float = 0.5) -> Tensor:
    """The pixels of each label whose margin between best and second-best score is largest.

    Args:
        scores: of background and the classes present, [L, H, W].
        label_map: labels by which the pixels are grouped, int [H, W], 0 to 255; None: the places of the best.
        fraction: share of each label's pixels that is trusted, rounded down; a label of one pixel has none.

    Returns:
        bool [H, W]; all true where the background is the only label, since nothing speaks against it. Among equal
        margins the last in reading order come first.

    >>> scores = torch.tensor([[[0.5, 0.5, 0.5, 0.5]], [[0.9, 0.6, 0.0, 0.4]]])
    >>> confidence_mask(scores)
    tensor([[ True, False,  True, False]])

    Raises:
        ValueError: scores with NaN, or a label map of another size.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} is not in [0, 1]; 0.5 trusts half of the pixels of each label")
    margins = score_margins(scores)
    if len(scores) == 1:
        return torch.ones_like(margins, dtype=torch.bool)
    labels = scores.max(0).indices if label_map is None else label_map  # argmax is many times slower
    if labels.shape != margins.shape:
        raise ValueError(f"a label map {list(labels.shape)} with scores {list(scores.shape)}; give both at one size")
    trusted = torch.zeros_like(margins, dtype=torch.bool)
    for label in labels.flatten().bincount().nonzero():
        here = labels == label
        own = margins[here]
        wanted = int(fraction * len(own))
        if wanted:
            least = float(np.partition(own.cpu().numpy(), -wanted)[-wanted])  # without sorting the others
            chosen = own > least
            equal = (own == least).nonzero()[:, 0]
            chosen[equal[len(equal) - (wanted - int(chosen.sum())) :]] = True
            trusted[here] = chosen
    return trusted
