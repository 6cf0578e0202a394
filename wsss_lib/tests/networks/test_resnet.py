"""ResNets: torchvision's numbers under torchvision's names, at every output stride."""

import pytest
import torch
from torchvision import models

from wsss_lib.networks.resnet import DEPTHS, ResNet
from wsss_lib.tests.fill import fill_module


def filled(name: str, **options) -> ResNet:
    block, depths = DEPTHS[name]
    return fill_module(ResNet(block, depths, **options)).double().eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_are_those_of_torchvision(name):
    theirs = fill_module(models.get_model(name, weights=None)).double().eval()
    ours = ResNet(*DEPTHS[name]).double().eval()
    state = {entry: value for entry, value in theirs.state_dict().items() if not entry.startswith("fc.")}
    ours.load_state_dict(state)
    batch = images(49, 66)
    features = theirs.relu(theirs.bn1(theirs.conv1(batch)))
    expected = [features]
    features = theirs.maxpool(features)
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        features = layer(features)
        expected.append(features)
    for tap, value in zip(ours(batch), expected, strict=True):
        torch.testing.assert_close(tap, value)
    assert expected[-1].std() > 1e-3


@pytest.mark.parametrize("name", DEPTHS)
def test_entries_are_those_of_torchvision(name):
    with torch.device("meta"):
        theirs, ours = models.get_model(name, weights=None), ResNet(*DEPTHS[name])
    listed = {entry: value.shape for entry, value in theirs.state_dict().items() if not entry.startswith("fc.")}
    assert {entry: value.shape for entry, value in ours.state_dict().items()} == listed


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (65, 83)])
@pytest.mark.parametrize("name, small_stem", [("resnet18", False), ("resnet50", False), ("resnet18", True)])
def test_features_of_a_smaller_stride_contain_those_of_a_larger_one(name, small_stem, size):
    """Stride removal with dilation: every (32 / stride)-th feature is the feature at stride 32."""
    largest = 8 if small_stem else 32
    batch = images(*size)
    network = filled(name, output_stride=largest, width=1 / 16, small_stem=small_stem)
    coarse, coarse_strides = network(batch), network.tap_strides
    for output_stride in (largest // 2, largest // 4, largest // 8):
        network = filled(name, output_stride=output_stride, width=1 / 16, small_stem=small_stem)
        fine = network(batch)
        for stage in range(1, 5):
            step = coarse_strides[stage] // network.tap_strides[stage]
            torch.testing.assert_close(fine[stage][..., ::step, ::step], coarse[stage])
    assert coarse[-1].std() > 1e-3 and fine[-1].shape[-1] > 4 * coarse[-1].shape[-1]


@torch.no_grad()
@pytest.mark.parametrize("size", [(33, 64), (96, 70)])
@pytest.mark.parametrize(
    "options", [{}, {"output_stride": 8}, {"small_stem": True, "output_stride": 4}, {"stages": 2, "output_stride": 4}]
)
def test_taps_have_the_channels_and_strides_announced(options, size):
    network = filled("resnet18", width=0.25, **options)
    taps = network(images(*size))
    assert len(taps) == len(network.tap_strides) == options.get("stages", 4) + 1
    for tap, channels, stride in zip(taps, network.tap_channels, network.tap_strides, strict=True):
        assert tap.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


@torch.no_grad()
def test_strides_without_dilation_as_in_irn():
    plain = filled("resnet50", width=1 / 16, output_stride=16, dilate=False)
    assert {module.dilation for module in plain.modules() if isinstance(module, torch.nn.Conv2d)} == {(1, 1)}
    assert plain(images(64, 64))[-1].shape[-2:] == (4, 4)


def test_layers_keep_channels_last():
    network = ResNet(*DEPTHS["resnet18"], width=0.25, output_stride=8).to(memory_format=torch.channels_last)
    batch = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for tap in network(batch):
        assert tap.is_contiguous(memory_format=torch.channels_last)


def test_number_of_stages_is_checked():
    with pytest.raises(ValueError, match="1 to 4"):
        ResNet(*DEPTHS["resnet18"], stages=5)
