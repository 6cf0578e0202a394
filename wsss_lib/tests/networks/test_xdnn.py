import pytest
import torch

from wsss_lib.networks.xdnn import FixupBasicBlock, FixupBottleneck, XdnnResNet


@pytest.mark.parametrize("block", [FixupBasicBlock, FixupBottleneck])
@pytest.mark.parametrize(("output_stride", "stages"), [(32, 4), (8, 3)])
def test_positively_homogeneous(block, output_stride, stages):
    """f(2 x) = 2 f(x): there is no bias and no normalization."""
    backbone = XdnnResNet(block, (1, 2, 1, 1)[:stages], output_stride=output_stride, stages=stages, width=1 / 8)
    images = torch.randn(1, 3, 32, 32)
    taps, doubled = backbone(images), backbone(2 * images)
    assert all(torch.allclose(2 * a, b, rtol=1e-4, atol=1e-5) for a, b in zip(taps, doubled, strict=True))
    assert [tap.shape[1] for tap in taps] == backbone.tap_channels
    assert [32 // tap.shape[2] for tap in taps] == backbone.tap_strides
    assert not any(name.endswith("bias") for name, _ in backbone.named_parameters())


def test_deep_networks_keep_their_activations_in_range():
    taps = XdnnResNet(FixupBasicBlock, (3, 4, 6, 3), width=1 / 8)(torch.randn(2, 3, 64, 64))
    assert 0.1 < taps[-1].std() / taps[1].std() < 10


def test_shortcut_has_a_projection_where_the_shape_changes():
    assert FixupBasicBlock(4, 4, 1, 1, 1).downsample is None
    assert FixupBasicBlock(4, 4, 2, 1, 1).downsample.stride == (2, 2)


def test_refusal():
    with pytest.raises(ValueError, match="1 to 4"):
        XdnnResNet(FixupBasicBlock, (1, 1, 1, 1), stages=0)
