"""MobileNetV2: torchvision's numbers, and the alignment of TensorFlow's padding."""

import pytest
import torch
from torchvision import models

from wsss_lib.networks.mobilenet import MobileNetV2, SameConv2d
from wsss_lib.tests.fill import fill_module


@torch.no_grad()
@pytest.mark.parametrize("width", [1.0, 0.35])
def test_features_are_those_of_torchvision(width):
    theirs = fill_module(models.mobilenet_v2(width_mult=width)).eval()
    ours = MobileNetV2(width=width).eval()
    ours.features.load_state_dict(theirs.features.state_dict())
    images = torch.randn(1, 3, 49, 64)
    taps = ours(images)
    features = images
    for index, layer in enumerate(theirs.features):
        features = layer(features)
        if index in (1, 3, 6, 13, 18):
            torch.testing.assert_close(taps[(1, 3, 6, 13, 18).index(index)], features)
    assert features.std() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("same_padding", [False, True])
@pytest.mark.parametrize("output_stride", [16, 8, 4])
def test_features_of_a_smaller_stride_contain_those_of_a_larger_one(same_padding, output_stride):
    """With SAME padding at even sizes a strided feature sits half a stride further right and below."""
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    options = {"width": 0.25, "same_padding": same_padding}
    coarse = fill_module(MobileNetV2(**options)).double().eval()(images)[-1]
    fine = fill_module(MobileNetV2(**options, output_stride=output_stride)).double().eval()(images)[-1]
    step = 32 // output_stride
    first = step - 1 if same_padding else 0
    torch.testing.assert_close(fine[..., first::step, first::step], coarse)
    assert coarse.std() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("size, first", [(8, 1), (9, 0)])
def test_same_padding_at_stride_2_centres_on_odd_pixels_of_even_sizes(size, first):
    """TensorFlow pads an even side by one pixel at its end only, so the window of output i is 2i, 2i + 1, 2i + 2."""
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    conv.weight.zero_()[0, 0, 1, 1] = 1.0  # reads the pixel in the middle of the window
    pixels = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    assert torch.equal(conv(pixels), pixels[..., first::2, first::2])
    conv.weight.fill_(1.0)
    assert conv(pixels)[0, 0, -1, -1] == (pixels[0, 0, -2:, -2:].sum())


@torch.no_grad()
@pytest.mark.parametrize("same_padding", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (50, 75)])
def test_taps_have_the_channels_and_strides_announced(size, same_padding):
    network = MobileNetV2(width=0.25, output_stride=16, same_padding=same_padding)
    network = network.to(memory_format=torch.channels_last)
    taps = network(torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last))
    assert network.tap_strides == [2, 4, 8, 16, 16]
    for tap, channels, stride in zip(taps, network.tap_channels, network.tap_strides, strict=True):
        assert tap.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))
        assert tap.is_contiguous(memory_format=torch.channels_last)


def test_the_last_layer_never_gets_narrower():
    assert MobileNetV2(width=0.25).tap_channels[-1] == 1280
