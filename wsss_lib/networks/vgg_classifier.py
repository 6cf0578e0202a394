"""VGG-16 with its three linear layers as a multi-label classifier (Simonyan and Zisserman, ICLR 2015)."""

from torch import Tensor

from wsss_lib.networks.base import Freezable, Normalization, scaled
from wsss_lib.networks.classifier import ClassifierOutput
from wsss_lib.networks.unet import VGGHead
from wsss_lib.networks.vgg import VGG16

LEAST = 32  # px, side of the smallest image that survives five pools


class VGGClassifier(Freezable):
    """torchvision's ``vgg16`` or ``vgg16_bn``: ``backbone`` and ``head``.

    Args:
        backbone: of output stride 32.
        num_classes: K.
        hidden: width of the two hidden linear layers; None: 4096 times the width of the backbone.
        dropout: after each of them, while training.
    """

    def __init__(self, backbone: VGG16, num_classes: int, *, hidden: int | None = None, dropout: float = 0.5):
        super().__init__()
        channels = backbone.tap_channels[-1]
        self.backbone = backbone
        self.head = VGGHead(channels, num_classes, scaled(4096, channels / 512) if hidden is None else hidden, dropout)

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Any size from 32 px on; the authors' unrolled decoder needs 224 px.

        Raises:
            ValueError: the image is too small.
        """
        height, width = images.shape[2:]
        if min(height, width) < LEAST:
            raise ValueError(f"images of {height} x {width} px vanish in the pools of VGG; use {LEAST} px or more")
        features = self.backbone(images)[-1]
        return ClassifierOutput(self.head(features), features)


def vgg_classifier_from_torchvision(name: str) -> str:
    """Name in our classifier of an entry of torchvision's VGG-16.

    >>> vgg_classifier_from_torchvision("features.0.weight"), vgg_classifier_from_torchvision("classifier.6.bias")
    ('backbone.features.0.weight', 'head.classifier.6.bias')
    """
    return f"{'backbone' if name.startswith('features.') else 'head'}.{name}"
