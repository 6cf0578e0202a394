"""Mask and label terms against loops, and what happens without a mask."""

import math

import pytest
import torch

from wsss_lib.losses.mask_and_label import label_loss, mask_loss, visible_labels


def slow_mask_loss(maps, masks):
    losses = []
    for image, row, column in (masks != 255).nonzero().tolist():
        scores = maps[image, :, row, column].tolist()
        losses.append(math.log(sum(map(math.exp, scores))) - scores[masks[image, row, column]])
    return sum(losses) / len(losses)


def slow_label_loss(logits, class_labels, batch_size, form):
    total = 0.0
    for of_image, labels in zip(logits.tolist(), class_labels.tolist(), strict=True):
        terms = [0.0]  # background
        for z, y in zip(of_image[1:], labels, strict=True):
            p = 1 / (1 + math.exp(-z))
            terms.append(-math.log(p) if y else -math.log(1 - p))
        total += sum(terms) / (len(terms) if form == "official" else len(terms) - 1)
    return total / len(logits) * (batch_size if form == "official" else 1)


def some_masks():
    masks = torch.randint(4, (3, 5, 6))
    masks[0, :2], masks[1] = 255, 255
    return masks


def test_mask_loss_is_one_mean_over_all_labelled_pixels():
    maps, masks = torch.randn(3, 4, 5, 6), some_masks()
    assert mask_loss(maps, masks).item() == pytest.approx(slow_mask_loss(maps, masks), rel=1e-5)


def test_images_without_a_mask_get_no_gradient():
    maps = torch.randn(3, 4, 5, 6, requires_grad=True)
    mask_loss(maps, some_masks()).backward()
    assert not maps.grad[1].any() and maps.grad[0].any() and not maps.grad[0, :, :2].any()


def test_a_batch_without_any_mask_adds_nothing():
    maps = torch.randn(2, 4, 5, 6, requires_grad=True)
    loss = mask_loss(maps, torch.full((2, 5, 6), 255))
    loss.backward()
    assert loss.item() == 0 and not maps.grad.any()


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match="resize the maps"):
        mask_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.long))


@pytest.mark.parametrize("form", ["official", "paper"])
def test_label_loss_leaves_background_out(form):
    logits, class_labels = torch.randn(5, 4), torch.randint(2, (5, 3)).float()
    expected = slow_label_loss(logits, class_labels, 7, form)
    assert label_loss(logits, class_labels, batch_size=7, form=form).item() == pytest.approx(expected, rel=1e-5)
    logits = logits.requires_grad_()
    label_loss(logits, class_labels, batch_size=7, form=form).backward()
    assert not logits.grad[:, 0].any() and logits.grad[:, 1:].all()


def test_label_loss_names_what_is_wrong():
    with pytest.raises(ValueError, match="choose one of official, paper"):
        label_loss(torch.zeros(1, 3), torch.zeros(1, 2), batch_size=1, form="")
    with pytest.raises(ValueError, match="one more, for background"):
        label_loss(torch.zeros(1, 2), torch.zeros(1, 2), batch_size=1)


def test_visible_labels_are_those_of_the_mask_where_there_is_one():
    masks, class_labels = some_masks(), torch.randint(2, (3, 3)).float()
    masks[2] = 0  # the object was cropped away
    labels = visible_labels(masks, class_labels)
    assert labels[0].tolist() == [float((masks[0] == k + 1).any()) for k in range(3)]
    assert torch.equal(labels[1], class_labels[1])
    assert not labels[2].any()
