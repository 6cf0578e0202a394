"""Speed of attributions and of guided training steps (ResNet-50, 224 px)."""

import torch
import torch.nn.functional as F

from wsss_lib.losses.localization import energy_loss
from wsss_lib.maps.gradients import (
    Explained,
    attributions,
    explained,
    prepare_attributions,
    score_maps,
    weighted_activations,
)
from wsss_lib.networks.bcos_layers import explanation_mode
from wsss_lib.networks.explainable import build_explainable
from wsss_lib.tests.bench import benchmark

SIDE = 224
PAIRS = torch.tensor([[0, 0, 1, 2, 2, 3], [3, 7, 0, 5, 11, 2]])  # two classes in some images, as in VOC


def bcos_network() -> torch.nn.Module:
    network = build_explainable("bcos", "resnet50", 20)
    with torch.no_grad():
        network(torch.rand(4, 3, SIDE, SIDE))  # running variances away from 1
    return network


@benchmark("B-cos attributions at Input, 4 images, 6 pairs", ratio=3.9, seconds=1.5)
def bcos_at_input():
    """The authors take one differentiable gradient of the whole batch for every pair of image and class."""
    network, images = bcos_network().eval(), torch.rand(4, 3, SIDE, SIDE)

    def slow():
        maps = []
        for image, k in PAIRS.T.tolist():
            found = explained(network, images, "Input")
            with explanation_mode(network):
                (gradient,) = torch.autograd.grad(found.logits[image, k], found.activations, create_graph=True)
            maps.append(weighted_activations(found.activations, gradient)[image].detach())
        return torch.stack(maps)

    def fast():
        return attributions(network, images, explained(network, images, "Input"), *PAIRS, method="BCos", depth="Input")

    return slow, fast


@benchmark("attributions at Final, 4 images, all 20 classes", ratio=20, seconds=0.002)
def bcos_at_final():
    """From the last feature map on: a gradient for every pair, and the closed form."""
    network = bcos_network().eval()
    features = torch.randn(4, 2048, 7, 7)
    pairs = torch.ones(4, 20).nonzero().T

    def slow():
        maps = []
        for image, k in pairs.T.tolist():
            activations = features.clone().requires_grad_()
            score = score_maps(network, activations).mean((2, 3))[image, k]
            with explanation_mode(network):
                (gradient,) = torch.autograd.grad(score, activations, create_graph=True)
            maps.append(weighted_activations(activations, gradient)[image].detach())
        return torch.stack(maps)

    @torch.no_grad()
    def fast():
        return attributions(network, features, Explained(features, features), *pairs, method="BCos", depth="Final")

    return slow, fast


@benchmark("B-cos training step, guided at Final, batch 2", ratio=1 / 1.15)
def guided_step():
    """The first form is the step without guidance: guidance may take 15 % longer."""
    network, images, labels = bcos_network().train(), torch.rand(2, 3, SIDE, SIDE), torch.eye(20)[[3, 7]]
    masks = torch.zeros(2, SIDE, SIDE)
    masks[:, 40:160, 60:180] = 1
    pairs = torch.arange(2), torch.tensor([3, 7])

    def step(guided: bool):
        found = explained(network, images, "Final")
        classification = F.binary_cross_entropy_with_logits(found.logits, labels)
        total = classification
        if guided:
            maps = attributions(network, images, found, *pairs, method="BCos", depth="Final", create_graph=True)
            unchanged = {"only_positive": False, "divide_by_maximum": False}
            total = total + energy_loss(prepare_attributions(maps, (SIDE, SIDE), **unchanged), masks)
        network.zero_grad()
        total.backward()
        return classification.detach()

    return lambda: step(False), lambda: step(True)
