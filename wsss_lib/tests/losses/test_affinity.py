import math

import pytest
import torch

from wsss_lib.labels.affinity_labels import PairLabels, pair_labels
from wsss_lib.labels.pixel_pairs import pad_for_pairs, pair_affinities, pair_displacements
from wsss_lib.losses.affinity import affinity_loss, affinity_terms, attraction_loss, repulsion_loss


def loss_slowly(affinities, labels, eps=1e-5):
    sums, counts = [0.0] * 3, [0] * 3
    for kind, pairs in enumerate(labels):
        for affinity, chosen in zip(affinities.flatten().tolist(), pairs.flatten().tolist(), strict=True):
            if chosen:
                sums[kind] -= math.log(1 + eps - affinity if kind == 2 else affinity + eps)
                counts[kind] += 1
    background, foreground, negative = (total / (count + eps) for total, count in zip(sums, counts, strict=True))
    return background / 4 + foreground / 4 + negative / 2


@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_the_sum_pair_by_pair(seed):
    torch.manual_seed(seed)
    label_maps = torch.tensor([0, 0, 1, 2, 255])[torch.randint(0, 5, (2, 6, 8))]
    labels = pair_labels(label_maps, pair_displacements(3))
    affinities = torch.rand(labels.background.shape, dtype=torch.float64)
    loss = affinity_loss(affinities, labels)
    assert loss.ndim == 0 and loss.item() == pytest.approx(loss_slowly(affinities, labels))
    torch.testing.assert_close(sum(affinity_terms(affinities, labels).values()), loss)


def test_known_answer():
    affinities, every = torch.tensor([[[0.5, 0.25]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    assert attraction_loss(affinities, every, eps=0.0).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert repulsion_loss(affinities, every, eps=0.0).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_perfect_affinities_cost_nothing():
    labels = pair_labels(torch.tensor([[[0, 0, 0], [1, 1, 2]]]), [(0, 1), (1, 0)])
    affinities = (labels.background | labels.foreground).float()
    assert affinity_loss(affinities, labels).abs() < 1e-4 < affinity_loss(1 - affinities, labels)


def test_an_image_without_a_confident_pair_neither_costs_nor_pulls():
    displacements = pair_displacements(3)
    label_maps = torch.stack([torch.full((4, 5), 255), torch.randint(0, 2, (4, 5))])
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    labels = pair_labels(pad_for_pairs(label_maps, displacements, 255), displacements)
    affinities = pair_affinities(pad_for_pairs(features, displacements, torch.inf), displacements)
    affinity_loss(affinities, labels).backward()
    assert (features.grad[0] == 0).all() and features.grad[1].abs().sum() > 0

    ignored = PairLabels(*(torch.zeros_like(pairs) for pairs in labels))
    loss = affinity_loss(affinities.detach().requires_grad_(), ignored)
    assert loss == 0
    loss.backward()


def test_equal_features_of_different_classes_keep_the_gradient_finite():
    features = torch.zeros(1, 2, 2, 4, requires_grad=True)
    labels = pair_labels(torch.tensor([[[0, 1, 0, 1], [1, 0, 1, 0]]]), [(0, 1)])
    loss = affinity_loss(pair_affinities(features, [(0, 1)]), labels)
    loss.backward()
    assert loss.isfinite() and features.grad.isfinite().all()


def test_labels_of_another_size_are_refused():
    labels = pair_labels(torch.zeros(1, 5, 6, dtype=torch.int64), [(0, 1)])
    with pytest.raises(ValueError, match=r"\[1, 1, 20\] with labels \[1, 1, 25\]; the label maps should"):
        affinity_loss(torch.ones(1, 1, 20), labels)
