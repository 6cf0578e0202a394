from functools import partial

import pytest
import torch

from wsss_lib.data.mixing import mixup
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.hidden_mixing import mixed_output

PARTNERS = torch.tensor([2, 0, 1])
MIX = partial(mixup, share=0.3, partners=PARTNERS)


def small(name="resnet18", **options):
    options = {"output_stride": 8, "width": 0.125} | options
    return Classifier(build_backbone(name, **options), 4).eval()


def hooks(network):
    return [module for module in network.modules() if module._forward_hooks or module._forward_pre_hooks]


@torch.no_grad()
def test_what_follows_a_layer_sees_mixed_features():
    network, images = small(), torch.randn(3, 3, 32, 32)
    backbone = network.backbone
    stem = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images))))
    features = backbone.layer2(backbone.layer1(stem))
    expected = backbone.layer4(backbone.layer3(0.3 * features + 0.7 * features[PARTNERS]))
    with mixed_output(backbone, "layer2", MIX):
        output = network(images)
    torch.testing.assert_close(output.features, expected)
    assert not torch.allclose(output.logits, network(images).logits)


@torch.no_grad()
@pytest.mark.parametrize("layer", ["input", "layer1", "layer2.1", "layer4"])
def test_shares_of_zero_and_one_mix_nothing(layer):
    network, images = small(), torch.randn(3, 3, 32, 32)
    for share, expected in ((1.0, images), (0.0, images[PARTNERS])):
        with mixed_output(network.backbone, layer, partial(mixup, share=share, partners=PARTNERS)):
            output = network(images)
        torch.testing.assert_close(output.logits, network(expected).logits)


@torch.no_grad()
def test_mixing_the_input_is_mixing_the_images():
    network, images = small(), torch.randn(3, 3, 32, 32)
    with mixed_output(network.backbone, "input", MIX):
        output = network(images)
    torch.testing.assert_close(output.logits, network(MIX(images)).logits)


@torch.no_grad()
@pytest.mark.parametrize(
    "name, layer, options",
    [("resnet38", "b4_5", {"width": 1 / 16}), ("mobilenet_v2", "features.3", {}), ("vgg16", "features.5", {})],
)
def test_layers_of_other_backbones(name, layer, options):
    network, images = small(name, **options), torch.randn(3, 3, 32, 32)
    with mixed_output(network.backbone, layer, MIX):
        mixed = network(images)
    assert mixed.features.shape == network(images).features.shape
    assert not torch.allclose(mixed.logits, network(images).logits)


def test_the_gradient_reaches_both_images():
    network, images = small().train(), torch.randn(3, 3, 32, 32, requires_grad=True)
    network.freeze(batch_norm_statistics=True)
    with mixed_output(network.backbone, "layer3", MIX):
        logits = network(images).logits
    logits[0].sum().backward()
    assert images.grad[0].any() and images.grad[2].any() and not images.grad[1].any()


def test_no_hook_remains_even_when_the_body_fails():
    network = small()
    for layer in ("input", "layer1"):
        with pytest.raises(KeyError, match="body"), mixed_output(network.backbone, layer, MIX):
            raise KeyError("body")
        with mixed_output(network.backbone, layer, MIX):
            network(torch.randn(3, 3, 32, 32))
    assert hooks(network) == []


@pytest.mark.parametrize("layer", ["layer9", ""])
def test_an_unknown_layer_is_refused(layer):
    with pytest.raises(ValueError, match=r"choose input, conv1, .*layer4"), mixed_output(small().backbone, layer, MIX):
        pass


def test_a_layer_that_does_not_run_is_refused():
    with pytest.raises(ValueError, match="did not run"), mixed_output(small().backbone, "layer1", MIX):
        pass


def test_a_layer_with_many_outputs_is_refused():
    network = small()
    with pytest.raises(ValueError, match="gives a list"), mixed_output(network, "backbone", MIX):
        network(torch.randn(3, 3, 32, 32))
    assert hooks(network) == []
