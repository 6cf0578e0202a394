"""Loss of BECO: confident pixels are learned from labels, the others by two networks from each other (CVPR 2023)."""

import torch.nn.functional as F
from torch import Tensor


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, *, ignore: int = 255) -> Tensor:
    """Cross-entropy of each pixel times its weight, averaged over all pixels, those of weight 0 as well.

    Ignored pixels count as 0. A batch without a pixel to learn gives 0, never NaN.

    Args:
        logits: [B, K + 1, H, W].
        labels: int64 [B, H, W], 0..K or ``ignore``.
        weights: [B, H, W].

    Returns:
        0-d tensor.

    >>> import torch
    >>> logits = torch.zeros(1, 4, 1, 2)
    >>> labels, weights = torch.tensor([[[3, 0]]]), torch.tensor([[[1.0, 0.0]]])
    >>> weighted_cross_entropy(logits, labels, weights) / torch.log(torch.tensor(4.0))
    tensor(0.5000)
    """
    if labels.shape != weights.shape or labels.shape[1:] != logits.shape[2:]:
        raise ValueError(
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)} and weights {tuple(weights.shape)} do not "
            "meet pixel by pixel; resize the logits to the labels"
        )
    of_pixels = F.cross_entropy(logits.float(), labels, ignore_index=ignore, reduction="none")
    return (of_pixels * weights).mean()


def co_training_terms(
    logits: tuple[Tensor, Tensor],
    labels: Tensor,
    confident: Tensor,
    boundary: Tensor,
    *,
    confident_boundary: tuple[float, float] = (0.2, 0.2),
    doubtful_boundary: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Tensor]:
    """The four terms of BECO by name; their sum is the loss.

    Network k learns confident pixels (M = 1) from the labels Y, and the others from the labels of the other network,
    whose prediction is taken as it is, without gradient; b marks the outline of what was pasted::

        ce_k  = mean(CE(z_k, Y) M (1 + confident_boundary_k b))
        cot_k = mean(CE(z_k, argmax z_other) (1 - M) (1 + doubtful_boundary_k b))

    Args:
        logits: of both networks, each [B, K + 1, H, W].
        labels: int64 [B, H, W], 255 ignored.
        confident: M, 0 or 1, [B, H, W].
        boundary: b, 0 or 1, [B, H, W].
        confident_boundary, doubtful_boundary: extra weight of the outline for the first and the second network.

    Returns:
        ``labels 1``, ``labels 2``, ``mutual 1``, ``mutual 2``.

    >>> import torch
    >>> one, two = torch.zeros(1, 2, 1, 2), torch.tensor([[[[0.0, 9.0]], [[9.0, 0.0]]]])
    >>> labels, confident = torch.tensor([[[1, 0]]]), torch.tensor([[[1, 0]]])
    >>> terms = co_training_terms((one, two), labels, confident, torch.zeros(1, 1, 2))
    >>> [round(term.item(), 4) for term in terms.values()]
    [0.3466, 0.0001, 0.3466, 0.0001]
    """
    boundary, confident = boundary.float(), confident.float()
    terms = {}
    for k, own in enumerate(logits):
        weights = confident * (1 + confident_boundary[k] * boundary)
        terms[f"labels {k + 1}"] = weighted_cross_entropy(own, labels, weights)
    for k, (own, other) in enumerate((logits, logits[::-1])):
        weights = (1 - confident) * (1 + doubtful_boundary[k] * boundary)
        terms[f"mutual {k + 1}"] = weighted_cross_entropy(own, other.detach().argmax(1), weights)
    return terms


def online_labels(logits: tuple[Tensor, Tensor], threshold: float = 0.95) -> tuple[Tensor, Tensor]:
    """Labels that both networks give together, and where they are sure of them.

    Args:
        logits: of both networks in evaluation mode, each [B, K + 1, H, W].
        threshold: of the highest probability.

    Returns:
        Labels, int64 [B, H, W]; whether the probability exceeds the threshold, bool [B, H, W].

    >>> import torch
    >>> labels, confident = online_labels((torch.tensor([[[[9.0]], [[0.0]]]]), torch.zeros(1, 2, 1, 1)))
    >>> labels.item(), confident.item()
    (0, True)
    """
    probabilities, labels = ((logits[0] + logits[1]) / 2).float().softmax(1).max(1)
    return labels, probabilities > threshold
