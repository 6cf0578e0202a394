"""Counts of multi-label decisions over all images and classes together, as Rao et al. (ICCV 2023) report them."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")


@dataclass(frozen=True)
class DecisionCounts:
    """Right and wrong decisions; add those of batches. Rates are in percent, NaN where they are 0 / 0."""

    true_positives: int = 0
    true_negatives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    @classmethod
    def of(cls, logits: Tensor, class_labels: Tensor, threshold: float = 0.0) -> Self:
        """Counts of the decisions ``logit >= threshold``.

        Args:
            logits: [B, K].
            class_labels: [B, K], 1 where a class is present.
            threshold: in units of the logits; 0 is probability 1/2 after a sigmoid.

        >>> DecisionCounts.of(torch.tensor([[1.0, -1.0, 2.0]]), torch.tensor([[1, 1, 0]])).f1
        50.0
        """
        if logits.ndim != 2 or logits.shape != class_labels.shape:
            raise ValueError(f"logits {list(logits.shape)} and labels {list(class_labels.shape)} must both be [B, K]")
        decisions = 2 * (class_labels > 0) + (logits >= threshold)
        negative, false_alarm, missed, right = torch.bincount(decisions.flatten(), minlength=4).tolist()
        return cls(right, negative, false_alarm, missed)

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, int, int, int]:
        return self.true_positives, self.true_negatives, self.false_positives, self.false_negatives

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return _percent(self.true_positives + self.true_negatives, sum(self.as_tuple()))

    @property
    def precision(self) -> float:
        """Share of the predicted classes that are present."""
        return _percent(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the present classes that are predicted."""
        return _percent(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Micro F1, 2 TP / (2 TP + FP + FN); NaN as soon as no class is present or predicted."""
        wrong = self.false_positives + self.false_negatives
        return _percent(2 * self.true_positives, 2 * self.true_positives + wrong)
