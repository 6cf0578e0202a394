"""Small networks of the three kinds of model guidance, in evaluation mode, whose batch norm knows its inputs."""

from functools import lru_cache

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from wsss_lib.networks.bcos import BcosBasicBlock, BcosClassifier, BcosResNet
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import BasicBlock, ResNet
from wsss_lib.networks.xdnn import FixupBasicBlock, XdnnResNet

CLASSES = 4


@lru_cache
def network_of(kind, bias=True, logit_bias=-3.0):
    """A small network in evaluation mode whose batch norm knows the size of its inputs; tests leave it as it is."""
    torch.manual_seed(0)
    size = {"width": 1 / 8, "output_stride": 8, "stages": 3}
    if kind == "bcos":
        network = BcosClassifier(BcosResNet(BcosBasicBlock, (1, 1, 1), **size), CLASSES, logit_bias=logit_bias)
    elif kind == "xdnn":
        network = Classifier(XdnnResNet(FixupBasicBlock, (1, 1, 1), **size), CLASSES, bias=bias)
    else:
        network = Classifier(ResNet(BasicBlock, (1, 1, 1), **size), CLASSES, bias=bias)
    if kind != "bcos" and bias:
        network.head.bias.data = torch.randn(CLASSES)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0  # else activations of a B-cos network vanish, and with them what there is to compare
    network.train()(images_of(8))
    return network.eval()


def images_of(number, side=32):
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))
