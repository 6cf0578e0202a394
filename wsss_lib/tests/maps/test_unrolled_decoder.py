"""The layer-by-layer decoder: the gradient again, conservation, other rules for all encoders, zennit."""

import pytest
import torch
from torch import nn
from zennit.composites import SpecialFirstLayerMapComposite
from zennit.rules import AlphaBeta, Epsilon, ZBox

from wsss_lib.maps.relevance import input_times_gradient, iterative_relevance_maps, relevance_maps
from wsss_lib.maps.unrolled_decoder import (
    alpha_beta_rules,
    contrastive_rules,
    epsilon_rules,
    initial_relevance,
    prepare_relevance,
    record,
    unrolled_relevance,
)
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.tests.maps.small import random_images, small_classifier

ENCODERS = ["resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "vgg16_bn"]
SIZES = {"vgg16": (35, 40), "vgg16_bn": (35, 40)}


def case(name):
    return small_classifier(name), random_images(*SIZES.get(name, (17, 22)))


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_epsilon_zero_is_input_times_gradient(name):
    network, images = case(name)
    torch.testing.assert_close(record(network, images)[0], network(images).logits)
    ours = relevance_maps(unrolled_relevance(network, images, epsilon_rules(0.0)), 3, at_once=2)
    exact = relevance_maps(input_times_gradient(network, images), 3)
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-4 * exact.abs().max().item())


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.no_grad()
def test_last_window_and_untied_weights_agree_as_well(name):
    network, images = case(name)
    network = UnrolledClassifier(network.train(), tie="untied")
    for copy in network.copies:
        copy.mul_(1 + 0.1 * torch.randn_like(copy))
    copies = network.decoder_weights()
    ours = unrolled_relevance(network.classifier, images, epsilon_rules(0.0, unpool="last"), decoder_weights=copies)
    exact = input_times_gradient(network.classifier, images, unpool="last", decoder_weights=copies)
    expected = relevance_maps(exact, 3)
    torch.testing.assert_close(relevance_maps(ours, 3), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
@torch.no_grad()
def test_alpha_beta_conserves_the_logit(name):
    """Where every output has a positive share; the last of several windows loses a part, the same of every class."""
    network, images = case(name)
    logits = network(images).logits
    maps = relevance_maps(unrolled_relevance(network, images, alpha_beta_rules(1.0)), 3)
    torch.testing.assert_close(maps.sum((2, 3)), logits, rtol=1e-4, atol=1e-6)
    lost = relevance_maps(unrolled_relevance(network, images, alpha_beta_rules(1.0, unpool="last")), 3)
    assert name == "vgg16" or (lost.sum((2, 3)) / logits < 0.95).all()


@torch.no_grad()
def test_alpha_beta_of_alpha_two_differs():
    network, images = case("resnet18")
    one, two = (relevance_maps(unrolled_relevance(network, images, alpha_beta_rules(a)), 3) for a in (1.0, 2.0))
    assert two.isfinite().all() and (two.sum((2, 3)) - one.sum((2, 3))).abs().max() < two.abs().sum((2, 3)).max()
    assert (two - one).abs().max() > 0.1 * one.abs().max()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("form", [1, 2])
@torch.no_grad()
def test_contrastive_rules_work_for_every_encoder(name, form):
    network, images = case(name)
    maps = relevance_maps(unrolled_relevance(network, images, contrastive_rules(form)), 3, at_once=3)
    assert maps.isfinite().all() and maps.abs().amax((2, 3)).min() > 0
    if form == 1 and name in ("resnet18", "resnet34", "vgg16"):  # every output has a positive share
        assert (maps.sum((2, 3)).abs() < 1e-3 * maps.abs().sum((2, 3))).all(), "for and against are equally much"


@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
@torch.no_grad()
def test_small_sizes(size):
    maps = relevance_maps(unrolled_relevance(small_classifier(), random_images(*size), epsilon_rules()), 3)
    assert maps.shape == (2, 3, *size) and maps.isfinite().all()


def test_gradients_through_the_encoder():
    """Zero in the exact form, and more than the decoder's in the authors'."""
    network, images = case("vgg16")
    images = 30 * images  # far above the guard of the denominators
    network = UnrolledClassifier(network, tie="untied")
    encoder, copies = network.classifier, network.decoder_weights()
    parameters = [*encoder.parameters(), *network.copies]
    norms = {}
    for bias_gradient, epsilon in ((True, 0.0), (False, 1e-8)):
        rules = epsilon_rules(epsilon, bias_gradient=bias_gradient)
        maps = relevance_maps(unrolled_relevance(encoder, images, rules, decoder_weights=copies), 3, at_once=3)
        gradients = torch.autograd.grad((maps**2).sum(), parameters, allow_unused=True)
        number = len(parameters) - len(network.copies)
        parts = gradients[:number], gradients[number:]
        norms[bias_gradient] = [torch.cat([g.flatten() for g in part if g is not None]).norm() for part in parts]
    exact, authors = norms[True], norms[False]
    assert exact[0] < 1e-3 * exact[1] and authors[0] > 10 * exact[0], norms


def test_joint_and_iterative_gradients_agree():
    network, images = case("resnet18")
    parameters, found = list(network.parameters()), []
    for iterative in (False, True):
        maps_of = unrolled_relevance(network, images, epsilon_rules(1e-3))
        maps = iterative_relevance_maps(maps_of, 3, parameters) if iterative else relevance_maps(maps_of, 3)
        found.append(torch.autograd.grad((maps**2).sum(), parameters, allow_unused=True))
    for joint, one_by_one in zip(*found, strict=True):
        assert joint is one_by_one is None or torch.allclose(joint, one_by_one, rtol=1e-8, atol=1e-12)


def test_initial_relevance_has_one_logit_each():
    logits = torch.randn(2, 4)
    relevance = initial_relevance(logits, [3, 0])
    assert relevance.shape == (2, 2, 4) and (relevance != 0).sum() == 4
    assert torch.equal(relevance.sum(2), logits[:, [3, 0]].T)


@torch.no_grad()
def test_one_door_to_all_rules():
    network, images = case("resnet18")
    default = relevance_maps(prepare_relevance(network, images, unpool="last"), 3)
    torch.testing.assert_close(default, relevance_maps(input_times_gradient(network, images, unpool="last"), 3))
    for options, rules in (
        ({"rule": "epsilon", "epsilon": 0.1, "encoder_gradient": "authors"}, epsilon_rules(0.1)),
        ({"rule": "alpha_beta", "alpha": 2.0}, alpha_beta_rules(2.0)),
        ({"rule": "clrp1"}, contrastive_rules(1)),
        ({"rule": "clrp2"}, contrastive_rules(2)),
    ):
        expected = relevance_maps(unrolled_relevance(network, images, rules), 3)
        torch.testing.assert_close(relevance_maps(prepare_relevance(network, images, **options), 3), expected)
    for wrong in ({"rule": "gamma"}, {"encoder_gradient": "some"}):
        with pytest.raises(ValueError, match="one of epsilon, alpha_beta, clrp1, clrp2"):
            prepare_relevance(network, images, **wrong)


def test_refusals():
    images = random_images(33, 33)
    with pytest.raises(ValueError, match="at least 1"):
        alpha_beta_rules(0.9)
    with pytest.raises(ValueError, match="types 1 and 2"):
        contrastive_rules(3)
    with pytest.raises(ValueError, match="takes any network"):
        record(Classifier(build_backbone("mobilenet_v2", output_stride=16, width=0.25), 2), images.float())
    with pytest.raises(ValueError, match="output stride 32"):
        record(Classifier(build_backbone("vgg16", output_stride=8, width=1 / 16), 2), images.float())
    with pytest.raises(ValueError, match="average pooling"):
        record(Classifier(build_backbone("vgg16", output_stride=32, width=1 / 16), 2, pooling="max"), images.float())
    network = small_classifier()
    network.backbone.layer1[0].relu = nn.Identity()
    with pytest.raises(ValueError, match="negative"):
        relevance_maps(unrolled_relevance(network, images, alpha_beta_rules()), 3)


class Logits(nn.Module):
    """A classifier that returns its logits alone."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).logits


@pytest.mark.parametrize("alpha", [None, 1.0, 2.0])
def test_zennit_agrees(alpha):
    """An implementation by others, on VGG: the epsilon rule, and alpha-beta with the z-box rule for the image."""
    network, images = case("vgg16")
    low, high = (bound[:, None, None, None].expand_as(images) for bound in images.flatten(1).aminmax(dim=1))
    layers = (nn.Linear, nn.Conv2d)
    if alpha is None:
        rules, theirs = epsilon_rules(1e-8), (Epsilon(epsilon=1e-8), Epsilon(epsilon=1e-8))
    else:
        rules = alpha_beta_rules(alpha)
        theirs = AlphaBeta(alpha=alpha, beta=alpha - 1, zero_params="bias"), ZBox(low, high, zero_params="bias")
    composite = SpecialFirstLayerMapComposite([(layers, theirs[0])], [(layers, theirs[1])])
    with torch.no_grad():
        ours = relevance_maps(unrolled_relevance(network, images, rules), 3)
    with composite.context(Logits(network)) as changed:
        copy = images.clone().requires_grad_()
        logits = changed(copy)
        (relevance,) = torch.autograd.grad(logits, copy, initial_relevance(logits.detach(), [1])[0])
    torch.testing.assert_close(ours[:, 1], relevance.sum(1), rtol=0, atol=1e-4 * ours[:, 1].abs().max().item())
