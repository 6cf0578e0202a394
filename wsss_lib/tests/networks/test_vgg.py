"""VGG-16: torchvision's numbers under torchvision's names, and PSA's layers."""

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from wsss_lib.networks.vgg import PSAVGG16, VGG16, DenseMaxPool
from wsss_lib.tests.fill import fill_module


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_are_those_of_torchvision(batch_norm):
    with torch.device("meta"):
        theirs = make_layers(cfgs["D"], batch_norm=batch_norm)
        ours = VGG16(batch_norm=batch_norm)
    theirs = fill_module(theirs.to_empty(device="cpu")).eval()
    ours = ours.to_empty(device="cpu").eval()
    ours.features.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 32, 47)
    expected, features = [], images
    for layer in theirs:
        if isinstance(layer, nn.MaxPool2d):
            expected.append(features)
        features = layer(features)
    for tap, value in zip(ours(images), [*expected, features], strict=True):
        torch.testing.assert_close(tap, value)
    assert features.std() > 1e-4


@torch.no_grad()
def test_features_of_a_smaller_stride_contain_those_of_a_larger_one():
    images = torch.randn(2, 3, 64, 48, dtype=torch.float64)
    coarse = fill_module(VGG16(width=1 / 16, output_stride=16)).double().eval()(images)
    for output_stride in (8, 4, 2):
        network = fill_module(VGG16(width=1 / 16, output_stride=output_stride)).double().eval()
        fine = network(images)
        for coarse_tap, fine_tap, full, stride in zip(coarse, fine, (1, 2, 4, 8, 16), network.tap_strides, strict=True):
            step = full // stride
            torch.testing.assert_close(fine_tap[..., ::step, ::step], coarse_tap)
    assert coarse[-1].std() > 1e-3


def test_dense_pool_takes_the_maximum_at_every_position():
    values = torch.tensor([[[3.0, 1.0, -2.0], [0.0, -1.0, -3.0], [5.0, -4.0, -5.0]]])
    assert DenseMaxPool(1)(values).tolist() == [[[3, 1, -2], [5, -1, -3], [5, -4, -5]]]
    assert DenseMaxPool(2)(values).tolist() == [[[5, 1, -2], [0, -1, -3], [5, -4, -5]]]


@torch.no_grad()
@pytest.mark.parametrize("output_stride, taps", [(32, 6), (16, 5), (8, 5)])
def test_taps_have_the_channels_and_strides_announced(output_stride, taps):
    network = VGG16(width=1 / 16, output_stride=output_stride)
    outputs = network(torch.randn(1, 3, 50, 67))
    assert len(outputs) == taps
    for tap, channels, stride in zip(outputs, network.tap_channels, network.tap_strides, strict=True):
        assert tap.shape == (1, channels, 50 // stride, 67 // stride)


@torch.no_grad()
def test_layers_of_psa():
    network = PSAVGG16(width=1 / 16, fc6_dilation=4)
    taps = network(torch.randn(1, 3, 61, 80))
    assert [tap.shape[1:] for tap in taps] == [(channels, 8, 10) for channels in network.tap_channels]
    dilated = {name for name, module in network.named_modules() if getattr(module, "dilation", (1, 1)) != (1, 1)}
    assert dilated == {"conv5_1", "conv5_2", "conv5_3", "fc6"}
    frozen = {name.split(".")[0] for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"conv1_1", "conv1_2", "conv2_1", "conv2_2"}
    assert network.normalization.order == "bgr"
