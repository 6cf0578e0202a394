"""AlexNet: names and numbers of torchvision's."""

import torch
import torchvision

from wsss_lib.networks.alexnet import AlexNet
from wsss_lib.networks.checkpoints import load_weights


def test_it_is_that_of_torchvision():
    reference = torchvision.models.AlexNet(num_classes=1).eval()
    network = AlexNet().eval()
    load_weights(network, reference.state_dict(), allow_unexpected=["classifier.*"])
    images = torch.randn(1, 3, 127, 95)
    taps = network(images)
    assert torch.allclose(taps[-1], reference.features(images), atol=1e-5)
    assert [tap.shape[1] for tap in taps] == network.tap_channels and network.tap_strides == [4, 8, 16, 32]
