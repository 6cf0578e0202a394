"""Relevance as input times gradient: the plain gradient, what trains what, memory of one class, odd sizes."""

import weakref

import pytest
import torch
from torch import nn

from wsss_lib.maps.relevance import input_times_gradient, iterative_relevance_maps, relevance_layers, relevance_maps
from wsss_lib.maps.unrolled_decoder import prepare_relevance
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.tests.maps.small import random_images, small_classifier

ENCODERS = ["resnet18", "resnet34", "resnet50", "resnet101", "vgg16", "vgg16_bn"]


def plain(network, images):
    """Input times gradient, one image and class after the other."""
    maps = []
    for image in images:
        image = image[None].clone().requires_grad_()
        logits = network(image).logits[0]
        gradients = [torch.autograd.grad(logit, image, retain_graph=True)[0] for logit in logits]
        maps.append(torch.stack([(image * gradient)[0].sum(0) for gradient in gradients]).detach())
    return torch.stack(maps)


def seg_loss(maps, seed=1):
    weights = torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed)).double()
    return (maps * weights).sum() + (maps**2).sum()


@pytest.mark.parametrize(("name", "at_once"), [(name, 2) for name in ENCODERS] + [("resnet18", 1), ("vgg16_bn", 3)])
def test_is_input_times_gradient(name, at_once):
    network, images = small_classifier(name), random_images(*((33, 39) if name.startswith("vgg") else (17, 22)))
    with torch.no_grad():
        ours = relevance_maps(input_times_gradient(network, images), 3, at_once)
    torch.testing.assert_close(ours, plain(network, images), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 31)])
def test_small_and_odd_sizes_of_resnets(size):
    network, images = small_classifier(), random_images(*size)
    with torch.no_grad():
        for unpool in ("sum", "last"):
            maps = relevance_maps(input_times_gradient(network, images, unpool=unpool), 3)
            assert maps.shape == (2, 3, *size) and maps.isfinite().all()


def test_vgg_refuses_images_that_vanish():
    with pytest.raises(ValueError, match="32 px or more"):
        input_times_gradient(small_classifier("vgg16"), random_images(31, 64))


def test_last_window_loses_relevance():
    network, images = small_classifier(bias=False), random_images(32, 32)
    with torch.no_grad():
        exact = relevance_maps(input_times_gradient(network, images), 3)
        last = relevance_maps(input_times_gradient(network, images, unpool="last"), 3)
        batched = relevance_maps(input_times_gradient(network, images, unpool="last"), 3, 3)
    torch.testing.assert_close(batched, last)
    assert (exact - last).abs().max() > 0.05 * exact.abs().max()


def test_homogeneous_network_conserves():
    network, images = small_classifier("vgg16"), random_images(32, 32)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    with torch.no_grad():
        maps = relevance_maps(input_times_gradient(network, images), 3)
        torch.testing.assert_close(maps.sum((2, 3)), network(images).logits)


def double_backward(network, images, parameters):
    """Gradient of the loss through the plain gradient of the logits."""
    images = images.clone().requires_grad_()
    logits = network(images).logits
    gradients = [torch.autograd.grad(z.sum(), images, create_graph=True)[0] for z in logits.unbind(1)]
    maps = torch.stack([(images * gradient).sum(1) for gradient in gradients], 1)
    return torch.autograd.grad(seg_loss(maps), parameters, allow_unused=True)


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn"])
@pytest.mark.parametrize("iterative", [False, True])
def test_gradient_is_the_double_backward(name, iterative):
    network, images = small_classifier(name), random_images(33, 33)
    parameters = list(network.parameters())
    maps_of = input_times_gradient(network, images)
    maps = iterative_relevance_maps(maps_of, 3, parameters) if iterative else relevance_maps(maps_of, 3)
    ours = torch.autograd.grad(seg_loss(maps), parameters, allow_unused=True)
    for got, wanted in zip(ours, double_backward(network, images, parameters), strict=True):
        if got is None:
            assert wanted is None or not wanted.any()
        else:
            torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)
    assert sum(got is not None and bool(got.any()) for got in ours) > 10


