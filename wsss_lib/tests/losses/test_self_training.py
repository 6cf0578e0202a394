import math

import pytest
import torch

from wsss_lib.losses.self_training import (
    background_cross_entropy,
    foreground_cross_entropy,
    inter_class_loss,
    pair_terms,
    rectified_logits,
    self_training_loss,
    single_image_terms,
)


def cross_entropy(logits, label):
    highest = max(logits)
    return math.log(sum(math.exp(z - highest) for z in logits)) + highest - logits[label]


def mean_over(logits, label_maps, wanted):
    losses = [
        cross_entropy(logits[b, :, y, x].tolist(), label_maps[b, y, x].item())
        for b, y, x in (label_maps < 255).nonzero().tolist()
        if wanted(b, label_maps[b, y, x].item())
    ]
    return sum(losses) / len(losses) if losses else 0.0


def example():
    logits = torch.randn(3, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    label_maps = torch.tensor([0, 1, 2, 3, 255])[torch.randint(5, (3, 5, 6))]
    return logits, label_maps, torch.tensor([True, False, True])


def test_cross_entropies_equal_their_loops():
    logits, label_maps, images = example()
    background = mean_over(logits, label_maps, lambda b, label: label == 0)
    of_all = mean_over(logits, label_maps, lambda b, label: label > 0)
    of_some = mean_over(logits, label_maps, lambda b, label: label > 0 and images[b])
    assert background_cross_entropy(logits, label_maps).item() == pytest.approx(background)
    assert foreground_cross_entropy(logits, label_maps).item() == pytest.approx(of_all)
    assert foreground_cross_entropy(logits, label_maps, images).item() == pytest.approx(of_some)
    assert self_training_loss(logits, label_maps).item() == pytest.approx(background + 0.0125 * of_all)
    chosen = self_training_loss(logits, label_maps, foreground_weight=0.5, images=images)
    assert chosen.item() == pytest.approx(background + 0.5 * of_some) and of_some != of_all


@pytest.mark.parametrize("label", [0, 1, 255])
def test_empty_groups_add_nothing(label):
    """The authors' mean over no pixel is NaN, and destroys the weights."""
    logits, label_maps, _ = example()
    label_maps = torch.full_like(label_maps, label)
    for images in (None, torch.zeros(3, dtype=torch.bool)):
        loss = self_training_loss(logits, label_maps, images=images)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite() and gradient.isfinite().all()
        assert (loss == 0) == (label == 255 or (label == 1 and images is not None))


def test_inter_class_term_equals_its_loop():
    logits = torch.rand(3, 4, 5, 6, dtype=torch.float64)
    foreground = torch.rand(3, 1, 5, 6, dtype=torch.float64)
    class_labels = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1]])
    total, counted = 0.0, 0
    for b in (0, 2):
        for y in range(5):
            for x in range(6):
                if foreground[b, 0, y, x] > 0.2:
                    ranked = sorted(logits[b, 1:, y, x].tolist())
                    total, counted = total + ranked[-2] - ranked[-1], counted + 1
    found = inter_class_loss(logits, foreground, class_labels)
    assert found.item() == pytest.approx(total / (counted + 1e-5)) and found < 0


def test_the_inter_class_term_moves_the_second_class_only():
    logits = torch.tensor([5.0, 3.0, 1.0, 2.0]).view(1, 4, 1, 1).requires_grad_()
    loss = inter_class_loss(logits, torch.ones(1, 1, 1, 1), torch.ones(1, 3), eps=0.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == -1 and gradient.flatten().tolist() == [0, 0, 0, 1]


def test_ties_and_zeros_of_the_inter_class_term():
    """All classes that equal the best are left out; rectified logits that are all zero give zero."""
    tied = torch.tensor([0.0, 2.0, 2.0, 0.5]).view(1, 4, 1, 1)
    assert inter_class_loss(tied, torch.ones(1, 1, 1, 1), torch.ones(1, 3), eps=0.0) == -1.5
    assert inter_class_loss(torch.zeros(1, 4, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1, 3)) == 0


@pytest.mark.parametrize("foreground, class_labels", [(0.1, [[1, 1, 0]]), (0.9, [[1, 0, 0]]), (0.9, [[0, 0, 0]])])
def test_no_pixel_counts(foreground, class_labels):
    logits = torch.rand(1, 4, 3, 3, requires_grad=True)
    loss = inter_class_loss(logits, torch.full((1, 1, 3, 3), foreground), torch.tensor(class_labels))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == 0 and (gradient == 0).all()


def test_terms_of_single_images():
    """Foreground counts in images of one class, the inter-class term in those of several; both carry their weights."""
    segmentation_logits, label_maps, _ = example()
    class_labels, foreground = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0]]), torch.rand(3, 1, 10, 12)
    label_maps = label_maps.repeat_interleave(2, 1).repeat_interleave(2, 2)
    weights = {"segmentation_weight": 2.0, "foreground_weight": 0.5, "inter_class_weight": 3.0}
    terms = single_image_terms(segmentation_logits, label_maps, foreground, class_labels, **weights)
    logits = rectified_logits(segmentation_logits, (10, 12))
    single = torch.tensor([True, False, False])
    expected = 2 * self_training_loss(logits, label_maps, foreground_weight=0.5, images=single)
    torch.testing.assert_close(terms["segmentation"], expected)
    torch.testing.assert_close(terms["inter_class"], 3 * inter_class_loss(logits, foreground, class_labels))
    assert terms["inter_class"] < 0 < terms["segmentation"]
    of_pairs = pair_terms(segmentation_logits, label_maps, segmentation_weight=2.0, foreground_weight=0.5)
    expected = 2 * self_training_loss(logits, label_maps, foreground_weight=0.5)
    torch.testing.assert_close(of_pairs["pair_segmentation"], expected)


def test_negative_logits_get_no_gradient():
    segmentation_logits = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1).requires_grad_()
    logits = rectified_logits(segmentation_logits, (3, 4))
    assert logits.shape == (1, 2, 3, 4) and logits.min() == 0
    (gradient,) = torch.autograd.grad(logits.sum(), segmentation_logits)
    assert gradient.flatten().tolist() == [0, 12]
