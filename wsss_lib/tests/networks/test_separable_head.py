"""The separable head against its parts, pixel by pixel."""

import torch
import torch.nn.functional as F

from wsss_lib.networks.separable_head import SeparableDeepLabV3PlusHead, separable_conv
from wsss_lib.tests.fill import fill_module


@torch.no_grad()
def test_separable_convolution_is_one_of_each_channel_and_one_of_each_pixel():
    layers = fill_module(separable_conv(3, 2, dilation=2)).eval()
    features = torch.randn(1, 3, 5, 6)
    alone = torch.zeros_like(features)
    padded = F.pad(features, (2, 2, 2, 2))
    for channel in range(3):
        for dy in range(3):
            for dx in range(3):
                shifted = padded[0, channel, 2 * dy : 2 * dy + 5, 2 * dx : 2 * dx + 6]
                alone[0, channel] += layers[0].weight[channel, 0, dy, dx] * shifted
    mixed = torch.einsum("bchw,kc->bkhw", layers[1](alone).relu(), layers[3].weight[..., 0, 0])
    assert torch.allclose(layers(features), layers[4](mixed).relu(), atol=1e-5)


@torch.no_grad()
def test_head_joins_pyramid_and_fine_features():
    head = fill_module(SeparableDeepLabV3PlusHead(6, 4, 0, 3, rates=(1, 2), channels=5, fine_width=2)).eval()
    taps = [torch.randn(2, 4, 9, 7), torch.randn(2, 6, 5, 4)]
    branches = torch.cat([branch(taps[1]) for branch in head.pyramid], 1)
    assert branches.shape == (2, 20, 5, 4)
    coarse = F.interpolate(head.join(branches), (9, 7), mode="bilinear")
    expected = head.classifier(head.refine(torch.cat((head.reduce(taps[0]), coarse), 1)))
    assert expected.shape == (2, 3, 9, 7) and torch.equal(head(taps), expected)
    assert expected.std() > 0.05
