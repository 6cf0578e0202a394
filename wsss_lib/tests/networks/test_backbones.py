"""The one door: every backbone by name, weights from files and from torchvision's names, their input scaling."""

from itertools import pairwise

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision import models

from wsss_lib.networks.backbones import BACKBONES, build_backbone, fetch_torchvision
from wsss_lib.networks.base import CAFFE, IMAGENET, TENSORFLOW, Normalization
from wsss_lib.networks.classifier import Classifier
from wsss_lib.tests.fill import fill_module
from wsss_lib.tests.networks.mxnet_writer import mxnet_bytes, mxnet_name

NARROW = 1 / 16


@torch.no_grad()
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_built_by_name(name):
    network = build_backbone(name, output_stride=8, width=NARROW).eval()
    taps = network(torch.randn(1, 3, 64, 80))
    assert network.tap_strides[-1] == 8 and taps[-1].shape == (1, network.tap_channels[-1], 8, 10)
    assert network.normalization == (CAFFE if name == "psa_vgg16" else IMAGENET)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_torchvision_file_loads_and_its_head_is_left_aside(tmp_path):
    theirs = fill_module(models.resnet18())
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in theirs.state_dict().items()}}, tmp_path / "r.pth"
    )
    ours = build_backbone("resnet18", output_stride=16, weights=tmp_path / "r.pth")
    assert torch.equal(ours.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    shallow = build_backbone("resnet18", output_stride=4, weights=str(tmp_path / "r.pth"), stages=3)
    assert torch.equal(shallow.layer3[0].bn1.running_var, theirs.layer3[0].bn1.running_var)
    with pytest.raises(ValueError, match=r"other shapes: .*conv1.weight \[64, 3, 7, 7\] instead of \[32, 3, 7, 7\]"):
        build_backbone("resnet18", output_stride=16, width=0.5, weights=tmp_path / "r.pth")
    with pytest.raises(ValueError, match="missing"):
        build_backbone("resnet34", output_stride=16, weights=tmp_path / "r.pth")


def test_a_classifier_of_ours_gives_its_backbone(tmp_path):
    whole = fill_module(Classifier(build_backbone("resnet18", output_stride=16, width=NARROW), 3))
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    backbone = build_backbone("resnet18", output_stride=8, width=NARROW, weights=tmp_path / "weights.safetensors")
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, whole.backbone.state_dict()[name]), name


def test_mxnet_file_of_resnet38(tmp_path):
    theirs = fill_module(build_backbone("resnet38", output_stride=8, width=NARROW))
    arrays = {
        mxnet_name(name): value.numpy()
        for name, value in theirs.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    arrays["arg:linear1000_weight"] = np.zeros((10, 4), dtype=np.float32)
    (tmp_path / "rna.params").write_bytes(mxnet_bytes(arrays))
    ours = build_backbone("resnet38", output_stride=8, width=NARROW, weights=tmp_path / "rna.params")
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    assert not ours.conv1a.weight.requires_grad and not ours.train().bn7.training
    free = build_backbone("resnet38", output_stride=8, width=NARROW, weights=tmp_path / "rna.params", freeze=False)
    assert free.conv1a.weight.requires_grad
    with pytest.raises(ValueError, match="missing"):
        build_backbone("resnet18", output_stride=8, weights=tmp_path / "rna.params")


def folded_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """Every convolution with the batch norm behind it multiplied in: weights float16, biases float32."""
    arrays = {}
    for parent_name, parent in network.named_modules():
        for (name, conv), (_, norm) in pairwise(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                scale = norm.weight / (norm.running_var + norm.eps).sqrt()
                weight = conv.weight * scale[:, None, None, None]
                arrays[f"{parent_name}.{name}.weight"] = weight.detach().numpy().astype(np.float16)
                arrays[f"{parent_name}.{name}.bias"] = (norm.bias - norm.running_mean * scale).detach().numpy()
    return arrays


@torch.no_grad()
def test_folded_mobilenet_file_brings_scaling_padding_and_frozen_statistics(tmp_path):
    theirs = fill_module(build_backbone("mobilenet_v2", output_stride=32, width=0.25, same_padding=True)).eval()
    arrays = folded_arrays(theirs) | {"classifier.1.weight": np.zeros((5, 1280)), "classifier.1.bias": np.zeros(5)}
    np.savez(tmp_path / "mobilenet.npz", **arrays)
    ours = build_backbone("mobilenet_v2", output_stride=32, width=0.25, weights=tmp_path / "mobilenet.npz")
    assert ours.normalization == TENSORFLOW
    images = torch.randn(1, 3, 64, 64)
    expected = theirs(images)[-1]
    ours.train()  # the statistics stay frozen, so nothing changes
    torch.testing.assert_close(ours(images)[-1], expected, rtol=0.02, atol=0.02 * expected.std().item())
    symmetric = build_backbone(
        "mobilenet_v2", output_stride=32, width=0.25, weights=tmp_path / "mobilenet.npz", same_padding=False
    )
    assert not torch.allclose(symmetric(images)[-1], expected, rtol=0.02, atol=0.02 * expected.std().item())


def test_normalization_can_be_given(tmp_path):
    given = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bgr")
    assert build_backbone("vgg16", output_stride=16, width=NARROW, normalization=given).normalization is given


def test_torchvision_weights_come_by_name_with_their_scaling(monkeypatch):
    theirs = fill_module(models.resnet18())
    asked = []
    monkeypatch.setattr(
        models.WeightsEnum, "get_state_dict", lambda self, **options: asked.append(self.url) or theirs.state_dict()
    )
    ours = build_backbone("resnet18", output_stride=16, weights="IMAGENET1K_V1")
    assert torch.equal(ours.conv1.weight, theirs.conv1.weight)
    assert asked == [models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert ours.normalization == IMAGENET
    _, scaling = fetch_torchvision("vgg16", "IMAGENET1K_FEATURES")
    assert scaling.std == pytest.approx((1 / 255,) * 3) and scaling.mean[0] == pytest.approx(0.48235)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("resnet17", {}, "resnet18, resnet34"),
        ("resnet18", {"output_stride": 64}, r"choose one of \[4, 8, 16, 32\]"),
        ("resnet38", {"output_stride": 16}, "8 only"),
        ("vgg16", {"small_stem": True}, "small_stem; it belongs to resnet18"),
        ("resnet18", {"same_padding": True}, "it belongs to mobilenet_v2"),
        ("resnet18", {"freeze": True}, "it belongs to resnet38, psa_vgg16"),
        ("resnet18", {"weights": "IMAGENET1K_V9"}, "IMAGENET1K_V1"),
        ("resnet38", {"weights": "IMAGENET1K_V1"}, "none"),
    ],
)
def test_what_cannot_be_is_refused_with_the_choices(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(name, **{"output_stride": 8, "width": NARROW} | options)


def test_a_missing_weights_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        build_backbone("resnet18", output_stride=8, weights="absent.pth")
