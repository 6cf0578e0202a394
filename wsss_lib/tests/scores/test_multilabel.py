import math

import pytest
import torch
from torchmetrics.functional.classification import multilabel_accuracy, multilabel_precision, multilabel_recall

from wsss_lib.scores.classification import multilabel_f1
from wsss_lib.scores.multilabel import DecisionCounts


def random_case(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(30, 7, generator=generator) < 0.3).float()
    return torch.randn(30, 7, generator=generator) + labels, labels


@pytest.mark.parametrize("seed, threshold", [(0, 0.0), (1, 0.5), (2, -0.5)])
def test_counts_are_those_of_every_single_decision(seed, threshold):
    logits, labels = random_case(seed)
    expected = dict.fromkeys(((1, 1), (0, 0), (1, 0), (0, 1)), 0)  # (predicted, present)
    for score, label in zip(logits.flatten().tolist(), labels.flatten().tolist(), strict=True):
        expected[int(score >= threshold), int(label)] += 1
    assert DecisionCounts.of(logits, labels, threshold).as_tuple() == tuple(expected.values())


def test_rates_agree_with_torchmetrics():
    logits, labels = random_case(3)
    counts, options = DecisionCounts.of(logits, labels), {"num_labels": 7, "average": "micro"}
    for rate, oracle in (
        (counts.accuracy, multilabel_accuracy),
        (counts.precision, multilabel_precision),
        (counts.recall, multilabel_recall),
    ):
        assert rate == pytest.approx(100 * oracle(logits.sigmoid(), labels.int(), **options).item())
    assert counts.f1 == pytest.approx(multilabel_f1(logits, labels, average="micro"))


def test_batches_add_up():
    logits, labels = random_case(4)
    parts = [DecisionCounts.of(logits[rows], labels[rows]) for rows in (slice(0, 8), slice(8, 30))]
    assert sum(parts, DecisionCounts()) == DecisionCounts.of(logits, labels)


def test_nothing_to_count_is_nan():
    assert all(math.isnan(rate) for rate in (DecisionCounts().accuracy, DecisionCounts().f1))
    nothing_said = DecisionCounts.of(-torch.ones(2, 3), torch.ones(2, 3))
    assert math.isnan(nothing_said.precision) and nothing_said.recall == nothing_said.f1 == 0


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"must both be \[B, K\]"):
        DecisionCounts.of(torch.zeros(3, 2), torch.zeros(2, 3))
