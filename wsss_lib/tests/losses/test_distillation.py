import math

import pytest
import torch

from wsss_lib.losses.distillation import sub_category_loss


@pytest.mark.parametrize("seed, weight", [(0, 2.0), (1, 5.0), (2, 0.0)])
def test_the_loss_is_the_mean_of_binary_cross_entropies(seed, weight):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, generator=generator)
    labels = (torch.rand(3, 5, generator=generator) > 0.5).float()
    total = 0.0
    for b in range(3):
        for s in range(5):
            probability = 1 / (1 + math.exp(-logits[b, s].item()))
            total -= math.log(probability if labels[b, s] else 1 - probability)
    assert sub_category_loss(logits, labels, weight).item() == pytest.approx(weight * total / 15, rel=1e-5)


def test_labels_of_another_clustering_are_refused():
    with pytest.raises(ValueError, match="build the network for as many sub-categories as the labels have columns"):
        sub_category_loss(torch.zeros(2, 13), torch.zeros(2, 12))
