import pytest
import torch
import torch.nn.functional as F

from wsss_lib.losses.erasing import (
    alignment_terms,
    concatenate_pairs,
    erase,
    global_alignment_loss,
    knowledge_transfer_loss,
    local_alignment_loss,
)


def example(batch=3, num_classes=4, size=(5, 6)):
    maps, erased_maps = torch.randn(2, batch, num_classes, *size, dtype=torch.float64, requires_grad=True).unbind()
    class_labels = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    return maps, erased_maps, class_labels


def test_erasing_takes_what_reaches_the_threshold():
    images, foreground = torch.ones(1, 3, 1, 3), torch.tensor([0.59, 0.6, 0.61]).view(1, 1, 1, 3)
    assert erase(images, foreground, 0.6)[0, 0, 0].tolist() == [1, 0, 0]
    assert torch.equal(erase(images, foreground, 1.1), images)


def test_local_alignment_equals_its_loop():
    maps, erased_maps, class_labels = example()
    foreground = torch.rand(3, 1, 5, 6)
    total = 0.0
    for b in range(3):
        for k in range(4):
            for y in range(5):
                for x in range(6):
                    if class_labels[b, k] and foreground[b, 0, y, x] < 0.6:
                        total += max(0.0, (erased_maps[b, k, y, x] - maps[b, k, y, x]).item() - 0.05)
    found = local_alignment_loss(maps, erased_maps, foreground < 0.6, class_labels)
    assert found.item() == pytest.approx(total / maps.numel()) and total > 0


def test_global_alignment_equals_its_loop():
    maps, erased_maps, class_labels = example()
    total = sum(
        abs(maps[b, k].clamp(min=0).mean() - erased_maps[b, k].clamp(min=0).mean()).item()
        for b in range(3)
        for k in range(4)
        if class_labels[b, k]
    )
    assert global_alignment_loss(maps, erased_maps, class_labels).item() == pytest.approx(total / 12)


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("with_labels", [True, False])
def test_knowledge_transfer_equals_its_loop(margin, with_labels):
    maps, pair_maps, class_labels = example()
    total = 0.0
    for b in range(3):
        for k in range(4):
            if class_labels[b, k] or not with_labels:
                total += (maps[b, k] - pair_maps[b, k] - margin).clamp(min=0).sum().item()
    found = knowledge_transfer_loss(maps, pair_maps, class_labels if with_labels else None, margin=margin)
    assert found.item() == pytest.approx(total / maps.numel())


def test_gradients_reach_both_sides():
    for loss in (
        lambda one, other, labels: knowledge_transfer_loss(one, other, labels),
        lambda one, other, labels: global_alignment_loss(one, other, labels),
        lambda one, other, labels: local_alignment_loss(one, other, torch.ones(3, 1, 5, 6), labels),
    ):
        maps, other_maps, class_labels = example()
        for gradient in torch.autograd.grad(loss(maps, other_maps, class_labels), (maps, other_maps)):
            assert gradient[:2].abs().sum() > 0 and gradient[2].abs().sum() == 0, "nothing for images without a class"


def test_pairs_stand_one_below_the_other():
    first, second = torch.zeros(3, 2, 4, 5), torch.ones(3, 2, 4, 5)
    pairs = concatenate_pairs(first, second, 2)
    assert pairs.shape == (2, 2, 8, 5) and (pairs[:, :, :4] == 0).all() and (pairs[:, :, 4:] == 1).all()
    assert concatenate_pairs(first[:, 0], second[:, 0]).shape == (3, 8, 5), "label maps too"
    assert concatenate_pairs(first, second, 7).shape[0] == 3, "fewer pairs than asked for"


@pytest.mark.parametrize("side", [96, 97, 100, 107])
def test_sides_that_are_no_multiple_of_the_stride(side):
    """A network of stride 8 gives ceil(side / 8) rows for one image, and for two not always twice as many."""
    rows, pair_rows = -(-side // 8), -(-2 * side // 8)
    maps = concatenate_pairs(torch.ones(1, 2, rows, 3), torch.ones(1, 2, rows, 3))
    assert knowledge_transfer_loss(maps, torch.ones(1, 2, pair_rows, 3)) == 0
    assert knowledge_transfer_loss(maps, torch.zeros(1, 2, pair_rows, 3), margin=0.25).item() == pytest.approx(0.75)


def test_a_network_that_forgets_nothing_has_no_loss():
    maps, _, class_labels = example()
    upsampled = F.interpolate(maps, (9, 9))
    assert knowledge_transfer_loss(upsampled, upsampled, class_labels) == 0
    assert global_alignment_loss(maps, maps, class_labels) == 0
    assert local_alignment_loss(maps, maps, torch.ones(3, 1, 5, 6), class_labels) == 0


def test_terms_carry_their_weights():
    maps, erased_maps, class_labels = example()
    kept = torch.rand(3, 1, 5, 6) < 0.5
    terms = alignment_terms(maps, erased_maps, kept, class_labels, local_weight=2, global_weight=3, margin=0.1)
    local = local_alignment_loss(maps, erased_maps, kept, class_labels, margin=0.1)
    assert terms["local"] == 2 * local and terms["local"] > 0
    assert terms["global"] == 3 * global_alignment_loss(maps, erased_maps, class_labels)
