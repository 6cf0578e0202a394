import pytest
import torch

from wsss_lib.maps.modes import kept_outputs
from wsss_lib.networks.bcos import (
    BCOS_DEPTHS,
    BcosBasicBlock,
    BcosClassifier,
    BcosResNet,
    LogitLayer,
    bcos_from_authors,
)


def small(**options):
    return BcosResNet(BcosBasicBlock, (1, 1, 1, 1), width=1 / 16, **options)


@pytest.mark.parametrize(("output_stride", "stages"), [(32, 4), (8, 3), (8, 4), (4, 1)])
def test_taps_have_the_sizes_they_say(output_stride, stages):
    backbone = small(output_stride=output_stride, stages=stages)
    taps = backbone(torch.rand(1, 3, 32, 32))
    assert [tap.shape[1] for tap in taps] == backbone.tap_channels
    assert [32 // tap.shape[2] for tap in taps] == backbone.tap_strides and backbone.tap_strides[-1] == output_stride


def test_bottlenecks_are_four_times_wider():
    block, depths = BCOS_DEPTHS["resnet50"]
    assert BcosResNet(block, depths, width=1 / 16).tap_channels == [4, 16, 32, 64, 128]


def test_logit_is_the_mean_of_the_score_maps():
    network = BcosClassifier(small(), 3, logit_bias=-2.0, temperature=4.0).eval()
    output = network(torch.rand(2, 3, 32, 32))
    assert torch.allclose(output.logits, network.score_maps(output.features).mean((2, 3)) - 2, atol=1e-6)
    assert network.normalization.normalize(torch.ones(3, 1, 1)).flatten().tolist() == [1, 1, 1]


def test_order_of_pool_and_norm_matters_in_training_only():
    backbone, images = small(), torch.rand(4, 3, 32, 32)
    first = backbone.eval()(images)[-1]
    backbone.pool_first = True
    assert torch.allclose(backbone(images)[-1], first, rtol=1e-3, atol=1e-5)
    with kept_outputs(backbone.bn1) as outputs:
        backbone(images)
    assert outputs[0].shape[2] == 8, "norm after the pool"


def test_names_of_both_releases():
    assert bcos_from_authors("0.layer2.0.downsample.1.weight") == "backbone.layer2.0.downsample.1.weight"
    assert bcos_from_authors("logit_layer.logit_bias") is None and bcos_from_authors("1.bias") is None


def test_refusals():
    with pytest.raises(ValueError, match="1 to 4"):
        small(stages=5)
    with pytest.raises(ValueError, match="should be positive"):
        LogitLayer(temperature=0)
