"""Dilation, multi-grid, deep stem and pooled shortcuts of small networks."""

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.networks.dilated_resnet import DilatedResNet, build_dilated_resnet, dilated_resnet_from_authors
from wsss_lib.networks.resnet import DEPTHS, ResNet
from wsss_lib.tests.fill import fill_module


def dilations(network, layer):
    return [block.conv2.dilation[0] for block in network.get_submodule(f"layer{layer}")]


def small(kind="b", **options):
    return DilatedResNet("resnet50", kind, width=1 / 8, **options)


def test_every_block_of_a_stage_is_dilated_alike():
    network = small(output_stride=8)
    assert [dilations(network, layer) for layer in (1, 2, 3, 4)] == [[1] * 3, [1] * 4, [2] * 6, [4] * 3]
    assert [block.conv2.stride[0] for block in network.layer3] == [1] * 6
    network = small("d", output_stride=16, multi_grid=(1, 2, 4))
    assert [dilations(network, layer) for layer in (3, 4)] == [[1] * 6, [2, 4, 8]]
    assert all(conv.padding == conv.dilation for conv in (block.conv2 for block in network.layer4))


@torch.no_grad()
def test_without_dilation_kind_b_is_torchvisions():
    ours, theirs = fill_module(small(output_stride=32)), fill_module(ResNet(*DEPTHS["resnet50"], width=1 / 8))
    images = torch.randn(1, 3, 64, 48)
    pairs = zip(ours.eval()(images), theirs.eval()(images), strict=True)
    assert all(torch.equal(own, other) for own, other in pairs)


@torch.no_grad()
def test_shortcut_of_kind_d_is_the_mean_of_two_by_two_pixels():
    network = fill_module(small("d", output_stride=32)).eval()
    _, conv, norm = shortcut = network.layer2[0].downsample
    for height, width in ((6, 8), (5, 7)):
        features = torch.randn(1, conv.in_channels, height, width)
        rows, columns = -(-height // 2), -(-width // 2)
        pooled = torch.stack(
            [
                features[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
                for row in range(rows)
                for column in range(columns)
            ],
            -1,
        )
        expected = norm(conv(pooled.view(1, -1, rows, columns)))
        assert torch.allclose(shortcut(features), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["b", "d"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_odd_sizes(kind, output_stride):
    taps = small(kind, output_stride=output_stride).eval()(torch.randn(1, 3, 66, 51))
    strides = small(kind, output_stride=output_stride).tap_strides
    assert [tap.shape[2:] for tap in taps] == [(-(-66 // stride), -(-51 // stride)) for stride in strides]


@torch.no_grad()
def test_deep_stem():
    network = fill_module(small("d")).eval()
    first, norm1, _, second, norm2, _, third = network.conv1
    images = torch.randn(1, 3, 16, 16)
    features = norm1(F.conv2d(images, first.weight, stride=2, padding=1)).relu()
    features = norm2(F.conv2d(features, second.weight, padding=1)).relu()
    expected = network.bn1(F.conv2d(features, third.weight, padding=1)).relu()
    assert torch.allclose(network(images)[0], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["b", "d"])
def test_weights_of_mmcv_and_torchvision_are_loaded(kind, tmp_path):
    network = build_dilated_resnet(f"resnet18_{kind}", output_stride=8, width=1 / 8)
    places = {"conv1.0": 0, "conv1.1": 1, "conv1.3": 3, "conv1.4": 4, "conv1.6": 6, "bn1": 7}
    stored = {}
    for name, value in fill_module(network).state_dict().items():
        layer, _, entry = name.rpartition(".")
        stored[f"stem.{places[layer]}.{entry}" if kind == "d" and layer in places else name] = value
    torch.save(stored | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "weights.pth")
    loaded = build_dilated_resnet(f"resnet18_{kind}", output_stride=8, width=1 / 8, weights=tmp_path / "weights.pth")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="should have 3 factors"):
        small(multi_grid=(1, 2))
    with pytest.raises(ValueError, match="no ResNet of kind 'c'"):
        small("c")
    with pytest.raises(ValueError, match="no backbone 'resnet50'; choose one of resnet18_b"):
        build_dilated_resnet("resnet50", output_stride=8)
    assert dilated_resnet_from_authors("fc.bias") is None