@pytest.mark.parametrize("unpool", ["sum", "last"])
def test_iterative_and_joint_gradients_agree_in_training_mode(unpool):
    network, images = UnrolledClassifier(small_classifier(), tie="untied").train(), random_images(24, 24)
    parameters, found = list(network.parameters()), []
    for iterative in (False, True):
        maps_of = input_times_gradient(
            network.classifier, images, unpool=unpool, decoder_weights=network.decoder_weights()
        )
        maps = iterative_relevance_maps(maps_of, 3, parameters) if iterative else relevance_maps(maps_of, 3)
        network.zero_grad()
        seg_loss(maps).backward()
        found.append([parameter.grad for parameter in network.copies])
        assert all(p.grad is None or not p.grad.any() for p in network.classifier.parameters()), "encoder_gradient none"
    for joint, one_by_one in zip(*found, strict=True):
        torch.testing.assert_close(joint, one_by_one, rtol=1e-10, atol=1e-12)


def test_iterative_form_holds_one_class_at_a_time():
    network, images = small_classifier(), random_images(16, 16)
    maps_of, graphs, highest = input_times_gradient(network, images), [], []

    def watched(classes):
        highest.append(sum(graph() is not None for graph in graphs))
        maps = maps_of(classes)
        graphs.extend([weakref.ref(maps)] if maps.requires_grad else [])
        return maps

    seg_loss(iterative_relevance_maps(watched, 3, list(network.parameters()))).backward()
    assert len(graphs) == 3 and max(highest) == 0, "the map of a class is gone before the next one is made"
    joint = [watched([k]) for k in range(3)]
    assert highest[-1] == 2 and len(joint) == 3, "the joint form holds them all"


def test_untied_decoder_starts_as_the_tied_one_and_departs():
    network, images = UnrolledClassifier(small_classifier(), tie="untied"), random_images(16, 16)
    options = {"unpool": "sum", "decoder_weights": network.decoder_weights()}
    with torch.no_grad():
        tied = relevance_maps(input_times_gradient(network.classifier, images), 3)
        torch.testing.assert_close(relevance_maps(input_times_gradient(network.classifier, images, **options), 3), tied)
        network.copies[0].mul_(2)
        doubled = relevance_maps(input_times_gradient(network.classifier, images, **options), 3)
    torch.testing.assert_close(doubled, 2 * tied)


