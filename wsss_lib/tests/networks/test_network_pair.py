"""Pairs of small segmentation networks of every kind, and their checkpoints."""

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.networks.base import TENSORFLOW
from wsss_lib.networks.mobilenet import MobileNetV2
from wsss_lib.networks.network_pair import (
    NetworkPair,
    build_segmenter,
    build_segmenter_backbone,
    load_pair_from_authors,
    segmenter_from_authors,
)
from wsss_lib.tests.fill import fill_module


def small(version="v2", backbone="resnet18_b", num_labels=4):
    encoder = build_segmenter_backbone(backbone, output_stride=8, width=1 / 8)
    return build_segmenter(version, encoder, num_labels, rates=(1, 2), channels=8, low_width=8)


KINDS = [
    ("v2", "resnet18", 8),
    ("v3", "resnet18", 8),
    ("v3plus", "resnet18", 4),
    ("v3plus_separable", "resnet18_d", 4),
    ("segformer", "mit_b0", 4),
    ("segformer", "resnet18_b", 2),
]


@pytest.mark.parametrize(("version", "backbone", "stride"), KINDS)
@torch.no_grad()
def test_every_kind_labels_images_of_any_size(version, backbone, stride):
    pair = NetworkPair(small(version, backbone), small()).eval()
    for height, width in ((64, 64), (66, 50), (33, 47)):
        one, two = pair(torch.randn(2, 3, height, width))
        assert one.shape == (2, 4, -(-height // stride), -(-width // stride))
        assert two.shape == (2, 4, -(-height // 8), -(-width // 8))
        assert one.isfinite().all()


@torch.no_grad()
def test_both_networks_answer_for_themselves():
    pair = NetworkPair(fill_module(small()), fill_module(small("segformer", "mit_b0"))).eval()
    images = torch.randn(1, 3, 32, 32)
    one, two = pair(images)
    assert torch.equal(one, pair.network1(images)) and torch.equal(two, pair.network2(images))


@torch.no_grad()
def test_logits_of_both_meet_at_the_finer_size():
    pair = NetworkPair(fill_module(small()), fill_module(small("segformer", "mit_b0"))).eval()
    images = torch.randn(1, 3, 40, 32)
    one, two = (F.interpolate(logits, (40, 32), mode="bilinear") for logits in pair(images))
    assert all(map(torch.equal, pair.full_size_logits(images), (one, two)))
    one, two = pair(images)
    expected = (F.interpolate(one, (10, 8), mode="bilinear") + two) / 2
    assert two.shape[2:] == (10, 8) and torch.allclose(pair.mean_logits(images), expected)


def to_authors(name: str, deep: bool) -> str:
    """An entry of a v2 network on a dilated ResNet as the authors call it."""
    inside = name.removeprefix("backbone.")
    if name.startswith("head."):
        return name.removeprefix("head.")
    return name if inside.startswith("layer") else f"backbone.stem_layer.{inside}"


def test_checkpoints_of_the_authors_are_loaded_whole(tmp_path):
    pair, other = NetworkPair(small(), small()), NetworkPair(fill_module(small()), fill_module(small()))
    other.network2.head.aspp.c0.bias.data.fill_(7)
    names = {
        f"network{k}": {
            f"module.{to_authors(name, False)}": value
            for name, value in other.get_submodule(f"network{k}").state_dict().items()
        }
        for k in (1, 2)
    }
    path = tmp_path / "best_ckpt.pth"
    torch.save({"net_state_dict": names, "epoch": 3}, path)
    kinds = ("v2", "v2"), ("resnet18_b", "resnet18_b")
    load_pair_from_authors(pair, path, *kinds)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in pair.state_dict().items())
    del names["network2"]
    torch.save({"net_state_dict": names}, path)
    with pytest.raises(ValueError, match=r"no entry .*network2"):
        load_pair_from_authors(pair, path, *kinds)
    torch.save({"net_state_dict": names | {"network2": {"aspp.c0.weight": torch.zeros(2)}}}, path)
    with pytest.raises(ValueError, match="does not fit"):
        load_pair_from_authors(pair, path, *kinds)


def test_names_of_the_authors():
    rename = segmenter_from_authors("v3plus_separable", "resnet101_d")
    assert rename("backbone.stem_layer.conv2.weight") == "backbone.conv1.3.weight"
    assert rename("classifier.bias") == "head.classifier.bias"
    assert segmenter_from_authors("segformer", "mit_b2")("decoder.linear_fuse.0.weight") == "head.fuse.0.weight"


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="no segmentation network 'v4'; choose one of v2"):
        small("v4")
    with pytest.raises(ValueError, match="no backbone 'resnet19'; choose one of caffe_resnet50"):
        small("v2", "resnet19")
    coarse = build_segmenter_backbone("resnet18", output_stride=8, width=1 / 8)
    coarse.tap_strides = [8] * len(coarse.tap_strides)
    with pytest.raises(ValueError, match="v3plus_separable needs a feature map of stride 4"):
        build_segmenter("v3plus_separable", coarse, 2)
    other = MobileNetV2(output_stride=16, width=0.25)
    other.normalization = TENSORFLOW
    with pytest.raises(ValueError, match="expect different inputs"):
        NetworkPair(small(), build_segmenter("v2", other, 4))
