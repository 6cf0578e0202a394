"""IRNet: five taps of any backbone, odd sizes, what learns and what does not, the authors' names."""

import pytest
import torch
from torch import nn

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.irnet import IRNet, boundaries_and_displacements, irnet_from_authors


def small(**options):
    torch.manual_seed(0)
    backbone = build_backbone("resnet18", output_stride=8, width=0.25, stages=3)
    return IRNet(backbone, **{"taps": (0, 1, 2, 3, 3), "width": 0.25} | options)


def test_taps_of_the_authors_network():
    with torch.device("meta"):
        network = IRNet(build_backbone("resnet50", output_stride=16, dilate=False))
        taps = network.features(torch.empty(1, 3, 96, 128))
        relations = network(torch.empty(1, 3, 96, 128))
    assert [list(tap.shape[1:]) for tap in taps] == [
        [64, 24, 32],
        [256, 24, 32],
        [512, 12, 16],
        [1024, 6, 8],
        [2048, 6, 8],
    ]
    assert relations.boundary_logits.shape == (1, 1, 24, 32) and relations.displacements.shape == (1, 2, 24, 32)
    assert network.strides == [4, 4, 8, 16, 16] and network.fc_edge6.in_channels == 160


@pytest.mark.parametrize(
    "name, options, taps",
    [
        ("vgg16", {"output_stride": 8, "width": 0.125}, (-5, -4, -3, -2, -1)),
        ("mobilenet_v2", {"output_stride": 16, "width": 0.25}, (0, 1, 2, 3, 4)),
        ("resnet34", {"output_stride": 16, "width": 0.125}, (0, 1, 2, 3, 4)),
        ("resnet38", {"output_stride": 8, "width": 1 / 16}, (-5, -4, -3, -2, -1)),
    ],
)
def test_five_taps_of_other_backbones(name, options, taps):
    backbone = build_backbone(name, **options)
    finest = max(backbone.tap_strides[taps[1]], 4)
    network = IRNet(backbone, taps=taps, stride=finest, width=0.25).eval()
    for size in ((64, 80), (50, 61)):
        boundaries, displacements = boundaries_and_displacements(network, torch.randn(2, 3, *size))
        expected = (-(-size[0] // finest), -(-size[1] // finest))
        assert boundaries.shape == (2, *expected) and displacements.shape == (2, 2, *expected)
        assert boundaries.min() > 0 and boundaries.max() < 1 and boundaries.std() > 0


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (96, 96), (7, 130)])
def test_odd_sizes_and_single_images(size):
    boundaries, displacements = boundaries_and_displacements(small().eval(), torch.randn(1, 3, *size))
    assert boundaries.shape[1:] == displacements.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert boundaries.isfinite().all() and displacements.isfinite().all()


def test_boundaries_of_a_mirrored_image_are_mirrored():
    images = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        plain, mirrored = (boundaries_and_displacements(small().eval(), each)[0] for each in (images, images.flip(-1)))
    torch.testing.assert_close(plain, mirrored.flip(-1))
    assert (plain - plain.flip(-1)).abs().max() > 1e-3


def test_a_canvas_fills_up_smaller_images_and_leaves_larger_ones():
    network, images = small().eval(), torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        filled = boundaries_and_displacements(network, images, canvas=96)[0]
        by_hand = boundaries_and_displacements(network, torch.nn.functional.pad(images, (0, 40, 0, 56)))[0]
        assert filled.shape == (1, 10, 14)
        assert not torch.allclose(filled, boundaries_and_displacements(network, images)[0]), "group norms see it"
        assert by_hand.shape == (1, 24, 24)
        whole = boundaries_and_displacements(network, images)[0]
        torch.testing.assert_close(boundaries_and_displacements(network, images, canvas=32)[0], whole)


def test_only_the_heads_learn():
    network = small().train()
    assert not network.backbone.training and network.fc_dp7.training
    statistics = network.backbone.bn1.running_mean.clone()
    relations = network(torch.randn(2, 3, 48, 48))
    (relations.boundary_logits.sum() + relations.displacements.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith("backbone."), name
    assert torch.equal(network.backbone.bn1.running_mean, statistics)
    edges, fields = network.head_parameters()
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {id(each) for each in edges + fields} == {id(each) for each in learning}
    assert len(edges) == 17 and len(fields) == 22


def test_the_mean_shift_counts_in_evaluation_alone():
    network, images = small().eval(), torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        before = network(images).displacements
        network.mean_shift.running_mean.copy_(torch.tensor([2.0, -1.0]))
        after = network(images).displacements
        torch.testing.assert_close(before - after, torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand_as(before))
        torch.testing.assert_close(network.train()(images).displacements, before)


def test_names_of_the_authors():
    assert irnet_from_authors("resnet50.layer3.5.bn2.weight") == "backbone.layer3.5.bn2.weight"
    for name in ("fc_edge1.0.weight", "fc_dp7.1.bias", "fc_dp7.3.weight", "mean_shift.running_mean"):
        assert irnet_from_authors(f"module.{name}") == name and name in small().state_dict()
    for alias in ("stage3.0.0.conv1.weight", "backbone.1.0.weight", "edge_layers.0.0.weight", "dp_layers.7.0.weight"):
        assert irnet_from_authors(alias) is None
    for alias in ("fc_dp7.4.running_mean", "path_indices12", "disp_target"):
        assert irnet_from_authors(alias) is None


def test_all_parts_are_loaded_or_learned():
    assert {name.split(".")[0] for name in small().state_dict()} == {
        "backbone",
        *(f"fc_edge{place}" for place in range(1, 7)),
        *(f"fc_dp{place}" for place in range(1, 8)),
        "mean_shift",
    }
    assert all(not isinstance(module, nn.GroupNorm) or module.num_groups > 1 for module in small().modules())


def test_errors():
    with pytest.raises(ValueError, match="name five"):
        small(taps=(0, 1, 2, 3))
    with pytest.raises(ValueError, match="name five"):
        small(taps=(0, 1, 2, 3, 4))
    with pytest.raises(ValueError, match="ascending order"):
        small(taps=(1, 2, 0, 3, 3))
    with pytest.raises(ValueError, match="of 32 channels, in 4 groups"):
        small(width=0.1)
