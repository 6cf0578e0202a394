"""Loss of AffinityNet: what is alike attracts, what differs repels (Ahn and Kwak, CVPR 2018)."""

import torch
from torch import Tensor

from wsss_lib.labels.affinity_labels import PairLabels


def mean_over_pairs(values: Tensor, pairs: Tensor, eps: float = 1e-5) -> Tensor:
    """Sum of the values of some pairs divided by (their number + eps), over the whole batch: 0 if there is none."""
    return torch.where(pairs, values, 0.0).sum() / (pairs.sum() + eps)


def attraction_loss(affinities: Tensor, pairs: Tensor, eps: float = 1e-5) -> Tensor:
    """Mean of -log(affinity) over pairs that should be alike.

    Args:
        affinities: [B, D, n] in [0, 1].
        pairs: bool [B, D, n].
        eps: guard inside the logarithm and of the number of pairs.

    >>> attraction_loss(torch.tensor([1.0, 0.5]).log().exp(), torch.tensor([True, True]), eps=0.0)
    tensor(0.3466)
    """
    return mean_over_pairs(-(affinities + eps).log(), pairs, eps)


def repulsion_loss(affinities: Tensor, pairs: Tensor, eps: float = 1e-5) -> Tensor:
    """Mean of -log(1 - affinity) over pairs that should differ; arguments as in :func:`attraction_loss`."""
    return mean_over_pairs(-(1 + eps - affinities).log(), pairs, eps)


def affinity_terms(affinities: Tensor, labels: PairLabels, eps: float = 1e-5) -> dict[str, Tensor]:
    """The three terms with their weights: a quarter for either kind of likeness, a half for difference.

    Each is a mean over its own pairs, so that the many background pairs do not outweigh the others.

    Args:
        affinities: [B, D, n] in [0, 1].
        labels: from :func:`wsss_lib.labels.affinity_labels.pair_labels`, of the same shape.

    Raises:
        ValueError: shapes that differ.
    """
    if affinities.shape != labels.background.shape:
        raise ValueError(
            f"affinities {list(affinities.shape)} with labels {list(labels.background.shape)}; "
            "the label maps should have the size of the features, and the same displacements and padding"
        )
    return {
        "background": attraction_loss(affinities, labels.background, eps) / 4,
        "foreground": attraction_loss(affinities, labels.foreground, eps) / 4,
        "negative": repulsion_loss(affinities, labels.negative, eps) / 2,
    }


def affinity_loss(affinities: Tensor, labels: PairLabels, eps: float = 1e-5) -> Tensor:
    """Sum of :func:`affinity_terms`."""
    return torch.stack(list(affinity_terms(affinities, labels, eps).values())).sum()
