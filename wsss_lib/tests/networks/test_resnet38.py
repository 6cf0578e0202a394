"""ResNet-38 in narrow form, and the head of KTSE from its formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wsss_lib.networks.resnet38 import GatedPyramidClassifier, GatedPyramidHead, ResNet38

NARROW = 1 / 16


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (41, 70)])
def test_taps_have_the_channels_and_strides_announced(size):
    network = ResNet38(width=NARROW).eval()
    for tap, channels, stride in zip(
        network(torch.randn(2, 3, *size)), network.tap_channels, network.tap_strides, strict=True
    ):
        assert tap.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


@torch.no_grad()
def test_conv4_and_conv5_are_the_activated_inputs_of_b5_and_b6():
    network = ResNet38(width=NARROW).eval()
    inputs = {}
    for name in ("b5", "b6"):
        module = network.get_submodule(name)
        module.register_forward_pre_hook(lambda _, given, name=name: inputs.update({name: given[0]}))
    _, _, conv4, conv5, _ = network(torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(conv4, network.b5.bn_branch2a(inputs["b5"]).relu())
    torch.testing.assert_close(conv5, network.b6.bn_branch2a(inputs["b6"]).relu())


def test_from_scratch_everything_trains():
    network = ResNet38(width=NARROW, freeze=False).train()
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


def test_a_training_step_moves_the_free_layers_only():
    network = ResNet38(width=NARROW)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(2, 3, 24, 24))[-1].sum().backward()
    optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all("conv_branch" in name and not name.startswith("b2") for name in moved)


def gate(first, second, weight_p, weight_n):
    """Gate of two stacks [K, h, w], written position by position."""
    blended = torch.zeros_like(first)
    for weight, sign in ((weight_p, 1.0), (weight_n, -1.0)):
        a, b = (sign * first).clamp(min=0), (sign * second).clamp(min=0)
        padded = F.pad(torch.cat((a, b)), (1, 1, 1, 1))
        for row in range(first.shape[1]):
            for column in range(first.shape[2]):
                window = padded[:, row : row + 3, column : column + 3]
                p, q = (torch.sigmoid((window * weight[index]).sum()) for index in range(2))
                blended[:, row, column] += sign * (a[:, row, column] * p + b[:, row, column] * q) / 2
    return blended


@torch.no_grad()
def test_head_equals_its_formulas():
    num_classes, (height, width) = 3, (5, 6)
    head = GatedPyramidHead(channels=4, num_classes=num_classes)
    features = torch.randn(2, 4, height, width)
    output = head(features)
    for image in range(2):
        segmentation = torch.einsum("chw,kc->khw", features[image], head.fc9.weight[:, :, 0, 0])
        maps = segmentation[1:]
        pyramid = [
            F.interpolate(
                F.adaptive_avg_pool2d(maps[None], side), (height, width), mode="bilinear", align_corners=False
            )[0]
            for side in (2, 4, 8, 16)
        ]
        gated = pyramid[0]
        for module, finer in zip((head.gconv1, head.gconv2, head.gconv3), pyramid[1:], strict=True):
            gated = gate(gated, finer, module.att_p[0].weight, module.att_n[0].weight)
        torch.testing.assert_close(output.segmentation_logits[image], segmentation)
        torch.testing.assert_close(output.maps[image], maps)
        torch.testing.assert_close(output.gated_maps[image], gated)
        for k in range(num_classes):
            pairs = zip(maps[k].flatten().tolist(), gated[k].flatten().tolist(), strict=True)
            score = sum(max(m, 0) * max(g, 0) - max(-m, 0) * max(-g, 0) for m, g in pairs) / (height * width)
            assert output.logits[image, k].item() == pytest.approx(score, abs=1e-6)


@torch.no_grad()
def test_ktse_classifier_returns_named_outputs():
    network = GatedPyramidClassifier(ResNet38(width=NARROW, dropouts=(0.2, 0.2)), num_classes=3, channels=8).eval()
    output = network(torch.randn(2, 3, 40, 48))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 8, 5, 6) and output.features.min() == 0
    assert output.maps.shape == output.gated_maps.shape == (2, 3, 5, 6)
    assert torch.equal(output.segmentation_logits[:, 1:], output.maps)
    rates = {module.p for module in network.modules() if isinstance(module, nn.Dropout2d)}
    assert rates == {0.2}
    assert network.normalization is network.backbone.normalization
