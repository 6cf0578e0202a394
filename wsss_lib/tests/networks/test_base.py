"""Input scaling, strides turned into dilation, frozen layers."""

import pytest
import torch
from torch import nn

from wsss_lib.networks.base import CAFFE, IMAGENET, TENSORFLOW, Freezable, Normalization, dilate_strides, scaled


@pytest.mark.parametrize("normalization", [IMAGENET, CAFFE, TENSORFLOW])
def test_normalize_is_pixel_minus_mean_over_std_in_the_order_of_the_network(normalization):
    images = torch.rand(2, 3, 4, 5)
    scaled_images = normalization.normalize(images)
    for position, (mean, std) in enumerate(zip(normalization.mean, normalization.std, strict=True)):
        channel = 2 - position if normalization.order == "bgr" else position
        torch.testing.assert_close(scaled_images[:, position], (images[:, channel] - mean) / std)
    torch.testing.assert_close(normalization.denormalize(scaled_images), images)


def test_scalings_of_the_papers_on_0_to_255():
    white = torch.ones(3, 1, 1)
    torch.testing.assert_close(TENSORFLOW.normalize(white).flatten(), torch.full((3,), 128 / 127.5))
    torch.testing.assert_close(CAFFE.normalize(0 * white).flatten(), -torch.tensor([104.008, 116.669, 122.675]))


@pytest.mark.parametrize("arguments", [((0, 0, 0), (1, 1, 0)), ((0, 0, 0), (1, 1, 1), "rbg")])
def test_normalization_refuses_what_cannot_be(arguments):
    with pytest.raises(ValueError, match=r"std|order"):
        Normalization(*arguments)


def test_strides_are_kept_first_and_then_removed():
    assert dilate_strides((1, 2, 2, 2), 32, start=4) == [(1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]
    assert dilate_strides((1, 2, 2, 2), 4, start=4) == [(1, 1, 1), (1, 1, 2), (1, 2, 4), (1, 4, 8)]
    assert dilate_strides((1, 2, 2, 2), 16, start=4, dilate=False)[-1] == (1, 1, 1)
    for output_stride in (2, 12, 64):
        with pytest.raises(ValueError, match=r"choose one of \[4, 8, 16, 32\]"):
            dilate_strides((1, 2, 2, 2), output_stride, start=4)


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="width"):
        scaled(64, 0.0)


class Small(Freezable):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5))
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 2, 1)


def test_frozen_parts_stay_frozen_inside_a_larger_network():
    part = Small().freeze("first").freeze(batch_norm_statistics=True, batch_norm_affine=True)
    whole = nn.Sequential(part, nn.BatchNorm2d(2))
    for _ in range(2):
        whole.eval()
        whole.train()
        assert not part.first[1].training
        assert not part.norm.training
        assert part.last.training and whole[1].training
    trained = {name for name, parameter in whole.named_parameters() if parameter.requires_grad}
    assert trained == {"0.last.weight", "0.last.bias", "1.weight", "1.bias"}


def test_statistics_alone_leave_scale_and_shift_trainable():
    part = Small().freeze(batch_norm_statistics=True)
    before = part.norm.running_mean.clone()
    part.norm(part.first(torch.randn(8, 3, 2, 2))).sum().backward()
    assert torch.equal(part.norm.running_mean, before)
    assert part.norm.weight.grad is not None


def test_freezing_an_unknown_layer_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"\['layer9'\].*first, norm, last"):
        Small().freeze("layer9")
