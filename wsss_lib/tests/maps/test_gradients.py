import copy

import pytest
import torch

from wsss_lib.maps.cam import class_activation_maps, class_score_maps
from wsss_lib.maps.gradients import (
    attributions,
    check_combination,
    depths_of,
    dynamic_weights,
    explained,
    gauss_legendre,
    has_closed_form,
    integrated_gradient,
    logit_gradient,
    prepare_attributions,
    score_maps,
    weighted_activations,
)
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.bcos import BcosClassifier
from wsss_lib.networks.classifier import Classifier
from wsss_lib.tests.networks.small_explainable import CLASSES, images_of, network_of

DEPTHS = ("Input", "Mid1", "Mid2", "Final")


def combinations():
    for kind in ("vanilla", "xdnn", "bcos"):
        for depth in ("Input", "Mid1", "Final"):
            for method in ("IxG", "BCos", "GradCam"):
                if (method != "BCos" or kind == "bcos") and (method, depth) != ("GradCam", "Input"):
                    yield kind, depth, method


def maps_of(network, images, pairs, method, depth, **options):
    return attributions(
        network, images, explained(network, images, depth), *pairs, method=method, depth=depth, **options
    )


@pytest.mark.parametrize(("kind", "depth", "method"), list(combinations()))
def test_pairs_of_a_batch_are_the_maps_of_single_images(kind, depth, method):
    network, images = network_of(kind), images_of(3)
    pairs = torch.tensor([[0, 0, 1, 2, 0, 2], [1, 3, 0, 2, 0, 1]])
    together = maps_of(network, images, pairs, method, depth)
    assert not together.requires_grad
    for place, (image, k) in enumerate(pairs.T.tolist()):
        one = images[image : image + 1]
        alone = maps_of(network, one, torch.tensor([[0], [k]]), method, depth)[0]
        assert torch.allclose(together[place], alone, atol=2e-4 * alone.abs().max().item() + 1e-8)


@pytest.mark.parametrize("depth", DEPTHS)
def test_contributions_of_bcos_add_up_to_the_logit(depth):
    network, images = network_of("bcos"), images_of(2)
    with torch.no_grad():
        logits = network(images).logits
    pairs = torch.ones(2, CLASSES).nonzero().T
    sums = maps_of(network, images, pairs, "BCos", depth).sum((1, 2)).view(2, CLASSES)
    assert torch.allclose(sums, logits + 3, rtol=1e-3, atol=1e-5) and (logits + 3).abs().max() > 1e-3


@pytest.mark.parametrize("depth", DEPTHS)
def test_input_times_gradient_of_xdnn_adds_up_to_the_logit_less_its_bias(depth):
    network, images = network_of("xdnn"), images_of(2)
    with torch.no_grad():
        logits = network(images).logits - network.head.bias
    pairs = torch.ones(2, CLASSES).nonzero().T
    sums = maps_of(network, images, pairs, "IxG", depth).sum((1, 2)).view(2, CLASSES)
    assert torch.allclose(sums, logits, rtol=1e-3, atol=1e-5) and logits.abs().max() > 1e-3


@pytest.mark.parametrize("depth", DEPTHS)
def test_integrated_gradients_of_xdnn_are_input_times_gradient(depth):
    network, images = network_of("xdnn", bias=False), images_of(2)
    chosen = torch.eye(CLASSES)[[1, 2]]
    found = explained(network, images, depth)
    integrated = integrated_gradient(network, images, depth, chosen, steps=8)
    plain = logit_gradient(network, found, chosen)
    assert torch.allclose(
        weighted_activations(found.activations, integrated),
        weighted_activations(found.activations, plain),
        atol=1e-3 * weighted_activations(found.activations, plain).abs().max().item(),
    )


def test_integrated_gradients_are_complete():
    """They add up to the difference of the logits of the image and of zero input; input x gradient does not."""
    network, images = copy.deepcopy(network_of("vanilla")).double(), images_of(1).double()
    pairs = torch.tensor([[0], [2]])
    with torch.no_grad():
        expected = (network(images).logits - network(torch.zeros_like(images)).logits)[0, 2]
    errors = {}
    for method, steps in (("IxG", 1), ("IntGrad", 4), ("IntGrad", 32)):
        total = maps_of(network, images, pairs, method, "Input", steps=steps).sum()
        errors[method, steps] = ((total - expected) / expected).abs().item()
    assert errors["IntGrad", 32] < min(0.2, errors["IntGrad", 4], 0.5 * errors["IxG", 1])


def test_input_times_gradient_at_final_is_a_class_activation_map():
    for kind in ("vanilla", "xdnn"):
        network, images = network_of(kind), images_of(2)
        output, pairs = network(images), torch.tensor([[0, 1], [3, 1]])
        cam = class_score_maps(output.features, network.head_weight)[*pairs] / output.features[0, 0].numel()
        assert torch.allclose(maps_of(network, images, pairs, "IxG", "Final"), cam, atol=1e-6)
        found = explained(network, images, "Final")
        gradient = logit_gradient(network, found, torch.eye(CLASSES)[pairs[1]])
        assert torch.allclose(weighted_activations(found.activations, gradient), cam, atol=1e-5)
        positive = class_activation_maps(output.features, network.head_weight)[*pairs] / cam[0].numel()
        assert torch.allclose(maps_of(network, images, pairs, "GradCam", "Final"), positive, atol=1e-6)


