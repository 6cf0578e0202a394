"""Small classifiers in double precision, with numbers that differ from layer to layer."""

import torch

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.vgg_classifier import VGGClassifier
from wsss_lib.tests.fill import fill_module


def small_classifier(name="resnet18", num_classes=3, bias=True, stages=2):
    """Classifier of one of the six encoders of the unrolled decoder, in evaluation mode."""
    if name.startswith("vgg"):
        network = VGGClassifier(build_backbone(name, output_stride=32, width=1 / 16), num_classes, hidden=8)
    else:
        backbone = build_backbone(name, output_stride=2 ** (stages + 1), width=0.125, stages=stages)
        network = Classifier(backbone, num_classes, bias=bias)
    return fill_module(network).double().eval()


def random_images(*size, batch=2, seed=0):
    """Positive images, as the authors' scaling makes them."""
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed)).double() + 0.01
