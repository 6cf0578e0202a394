"""Classifiers on a small backbone."""

from itertools import chain

import pytest
import torch
from torch import nn

from wsss_lib.networks.base import CAFFE
from wsss_lib.networks.classifier import Classifier, SubCategoryClassifier, parameter_groups
from wsss_lib.networks.resnet import DEPTHS, ResNet
from wsss_lib.tests.fill import fill_module


def small_backbone() -> ResNet:
    return ResNet(*DEPTHS["resnet18"], width=1 / 16, output_stride=8, stages=3)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_logits_are_the_head_on_pooled_features(pooling):
    network = fill_module(Classifier(small_backbone(), 3, bias=True, pooling=pooling)).eval()
    images = torch.randn(2, 3, 40, 56)
    output = network(images)
    assert torch.equal(output.features, network.backbone(images)[-1])
    for image in range(2):
        for k in range(3):
            logit = network.head.bias[k].item()
            for channel in range(output.features.shape[1]):
                values = output.features[image, channel].flatten().tolist()
                pooled = sum(values) / len(values) if pooling == "average" else max(values)
                logit += pooled * network.head_weight[k, channel].item()
            assert output.logits[image, k].item() == pytest.approx(logit, abs=1e-5)


def test_dropout_acts_in_training_only():
    network = Classifier(small_backbone(), 3, dropout=0.5)
    images = torch.randn(2, 3, 32, 32)
    network.eval()
    assert torch.equal(network(images).logits, network(images).logits)
    network.train()
    network.backbone.eval()
    assert not torch.equal(network(images).logits, network(images).logits)


def test_head_weight_is_the_parameter_itself():
    network = Classifier(small_backbone(), 3)
    assert network.head_weight is network.head.weight
    assert network.head_weight.shape == (3, network.backbone.tap_channels[-1])
    assert network.head.bias is None


def test_normalization_is_the_one_of_the_backbone():
    backbone = small_backbone()
    backbone.normalization = CAFFE
    assert Classifier(backbone, 3).normalization is CAFFE


@torch.no_grad()
def test_sub_categories_share_the_pooled_vector():
    network = fill_module(SubCategoryClassifier(small_backbone(), 3, 7)).eval()
    images = torch.randn(2, 3, 32, 32)
    output = network(images)
    pooled = output.features.mean((2, 3))
    torch.testing.assert_close(output.logits, pooled @ network.head_weight.T)
    torch.testing.assert_close(output.sub_logits, pooled @ network.sub_head.weight.T)
    assert output.sub_logits.shape == (2, 7)


def test_groups_hold_every_trainable_parameter_once():
    network = SubCategoryClassifier(small_backbone(), 3, 7, bias=True)
    network.backbone.freeze("conv1")
    groups = parameter_groups(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    by_name = [sorted(names[id(parameter)] for parameter in group) for group in groups]
    assert by_name[2:] == [["head.weight", "sub_head.weight"], ["head.bias", "sub_head.bias"]]
    assert all(name.startswith("backbone.") and name.endswith("weight") for name in by_name[0])
    assert all(name.startswith("backbone.") and name.endswith("bias") for name in by_name[1])
    assert sorted(chain(*by_name)) == sorted(set(names.values()) - {"backbone.conv1.weight"})


def test_a_plain_network_can_name_its_pretrained_layers():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    groups = parameter_groups(network, pretrained=("0",))
    assert [len(group) for group in groups] == [1, 1, 1, 1]
    assert groups.new_weights[0] is network[1].weight


def test_frozen_batch_norm_of_a_whole_classifier():
    network = Classifier(small_backbone(), 3).freeze(batch_norm_statistics=True).train()
    assert not any(module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_unknown_pooling_lists_the_known_ones():
    with pytest.raises(ValueError, match="average, max"):
        Classifier(small_backbone(), 3, pooling="median")