@pytest.mark.parametrize("method", ["IxG", "BCos"])
def test_closed_form_of_bcos_has_the_maps_and_the_gradients_of_the_weights(method):
    network, images, pairs = network_of("bcos"), images_of(2), torch.tensor([[0, 1], [3, 1]])
    closed = maps_of(network, images, pairs, method, "Final", create_graph=True)
    found = explained(network, images, "Final")
    chosen = torch.eye(CLASSES)[pairs[1]]
    gradient = logit_gradient(network, found, chosen, explaining=method == "BCos", create_graph=True)
    slow = weighted_activations(found.activations, gradient)
    assert torch.allclose(closed, slow, atol=1e-4 * slow.abs().max().item())
    weights = (network.head.linear.weight, network.backbone.conv1.linear.weight)
    for ours, theirs in zip(
        torch.autograd.grad(closed.square().sum(), weights),
        torch.autograd.grad(slow.square().sum(), weights),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-3 * theirs.abs().max().item()) and theirs.abs().max() > 0


def test_closed_forms():
    bcos, vanilla = network_of("bcos"), network_of("vanilla")
    assert has_closed_form(vanilla, "GradCam", "Final") and not has_closed_form(bcos, "GradCam", "Final")
    assert not has_closed_form(vanilla, "IxG", "Mid1")
    assert score_maps(bcos, bcos(images_of(1)).features).shape == (1, CLASSES, 4, 4)


@pytest.mark.parametrize(("kind", "depth", "method"), list(combinations()))
def test_a_loss_on_the_maps_reaches_the_weights_in_training(kind, depth, method):
    network, images = copy.deepcopy(network_of(kind)).train(), images_of(2)
    maps = maps_of(network, images, torch.tensor([[0, 1], [0, 2]]), method, depth, create_graph=True)
    maps.square().sum().backward()
    assert next(network.backbone.conv1.parameters()).grad.abs().sum() > 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


def test_dynamic_weights_times_input_is_the_logit():
    network, images = network_of("bcos"), images_of(2)
    weights, inputs = dynamic_weights(network, images, [0, 3])
    logits = network(images).logits[[0, 1], [0, 3]] - network.logit_layer.bias
    assert weights.shape == (2, 6, 32, 32)
    assert torch.allclose((weights * inputs).sum((1, 2, 3)), logits, rtol=1e-3, atol=1e-5)


def test_no_pair_no_map():
    network, images, nothing = network_of("vanilla"), images_of(2), torch.zeros(2, 0, dtype=torch.long)
    for depth, size in (("Final", 4), ("Mid1", 8)):
        assert maps_of(network, images, nothing, "IxG", depth).shape == (0, size, size)
    empty = torch.zeros(0, 4, 4)
    assert prepare_attributions(empty, (8, 8), only_positive=True, divide_by_maximum=True).shape == (0, 8, 8)


def test_preparation_leaves_zeros_with_a_finite_gradient():
    maps = torch.zeros(1, 2, 2, requires_grad=True)
    prepared = prepare_attributions(maps, (4, 4), only_positive=True, divide_by_maximum=True)
    (gradient,) = torch.autograd.grad(prepared.sum(), maps)
    assert not prepared.any() and torch.isfinite(gradient).all()


def test_quadrature_integrates_polynomials():
    assert sum(weight * node**5 for node, weight in gauss_legendre(3)) == pytest.approx(1 / 6)


def test_depths_of_every_backbone():
    mobile = Classifier(build_backbone("mobilenet_v2", output_stride=16, width=0.25), 2)
    assert list(depths_of(mobile)) == ["Input", "Mid1", "Mid2", "Mid3", "Final"]
    assert explained(mobile.eval(), images_of(1, 64), "Mid2").activations.shape[2:] == (8, 8)
    assert list(depths_of(network_of("vanilla"))) == list(DEPTHS)
    assert explained(network_of("bcos"), images_of(1), "Input").activations.shape == (1, 6, 32, 32)


def test_refusals():
    vanilla, bcos = network_of("vanilla"), network_of("bcos")
    for network, method, depth, reason in (
        (vanilla, "LRP", "Final", "no attribution"),
        (vanilla, "IxG", "Mid3", "Input, Mid1, Mid2, Final"),
        (vanilla, "BCos", "Final", "B-cos networks only"),
        (bcos, "GradCam", "Input", "nothing for pixels"),
        (Classifier(vanilla.backbone, 2, pooling="max"), "IxG", "Final", "max pooling"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_combination(network, method, depth)
    with pytest.raises(ValueError, match="no depth"):
        explained(vanilla, images_of(1), "Mid3")
    check_combination(bcos, "BCos", "Input")
    assert isinstance(bcos, BcosClassifier)
