"""The tap, the explainer head, masked pooling; targets by name."""

import pytest
import torch
from torch import nn

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.checkpoints import load_weights
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.filter_explainer import (
    FilterExplainer,
    build_target,
    explainer_from_authors,
    layer_features,
    masked_pooling,
)


@pytest.fixture(scope="module")
def target():
    return Classifier(build_backbone("resnet18", output_stride=8, width=0.25, stages=3), 4).eval()


def test_any_layer_by_name_and_no_hook_stays(target):
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for name, tap in zip(("layer1", "layer2", "layer3"), target.backbone(images)[1:], strict=True):
            assert torch.equal(layer_features(target, f"backbone.{name}", images), tap)
        assert layer_features(target, "backbone.layer2.0.conv1", images).shape[1] == 32
    assert not any(module._forward_hooks for module in target.modules())


def test_wrong_layers_are_refused_and_those_there_are_listed(target):
    images = torch.zeros(1, 3, 32, 32)
    for name in ("layer9", ""):
        with pytest.raises(ValueError, match=r"no layer .*backbone\.layer1.*head"):
            layer_features(target, name, images)
    with pytest.raises(ValueError, match="no feature map"):
        layer_features(target, "head", images)
    with pytest.raises(ValueError, match="does not run"):
        network = nn.Sequential(nn.Conv2d(3, 2, 1))
        network.unused = nn.Conv2d(3, 2, 1)
        network.forward = lambda images: network[0](images)
        layer_features(network, "unused", images)


def test_width_is_that_of_the_layer(target):
    for layer, channels in (("backbone.layer1", 16), ("backbone.layer3", 64)):
        explainer = FilterExplainer(target, layer, 5, side=32)
        assert explainer.num_filters == channels and explainer.head[2].in_features == channels
        assert explainer(explainer.features(torch.randn(2, 3, 32, 32))).shape == (2, 5)


@pytest.mark.parametrize(("name", "layer"), [("vgg16", "features"), ("vgg16", "features.5"), ("alexnet", "features.3")])
def test_targets_by_name(name, layer):
    explainer = FilterExplainer(build_target(name), layer, 3, side=64)
    assert explainer.num_filters in (512, 128, 192)


def test_only_the_head_learns_and_the_target_stays_in_evaluation_mode(target):
    explainer = FilterExplainer(target, "backbone.layer3", 5, side=32).train()
    assert explainer.head.training and not explainer.target.training
    assert {name.split(".")[0] for name, p in explainer.named_parameters() if p.requires_grad} == {"head"}
    norms = [module for module in explainer.head if isinstance(module, nn.BatchNorm1d)]
    assert not any(norm.training for norm in norms), "frozen as in the authors' code"
    explainer(torch.randn(8, 64) + 3)
    assert not norms[0].running_mean.any()
    learning = FilterExplainer(target, "backbone.layer3", 5, side=32, learn_statistics=True).train()
    learning(torch.randn(8, 64) + 3)
    assert learning.head[0].running_mean.abs().sum() > 1


def test_masked_pooling_is_pooling_of_masked_features():
    features, masks = torch.rand(3, 4, 5, 6), (torch.rand(7, 5, 6) > 0.6).float()
    image = torch.tensor([2, 0, 0, 1, 2, 2, 0])
    slow = torch.stack([(features[i] * mask).mean((1, 2)) for i, mask in zip(image, masks, strict=True)])
    assert torch.allclose(masked_pooling(features, masks, image), slow, atol=1e-6)
    assert not masked_pooling(features, torch.zeros(1, 5, 6), torch.tensor([1])).any(), "an empty mask"
    assert masked_pooling(features, torch.zeros(0, 5, 6), torch.zeros(0, dtype=torch.long)).shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "layer", "pooling", "entries"),
    [
        ("resnet18", "layer4", "average", {"fc.6.weight", "layer4.0.conv1.weight"}),
        ("alexnet", "features", "positions", {"classifier.6.weight", "features.0.weight"}),
    ],
)
def test_released_checkpoints_are_loaded_by_the_names_of_their_entries(tmp_path, name, layer, pooling, entries):
    explainer = FilterExplainer(build_target(name), layer, 3, side=64, pooling=pooling)
    head = min(entries).split(".")[0]
    theirs = {entry: entry.removeprefix("target.").replace("head.", f"{head}.") for entry in explainer.state_dict()}
    released = {theirs[entry]: torch.full_like(values, 2) for entry, values in explainer.state_dict().items()}
    assert entries <= set(released)
    content = {"epoch": 3, "state_dict": released, "optimizer": {"state": {}, "param_groups": [{"d": 1e-6}]}}
    torch.save(content, tmp_path / "ckpt_best.pth.tar")
    load_weights(explainer, tmp_path / "ckpt_best.pth.tar", rename=explainer_from_authors)
    assert all((values == 2).all() for values in explainer.state_dict().values())


def test_released_names_and_bad_options(target):
    assert explainer_from_authors("classifier.0.weight") == "head.0.weight"
    assert explainer_from_authors("module.features.0.bias") == "target.features.0.bias"
    with pytest.raises(ValueError, match="choose average or positions"):
        FilterExplainer(target, "backbone.layer3", 5, side=32, pooling="max")
    with pytest.raises(ValueError, match="choose one of alexnet"):
        build_target("lenet")
