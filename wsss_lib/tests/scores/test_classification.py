import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_exact_match,
    multilabel_f1_score,
)

from wsss_lib.scores.classification import (
    average_precision,
    exact_match_accuracy,
    mean_average_precision,
    multilabel_f1,
)


def random_case(seed, num_images=40, num_classes=7):
    rng = np.random.default_rng(seed)
    labels = rng.random((num_images, num_classes)) < 0.3
    logits = np.round(rng.standard_normal(labels.shape) + labels, 1)  # rounded: ties between images
    return torch.from_numpy(logits).float(), torch.from_numpy(labels).long()


def f1_in_loops(logits, labels, threshold, classes):
    right = wrong = missed = 0
    for k in classes:
        for score, label in zip(logits[:, k].tolist(), labels[:, k].tolist(), strict=True):
            right += score >= threshold and label == 1
            wrong += score >= threshold and label == 0
            missed += score < threshold and label == 1
    precision, recall = right / (right + wrong), right / (right + missed)
    return 100 * 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed, threshold", [(0, 0.0), (1, 0.5), (2, -0.5)])
def test_f1_is_the_harmonic_mean_of_precision_and_recall(seed, threshold):
    logits, labels = random_case(seed)
    micro = multilabel_f1(logits, labels, average="micro", threshold=threshold)
    assert micro == pytest.approx(f1_in_loops(logits, labels, threshold, range(7)))
    macro = multilabel_f1(logits, labels, threshold=threshold)
    assert macro == pytest.approx(np.mean([f1_in_loops(logits, labels, threshold, [k]) for k in range(7)]))


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_agrees_with_torchmetrics(average):
    logits, labels = random_case(3)
    logits[logits == 0] = 0.1  # torchmetrics predicts above, not at the threshold
    oracle = 100 * multilabel_f1_score(logits.sigmoid(), labels, num_labels=7, average=average).item()
    assert multilabel_f1(logits, labels, average=average) == pytest.approx(oracle, rel=1e-5)
    with_unseen = torch.cat([logits, -torch.ones(40, 1)], 1), torch.cat([labels, torch.zeros(40, 1).long()], 1)
    assert multilabel_f1(*with_unseen, average=average) == pytest.approx(oracle, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_agrees_with_torchmetrics(seed):
    logits, labels = random_case(seed)
    oracle = multilabel_average_precision(logits.sigmoid(), labels, num_labels=7, average="none")
    np.testing.assert_allclose(average_precision(logits, labels), 100 * oracle.numpy(), rtol=1e-5)


def test_average_precision_by_hand():
    scores = [[0.9], [0.8], [0.8], [0.1]]
    assert average_precision(scores, [[0], [1], [0], [1]])[0] == pytest.approx(100 * (1 / 3 + 2 / 4) / 2)


def test_a_class_without_positives_is_left_out_and_named():
    logits, labels = random_case(4)
    labels[:, [1, 5]] = 0
    values = average_precision(logits, labels)
    assert np.isnan(values).tolist() == [k in (1, 5) for k in range(7)]
    with pytest.warns(UserWarning, match=r"leaves out 2 of 7 classes.*\[1, 5\]"):
        mean = mean_average_precision(logits, labels)
    kept = [0, 2, 3, 4, 6]
    assert mean == pytest.approx(mean_average_precision(logits[:, kept], labels[:, kept]))


def test_exact_match_agrees_with_torchmetrics():
    logits, labels = random_case(5)
    labels[:20] = (logits[:20] > 0).long()
    oracle = multilabel_exact_match(logits.sigmoid(), labels, num_labels=7)
    assert 50 <= exact_match_accuracy(logits, labels) == pytest.approx(100 * oracle.item())


def test_shapes_and_options_are_checked():
    with pytest.raises(ValueError, match=r"must both be \[N, K\]"):
        multilabel_f1(torch.zeros(3, 2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="macro"):
        multilabel_f1(torch.zeros(3, 2), torch.zeros(3, 2), average="weighted")
