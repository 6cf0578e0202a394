"""The loss of BECO against its equations in loops."""

import math

import pytest
import torch

from wsss_lib.losses.co_training import co_training_terms, online_labels, weighted_cross_entropy


def cross_entropy(scores, label):
    scores = scores.tolist()
    highest = max(scores)
    return math.log(sum(math.exp(score - highest) for score in scores)) + highest - scores[label]


def loop(one, two, labels, confident, boundary, k, extra_sure, extra_doubt):
    own, other = (one, two) if k == 0 else (two, one)
    from_labels = mutual = 0.0
    for b in range(len(labels)):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                edge, sure = boundary[b, y, x].item(), confident[b, y, x].item()
                if labels[b, y, x] != 255:
                    value = cross_entropy(own[b, :, y, x], labels[b, y, x].item())
                    from_labels += value * sure * (1 + extra_sure * edge)
                taught = cross_entropy(own[b, :, y, x], other[b, :, y, x].argmax().item())
                mutual += taught * (1 - sure) * (1 + extra_doubt * edge)
    return from_labels / labels.numel(), mutual / labels.numel()


def example(seed=0):
    torch.manual_seed(seed)
    labels = torch.randint(0, 4, (2, 5, 4))
    labels[0, 0] = 255
    masks = torch.randint(0, 2, (2, 2, 5, 4))
    return 3 * torch.randn(2, 4, 5, 4), 3 * torch.randn(2, 4, 5, 4), labels, masks[0], masks[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_terms_by_loops(seed):
    one, two, labels, confident, boundary = example(seed)
    terms = co_training_terms(
        (one, two), labels, confident, boundary, confident_boundary=(0.5, 0.1), doubtful_boundary=(0.3, 0.7)
    )
    for k, extras in enumerate(((0.5, 0.3), (0.1, 0.7))):
        from_labels, mutual = loop(one, two, labels, confident, boundary, k, *extras)
        assert terms[f"labels {k + 1}"].item() == pytest.approx(from_labels, rel=1e-5)
        assert terms[f"mutual {k + 1}"].item() == pytest.approx(mutual, rel=1e-5)


def test_no_gradient_reaches_the_teacher():
    one, two, labels, confident, boundary = example()
    one.requires_grad_(), two.requires_grad_()
    terms = co_training_terms((one, two), labels, torch.zeros_like(confident), boundary)
    terms["mutual 1"].backward()
    assert one.grad.abs().sum() > 0 and two.grad is None
    assert terms["labels 1"] == terms["labels 2"] == 0


@pytest.mark.parametrize("everything", [0, 1])
def test_empty_and_full_confidence_masks_are_finite(everything):
    one, two, labels, confident, boundary = example()
    one.requires_grad_()
    mask = torch.full_like(confident, everything)
    terms = co_training_terms((one, two), torch.full_like(labels, 255), mask, boundary)
    total = sum(terms.values())
    total.backward()
    assert total.isfinite() and one.grad.isfinite().all()
    assert (total == 0) == bool(everything)


def test_half_precision_logits():
    one, two, labels, confident, boundary = example()
    terms = co_training_terms((one.bfloat16(), two.bfloat16()), labels, confident, boundary)
    exact = co_training_terms((one, two), labels, confident, boundary)
    assert all(abs(terms[name] - exact[name]) < 0.02 for name in terms)


def test_online_labels_average_logits_before_the_softmax():
    one, two, *_ = example()
    labels, confident = online_labels((one, two), 0.6)
    for b, y, x in ((0, 0, 0), (0, 3, 2), (1, 4, 1)):
        scores = [(a + c) / 2 for a, c in zip(one[b, :, y, x].tolist(), two[b, :, y, x].tolist(), strict=True)]
        highest = max(scores)
        assert labels[b, y, x] == scores.index(highest)
        assert confident[b, y, x] == (1 / sum(math.exp(score - highest) for score in scores) > 0.6)
    assert confident.any() and not confident.all()


def test_sizes_must_meet():
    with pytest.raises(ValueError, match="resize the logits to the labels"):
        weighted_cross_entropy(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8, 8).long(), torch.zeros(1, 8, 8))
