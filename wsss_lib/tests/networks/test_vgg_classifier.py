"""VGG-16 with its linear layers: sizes; its names are compared with torchvision's by the golden files."""

import pytest
import torch

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.vgg_classifier import VGGClassifier


def test_sizes():
    network = VGGClassifier(build_backbone("vgg16", output_stride=32, width=1 / 16), 5).eval()
    assert network.head.classifier[0].out_features == 256
    assert network(torch.rand(2, 3, 32, 57)).logits.shape == (2, 5)
    with pytest.raises(ValueError, match=r"31 x 64 px.*32 px or more"):
        network(torch.rand(2, 3, 31, 64))