@pytest.mark.parametrize("same_padding", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (33, 40)])
def test_untied_mobilenet_has_the_maps_and_gradients_of_the_tied_one(size, same_padding):
    encoder = build_backbone("mobilenet_v2", output_stride=32, width=0.25, same_padding=same_padding)
    network = UnrolledClassifier(Classifier(encoder, 3, bias=True), tie="untied").double().eval()
    images, copies = random_images(*size), network.decoder_weights()
    tied = relevance_maps(input_times_gradient(network.classifier, images), 3)
    untied = relevance_maps(input_times_gradient(network.classifier, images, decoder_weights=copies), 3, at_once=2)
    torch.testing.assert_close(tied.detach(), plain(network.classifier, images), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(untied, tied, rtol=1e-9, atol=1e-12)
    weights = [network.classifier.get_submodule(name).weight for name in copies]
    of_tied = torch.autograd.grad(seg_loss(tied), weights)
    of_untied = torch.autograd.grad(seg_loss(untied), list(copies.values()))
    for name, shared, copied in zip(copies, of_tied, of_untied, strict=True):
        torch.testing.assert_close(copied, shared, rtol=1e-7, atol=1e-12, msg=name)


def test_untied_maps_work_in_mixed_precision():
    network, images = UnrolledClassifier(small_classifier(), tie="untied").float(), random_images(16, 16).float()
    copies = network.decoder_weights()
    exact = relevance_maps(input_times_gradient(network.classifier, images, decoder_weights=copies), 3)
    with torch.autocast("cpu", torch.bfloat16):
        maps = relevance_maps(input_times_gradient(network.classifier, images, decoder_weights=copies), 3)
    seg_loss(maps.double()).backward()
    torch.testing.assert_close(maps, exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
    assert all(torch.isfinite(copy.grad).all() and copy.grad.any() for copy in network.copies)


def test_batch_statistics_are_constants_and_updated_by_the_network_alone():
    network, images = small_classifier().train(), random_images(16, 16)
    before = {name: value.clone() for name, value in network.named_buffers()}
    with torch.no_grad():
        in_training = relevance_maps(input_times_gradient(network, images), 3)
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name])
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        correction = {}
        for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.register_forward_hook(
                lambda m, inputs, _: correction.update({m: inputs[0].numel() // inputs[0].shape[1]})
            )
        network(images)
        for norm, count in correction.items():
            norm.running_var.mul_((count - 1) / count)  # the running variance is unbiased
            norm._forward_hooks.clear()
        network.eval()
        torch.testing.assert_close(relevance_maps(input_times_gradient(network, images), 3), in_training)


def slope(network, images, tie, along, step=1e-6):
    """Change of the loss when the parameters go a little way along the given directions, by two forward runs."""
    parameters, found = [p for p in network.parameters() if p in along], []
    for way in (step, -2 * step, step):
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(way * along[parameter])
            found.append(loss_of(network, images, tie).item())
    return (found[0] - found[1]) / (2 * step)


def loss_of(network, images, tie):
    copies = network.decoder_weights() if tie == "untied" else None
    return seg_loss(relevance_maps(input_times_gradient(network.classifier, images, decoder_weights=copies), 3))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tie", ["shared", "untied"])
def test_gradient_is_the_slope_of_the_loss(tie, training):
    """Also in training mode, where weights that are shared make the statistics of batch norm as well."""
    network = UnrolledClassifier(small_classifier(), tie=tie).train(training)
    images = random_images(24, 24, batch=4)
    trained = list(network.copies if tie == "untied" else network.parameters())
    gradients = torch.autograd.grad(loss_of(network, images, tie), trained, allow_unused=True, materialize_grads=True)
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    measured = slope(network, images, tie, dict(zip(trained, [g / length for g in gradients], strict=True)))
    assert measured == pytest.approx(length.item(), rel=1e-6)


def test_a_step_updates_the_statistics_once():
    network, images = UnrolledClassifier(small_classifier()).train(), random_images(16, 16)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [int(norm.num_batches_tracked) for norm in norms]
    logits = network(images).logits
    maps_of = input_times_gradient(network.classifier, images, wanted=torch.tensor([True, False]))
    maps = iterative_relevance_maps(maps_of, 3, list(network.parameters()))
    (seg_loss(maps) + logits.sum()).backward()
    assert [int(norm.num_batches_tracked) - number for norm, number in zip(norms, before, strict=True)] == [1] * len(
        norms
    )


def test_layers_are_as_before_afterwards():
    network = small_classifier()
    copies = UnrolledClassifier(network, tie="untied").decoder_weights()
    with pytest.raises(KeyError), relevance_layers(network, "last", copies):
        assert any("forward" in vars(layer) for layer in network.modules())
        raise KeyError
    assert not any("forward" in vars(layer) for layer in network.modules())


def test_a_network_without_unrolled_decoder_has_relevance_too():
    network = Classifier(build_backbone("mobilenet_v2", output_stride=16, width=0.25), 2).eval()
    with torch.no_grad():
        maps = relevance_maps(input_times_gradient(network, random_images(33, 40).float()), 2, at_once=2)
    assert maps.shape == (2, 2, 33, 40) and maps.any()


def test_bad_arguments():
    network, images = small_classifier(), random_images(8, 8)
    with pytest.raises(ValueError, match="choose sum"):
        input_times_gradient(network, images, unpool="first")
    with pytest.raises(ValueError, match="every convolution and linear layer"):
        input_times_gradient(network, images, decoder_weights={"head": network.head.weight})


@pytest.mark.parametrize("rule", ["epsilon", "alpha_beta"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("wanted", [[True, False, True], [False, False, False], [True, True, True]])
def test_maps_of_some_images_are_those_of_the_whole_batch(rule, training, wanted):
    network, images = small_classifier().train(training), random_images(17, 22, batch=3)
    running = {name: value.clone() for name, value in network.named_buffers()}
    wanted = torch.tensor(wanted)
    some = relevance_maps(prepare_relevance(network, images, wanted=wanted, rule=rule), 3)
    whole = relevance_maps(prepare_relevance(network, images, rule=rule), 3)[wanted]
    torch.testing.assert_close(some, whole, rtol=1e-9, atol=1e-12)
    weights = [network.head.weight, network.backbone.layer1[0].conv1.weight]
    settings = {"allow_unused": True, "materialize_grads": True}  # no image, no graph
    gradients = [torch.autograd.grad(seg_loss(maps), weights, **settings) for maps in (some, whole)]
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-12)
    assert all(torch.equal(value, running[name]) for name, value in network.named_buffers()), "nothing is updated"
