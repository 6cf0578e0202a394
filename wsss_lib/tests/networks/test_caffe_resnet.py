"""Caffe's ResNet: strides, dilations and weights of a small one."""

import pytest
import torch

from wsss_lib.networks.base import CAFFE
from wsss_lib.networks.caffe_resnet import CAFFE_DEPTHS, CaffeBottleneck, CaffeResNet, ConvNorm
from wsss_lib.networks.resnet import DEPTHS
from wsss_lib.tests.fill import fill_module

WIDTH = 1 / 16


def small(**options) -> CaffeResNet:
    return CaffeResNet((1, 1, 2, 3), width=WIDTH, **options)


def strides_and_dilations(network: CaffeResNet) -> dict[str, tuple[int, int]]:
    """Of every block: stride of its first and dilation of its 3x3 convolution."""
    blocks = {name: block for name, block in network.named_modules() if isinstance(block, CaffeBottleneck)}
    return {
        name: (block.reduce.conv.stride[0], block.conv3x3.conv.dilation[0])
        for name, block in blocks.items()
        if block.conv3x3.conv.padding == block.conv3x3.conv.dilation
    }


@pytest.mark.parametrize(
    "output_stride, multi_grid, expected",
    [
        (8, (), [(1, 1), (2, 1), (1, 2), (1, 2), (1, 4), (1, 4), (1, 4)]),
        (16, (), [(1, 1), (2, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 2)]),
        (16, (1, 2, 4), [(1, 1), (2, 1), (2, 1), (1, 1), (1, 2), (1, 4), (1, 8)]),
        (32, (), [(1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1)]),
    ],
)
@torch.no_grad()
def test_strides_and_dilations(output_stride, multi_grid, expected):
    network = small(output_stride=output_stride, multi_grid=multi_grid).eval()
    assert list(strides_and_dilations(network).values()) == expected
    assert network.tap_strides[-1] == output_stride and network.normalization is CAFFE
    for tap, channels, stride in zip(
        network(torch.randn(1, 3, 65, 97)), network.tap_channels, network.tap_strides, strict=True
    ):
        assert tap.shape == (1, channels, -(-65 // stride), -(-97 // stride))


@torch.no_grad()
def test_the_pool_rounds_up():
    assert next(tap.shape[-2:] for tap in small().eval()(torch.randn(1, 3, 64, 65))) == (17, 17)


def test_as_deep_as_torchvisions():
    assert {f"caffe_{name}": DEPTHS[name][1] for name in ("resnet50", "resnet101")} == CAFFE_DEPTHS


@torch.no_grad()
def test_a_block_adds_what_it_computes_to_its_input():
    block = fill_module(CaffeBottleneck(8, 2, stride=1, dilation=2, project=False)).eval()
    features = torch.randn(1, 8, 5, 5)
    hidden = block.reduce.bn(block.reduce.conv(features)).relu()
    hidden = block.conv3x3.bn(block.conv3x3.conv(hidden)).relu()
    expected = (block.increase.bn(block.increase.conv(hidden)) + features).relu()
    assert torch.allclose(block(features), expected, atol=1e-6)
    projected = CaffeBottleneck(8, 2, stride=2, dilation=1, project=True)
    assert isinstance(projected.shortcut, ConvNorm) and projected(torch.randn(2, 8, 5, 5)).shape == (2, 8, 3, 3)


@pytest.mark.parametrize("prefix", ["", "base.", "module.base."])
def test_weights_of_the_authors_are_loaded_and_their_head_is_left_aside(tmp_path, prefix):
    source = fill_module(small())
    stored = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    torch.save(stored | {f"{prefix}fc.weight": torch.zeros(5, 3)}, tmp_path / "coco.pth")
    loaded = small(weights=tmp_path / "coco.pth").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.state_dict().items())


def test_weights_that_do_not_fit(tmp_path):
    torch.save(CaffeResNet((1, 1, 1, 1), width=WIDTH).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"missing: layer4\.block2"):
        small(weights=tmp_path / "other.pth")


def test_multi_grid_has_a_factor_for_each_block():
    with pytest.raises(ValueError, match="should have 3 factors"):
        small(multi_grid=(1, 2))
