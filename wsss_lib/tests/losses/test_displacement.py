"""Displacement losses: against the sums in loops, autograd, and fields that solve them."""

import pytest
import torch

from wsss_lib.labels.affinity_labels import pair_labels
from wsss_lib.labels.pair_paths import path_displacements
from wsss_lib.labels.pixel_pairs import pad_for_pairs, pair_indices
from wsss_lib.losses.displacement import displacement_terms


def slow_terms(fields, label_maps, displacements, eps=1e-5):
    sources, destinations = pair_indices(*fields.shape[2:], displacements)
    sums, counts = [0.0, 0.0], [0, 0]
    for field, labels in zip(fields.flatten(2), label_maps.flatten(1), strict=True):
        for number, (dy, dx) in enumerate(displacements):
            for source, destination in zip(sources.tolist(), destinations[number].tolist(), strict=True):
                if labels[source] != labels[destination] or labels[source] == 255:
                    continue
                kind = int(labels[source] == 0)
                wanted = torch.zeros(2) if kind else torch.tensor([float(dy), float(dx)])
                sums[kind] = sums[kind] + (field[:, source] - field[:, destination] - wanted).abs().sum()
                counts[kind] += 1
    return [total / (2 * count + eps) / 2 for total, count in zip(sums, counts, strict=True)]


@pytest.mark.parametrize("size, radius", [((5, 8), 3), ((6, 5), 2)])
def test_terms_and_their_gradient_are_those_of_the_definition(size, radius):
    torch.manual_seed(radius)
    label_maps = torch.tensor([0, 0, 1, 1, 2, 255])[torch.randint(0, 6, (2, *size))]
    ours = torch.randn(2, 2, *size).requires_grad_()
    slow = ours.detach().clone().requires_grad_()
    displacements = path_displacements(radius)
    terms = displacement_terms(ours, pair_labels(label_maps, displacements), displacements)
    expected = slow_terms(slow, label_maps, displacements)
    torch.testing.assert_close(list(terms.values()), expected)
    (3 * terms["displacement, foreground"] + terms["displacement, background"]).backward()
    (3 * expected[0] + expected[1]).backward()
    assert slow.grad.abs().max() > 0
    torch.testing.assert_close(ours.grad, slow.grad)


def test_pointing_to_one_center_costs_nothing_in_an_object_and_much_outside():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    to_center, displacements = torch.stack([2 - rows, 5 - columns])[None], path_displacements(3)
    for label, term in ((3, "displacement, foreground"), (0, "displacement, background")):
        labels = pair_labels(torch.full((1, 6, 9), label), displacements)
        terms = displacement_terms(to_center, labels, displacements)
        still = displacement_terms(torch.zeros_like(to_center), labels, displacements)
        assert terms[term].item() == pytest.approx(0, abs=1e-6) if label else terms[term] > 0.3
        assert still[term].item() == pytest.approx(0, abs=1e-6) if not label else still[term] > 0.3


def test_no_confident_pair_gives_zero_and_no_gradient():
    fields, displacements = torch.randn(1, 2, 6, 8, requires_grad=True), path_displacements(3)
    terms = displacement_terms(fields, pair_labels(torch.full((1, 6, 8), 255), displacements), displacements)
    sum(terms.values()).backward()
    assert [term.item() for term in terms.values()] == [0, 0] and not fields.grad.any()


def test_padding_adds_no_pair_but_makes_all_pixels_sources():
    displacements, label_maps = path_displacements(3), torch.ones(1, 3, 3, dtype=torch.int64)
    padded = pad_for_pairs(label_maps, displacements, 255)
    labels = pair_labels(padded, displacements)
    fields = pad_for_pairs(torch.zeros(1, 2, 3, 3), displacements, 0.0)
    assert labels.foreground.sum() == 9 * 8 / 2
    assert displacement_terms(fields, labels, displacements)["displacement, foreground"] > 0


def test_labels_of_another_size():
    displacements = path_displacements(3)
    with pytest.raises(ValueError, match="size of the fields"):
        displacement_terms(
            torch.zeros(1, 2, 9, 9), pair_labels(torch.zeros(1, 6, 8).long(), displacements), displacements
        )
