"""Renewed statistics are means over the batches; weights, mode, momentum and frozen layers stay."""

import pytest
import torch
from torch import nn

from wsss_lib.networks.batch_statistics import renew_batch_statistics
from wsss_lib.networks.explainable import build_explainable


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def test_statistics_are_the_means_over_the_batches(network):
    batches = [torch.rand(4, 3, 8, 8) * scale for scale in (1.0, 3.0)]
    network[1].running_mean.fill_(7.0)
    renew_batch_statistics(network.eval(), batches)
    features = [network[0](images) for images in batches]
    mean = torch.stack([f.mean((0, 2, 3)) for f in features]).mean(0)
    variance = torch.stack([f.var((0, 2, 3), unbiased=True) for f in features]).mean(0)
    torch.testing.assert_close(network[1].running_mean, mean)
    torch.testing.assert_close(network[1].running_var, variance)
    assert not network.training and network[1].momentum == 0.1


def test_weights_and_the_mode_stay(network):
    before = {name: value.clone() for name, value in network.named_parameters()}
    renew_batch_statistics(network.train(), [torch.rand(4, 3, 8, 8)])
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_frozen_layers_keep_their_statistics():
    network = build_explainable("vanilla", "resnet18", 2, width=0.25, stages=2, output_stride=8)
    network.backbone.freeze("layer1")
    kept = network.backbone.state_dict()["layer1.0.bn1.running_mean"].clone()
    network.backbone.state_dict()["layer2.0.bn1.running_mean"].fill_(7.0)
    renew_batch_statistics(network, [torch.rand(2, 3, 32, 32)])
    after = network.backbone.state_dict()
    assert torch.equal(after["layer1.0.bn1.running_mean"], kept)
    assert not (after["layer2.0.bn1.running_mean"] == 7).any()


def test_bcos_networks_count_theirs_too():
    network = build_explainable("bcos", "resnet18", 2, width=0.25, stages=2, output_stride=8)
    before = {name: value.clone() for name, value in network.named_buffers() if name.endswith("running_var")}
    assert before
    renew_batch_statistics(network, [torch.rand(4, 3, 32, 32)])
    after = dict(network.named_buffers())
    assert not any(torch.equal(value, after[name]) for name, value in before.items())


def test_no_batch_is_an_error_and_no_layers_none(network):
    with pytest.raises(ValueError, match="no batch"):
        renew_batch_statistics(network, [])
    renew_batch_statistics(nn.Conv2d(3, 2, 1), [])
