"""Margin ranking of cosines: the right words nearer than all others (Yang et al., CVPR 2022)."""

from torch import Tensor


def margin_ranking_loss(
    cosines: Tensor, targets: Tensor, *, margin: float = 1.0, form: str = "official", empty_rows: str = "count"
) -> Tensor:
    """Hinge of every wrong word against the right ones, summed over the wrong words.

    ``official``: sum_c (1 - t_c) max(0, m - s+ + s_c) with s+ the mean cosine of the right words. ``paper``: each of
    the k right words j is ranked by itself, 1/k sum_j sum_(c != j) max(0, m - s_j + s_c); its k* is read as their
    number. Both agree for one right word.

    Args:
        cosines: of prediction and word, [B, C].
        targets: 1 for the right words, else 0, [B, C].
        margin: m, 1 in the paper: then nearly all words count.
        form: one of official, paper.
        empty_rows: a row without a right word costs nothing; "count" it in the mean (the reproduction) or "drop" it
            (the authors). If no row has a right word, the loss is 0 and has no gradient.

    Returns:
        Mean over rows, 0-d.

    >>> import torch
    >>> margin_ranking_loss(torch.tensor([[0.5, 0.1, -0.9]]), torch.tensor([[1.0, 0.0, 0.0]]))
    tensor(0.6000)

    Raises:
        ValueError: an unknown form or treatment of empty rows.
    """
    if form not in ("official", "paper") or empty_rows not in ("count", "drop"):
        raise ValueError(f"form {form!r} with empty_rows {empty_rows!r}: choose official or paper, count or drop")
    num_positives = targets.sum(1)
    filled = num_positives > 0
    num_rows = len(targets) if empty_rows == "count" else int(filled.sum())
    cosines, targets, num_positives = cosines[filled], targets[filled], num_positives[filled]
    if form == "official":
        positive = (targets * cosines).sum(1, keepdim=True) / num_positives[:, None]
        total = ((1 - targets) * (margin - positive + cosines).clamp(min=0)).sum()
    else:
        row, word = targets.nonzero(as_tuple=True)
        hinges = (margin - cosines[row, word][:, None] + cosines[row]).clamp(min=0).sum(1) - margin  # without c = j
        total = (hinges / num_positives[row]).sum()
    return total / max(num_rows, 1)
