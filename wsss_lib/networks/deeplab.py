"""DeepLab v2, v3 and v3+ (Chen et al., TPAMI 2017, arXiv 2017, ECCV 2018): heads for any backbone that has taps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.backbones import BACKBONES, build_backbone, check_options
from wsss_lib.networks.base import Backbone, Freezable, Normalization, initialize
from wsss_lib.networks.caffe_resnet import CAFFE_DEPTHS, CaffeResNet, ConvNorm, caffe_resnet_from_authors
from wsss_lib.networks.checkpoints import Loaded, load_weights
from wsss_lib.networks.resnet import DEPTHS

VERSIONS = ("v2", "v3", "v3plus")
ENCODERS = (*CAFFE_DEPTHS, *BACKBONES)
LOW_LEVEL_STRIDE = 4


class DeepLab(Freezable):
    """A backbone and a head: images [B, 3, H, W] to the logits of background and K classes, [B, K + 1, h, w].

    Logits have the size of the features that the head reads; whoever wants them at the size of the image resizes them.
    Departs from the authors' v3+, whose network does that itself.

    Args:
        backbone: any network of :mod:`wsss_lib.networks.backbones`, or a :class:`CaffeResNet`.
        head: from all taps of the backbone to the logits.
    """

    def __init__(self, backbone: Backbone, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


def multi_scale_logits(
    network: Callable[[Tensor], Tensor], images: Tensor, scales: Sequence[float] = (0.5, 0.75)
) -> list[Tensor]:
    """Logits of the images, of smaller copies of them, and the element-wise maximum of all (DeepLab v2, section 4.1.1).

    Args:
        network: images to logits [B, K + 1, h, w].
        images: [B, 3, H, W].
        scales: of the copies; with none there is no maximum either.

    Returns:
        Logits at scale 1, those of each copy at its own size, and last the maximum at the size of the first: all of
        them have a loss in training, the last one is the prediction.

    >>> [logits.shape[-1] for logits in multi_scale_logits(lambda images: images, torch.zeros(1, 2, 8, 8))]
    [8, 4, 6, 8]
    """
    logits = [network(images)]
    for scale in scales:
        logits.append(network(F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)))
    if scales:
        size = logits[0].shape[-2:]
        resized = [F.interpolate(small, size, mode="bilinear", align_corners=False) for small in logits[1:]]
        logits.append(torch.stack([logits[0], *resized]).amax(0))
    return logits


class SummedASPP(nn.Module):
    """Atrous spatial pyramid of v2: the sum of dilated 3x3 convolutions, each of them a classifier.

    Args:
        in_channels: of the features.
        num_labels: K + 1.
        rates: dilations, px of the feature map.
    """

    def __init__(self, in_channels: int, num_labels: int, rates: Sequence[int]):
        super().__init__()
        for number, rate in enumerate(rates):
            self.add_module(f"c{number}", nn.Conv2d(in_channels, num_labels, 3, padding=rate, dilation=rate))
        for branch in self.children():
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, features: Tensor) -> Tensor:
        branches = list(self.children())
        logits = branches[0](features)
        for branch in branches[1:]:
            logits = logits + branch(features)
        return logits


class ImagePool(nn.Module):
    """The mean over the image, convolved and put back onto every place."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = ConvNorm(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        if len(features) == 1 and self.conv.bn.training:
            raise ValueError(
                "batch norm cannot learn from the pooled features of a single image; "
                "train with batches of two or more images and leave out an incomplete last one"
            )
        pooled = self.conv(features.mean((2, 3), keepdim=True))
        return pooled.expand(-1, -1, *features.shape[2:])


class ASPP(nn.Module):
    """Atrous spatial pyramid of v3: 1x1 and dilated 3x3 convolutions and the image pool, one after the other.

    Args:
        in_channels: of the features.
        channels: of every branch; the result has as many times the number of branches.
        rates: dilations of the 3x3 convolutions, px of the feature map.
    """

    def __init__(self, in_channels: int, channels: int, rates: Sequence[int]):
        super().__init__()
        self.stages = nn.Module()
        self.stages.add_module("c0", ConvNorm(in_channels, channels, 1))
        for number, rate in enumerate(rates, start=1):
            self.stages.add_module(f"c{number}", ConvNorm(in_channels, channels, 3, dilation=rate))
        self.stages.add_module("imagepool", ImagePool(in_channels, channels))
        self.out_channels = channels * (len(rates) + 2)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.stages.children()], 1)


class DeepLabV2Head(nn.Module):
    """The sum of dilated classifiers, see :class:`SummedASPP`."""

    def __init__(self, in_channels: int, num_labels: int, rates: Sequence[int]):
        super().__init__()
        self.aspp = SummedASPP(in_channels, num_labels, rates)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        return self.aspp(taps[-1])


class DeepLabV3Head(nn.Module):
    """Pyramid, 1x1 convolution, classifier, see :class:`ASPP`."""

    def __init__(self, in_channels: int, num_labels: int, rates: Sequence[int], channels: int):
        super().__init__()
        self.aspp = ASPP(in_channels, channels, rates)
        self.fc1 = ConvNorm(self.aspp.out_channels, channels, 1)
        initialize(self)
        self.fc2 = nn.Conv2d(channels, num_labels, 1)  # small weights as in v2 would learn slowly on few channels

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        return self.fc2(self.fc1(self.aspp(taps[-1])))


class DeepLabV3PlusHead(nn.Module):
    """As v3, but two 3x3 convolutions on pyramid and low-level features together stand before the classifier.

    Args:
        in_channels, low_channels: of the last and the low-level features.
        low_tap: place of the low-level features among the taps.
        num_labels: K + 1.
        rates: of the pyramid.
        channels: of all hidden layers.
        low_width: channels that the low-level features are reduced to.
    """

    def __init__(
        self,
        in_channels: int,
        low_channels: int,
        low_tap: int,
        num_labels: int,
        rates: Sequence[int],
        channels: int,
        low_width: int,
    ):
        super().__init__()
        self.low_tap = low_tap
        self.aspp = ASPP(in_channels, channels, rates)
        self.fc1 = ConvNorm(self.aspp.out_channels, channels, 1)
        self.reduce = ConvNorm(low_channels, low_width, 1)
        self.fc2 = nn.Sequential()
        self.fc2.add_module("conv1", ConvNorm(channels + low_width, channels, 3))
        self.fc2.add_module("conv2", ConvNorm(channels, channels, 3))
        initialize(self)
        self.fc2.add_module("conv3", nn.Conv2d(channels, num_labels, 1))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        low = self.reduce(taps[self.low_tap])
        high = self.fc1(self.aspp(taps[-1]))
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=False)
        return self.fc2(torch.cat((high, low), 1))


def build_deeplab(
    version: str,
    backbone: Backbone,
    num_labels: int,
    *,
    rates: Sequence[int] = (),
    channels: int = 256,
    low_width: int = 48,
) -> DeepLab:
    """DeepLab on a backbone.

    Args:
        version: one of ``VERSIONS``.
        backbone: see :func:`build_encoder`; v3+ reads besides the last map the one at stride 4, or the last finer one.
        num_labels: K + 1.
        rates: dilations of the pyramid, px of the feature map; by default those of the papers: 6, 12, 18, 24 for v2,
            else 6, 12, 18 at output stride 16 or more and 12, 24, 36 below.
        channels, low_width: hidden channels of v3 and v3+, and those of the low-level features of v3+.

    Raises:
        ValueError: no such version, or v3+ on a backbone without a finer map.
    """
    if version not in VERSIONS:
        raise ValueError(f"no DeepLab version {version!r}; choose one of {', '.join(VERSIONS)}")
    in_channels, stride = backbone.tap_channels[-1], backbone.tap_strides[-1]
    if version == "v2":
        return DeepLab(backbone, DeepLabV2Head(in_channels, num_labels, rates or (6, 12, 18, 24)))
    rates = rates or ((6, 12, 18) if stride >= 16 else (12, 24, 36))
    if version == "v3":
        return DeepLab(backbone, DeepLabV3Head(in_channels, num_labels, rates, channels))
    finer = [tap for tap, px in enumerate(backbone.tap_strides) if px <= LOW_LEVEL_STRIDE and px < stride]
    if not finer:
        raise ValueError(
            f"v3plus needs a feature map of stride {LOW_LEVEL_STRIDE} or less below the last one; "
            f"{type(backbone).__name__} has the strides {backbone.tap_strides}: use another backbone, or v3"
        )
    low = finer[-1]
    low_channels = backbone.tap_channels[low]
    head = DeepLabV3PlusHead(in_channels, low_channels, low, num_labels, rates, channels, low_width)
    return DeepLab(backbone, head)


def build_encoder(
    name: str,
    *,
    output_stride: int,
    width: float = 1.0,
    weights: str | Path | None = None,
    stages: int = 4,
    small_stem: bool = False,
    multi_grid: Sequence[int] = (),
) -> Backbone:
    """Backbone by name: one of :func:`wsss_lib.networks.backbones.build_backbone`, or a :class:`CaffeResNet`.

    Args:
        name: one of ``ENCODERS``.
        output_stride, width, weights: see there; a file for a Caffe network is one of deeplab-pytorch.
        stages, small_stem: of ResNet-18 to 101, see :class:`wsss_lib.networks.resnet.ResNet`.
        multi_grid: see :class:`CaffeResNet`; of the Caffe networks only.

    Raises:
        ValueError: no such backbone, or an option does not exist for it, or the file does not fit.
        FileNotFoundError: there is no such weights file.
    """
    if name not in ENCODERS:
        raise ValueError(f"no backbone {name!r}; choose one of {', '.join(ENCODERS)}")
    options = {"stages": (stages != 4, DEPTHS), "small_stem": (small_stem, DEPTHS)}
    check_options(name, options | {"multi_grid": (multi_grid, CAFFE_DEPTHS)})
    shared = {"output_stride": output_stride, "width": width, "weights": weights}
    if name in CAFFE_DEPTHS:
        return CaffeResNet(CAFFE_DEPTHS[name], multi_grid=multi_grid, **shared)
    return build_backbone(name, stages=stages, small_stem=small_stem, **shared)


def load_classifier_backbone(backbone: Backbone, source: str | Path) -> Loaded:
    """Start from the backbone of a trained classifier.

    Args:
        backbone: built as that of the classifier was, from the same first weights: they bring the input scaling, the
            padding and frozen statistics, of which the file of a trained network says nothing.
        source: weights of one of our classifiers (:mod:`wsss_lib.networks.classifier`); its head is left aside.

    Raises:
        ValueError: the backbone is another one; it is unchanged.
    """
    prefix = "backbone."
    return load_weights(
        backbone, source, rename=lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None
    )


def deeplab_from_authors(name: str) -> str | None:
    """Name in our :class:`DeepLab` of an entry of deeplab-pytorch; None for the classifier of its initial weights.

    >>> deeplab_from_authors("base.aspp.c0.weight"), deeplab_from_authors("layer1.conv1.bn.bias")
    ('head.aspp.c0.weight', 'backbone.layer1.conv1.bn.bias')
    """
    inside = caffe_resnet_from_authors(name)
    if inside is not None:
        return f"backbone.{inside}"
    name = name.removeprefix("module.").removeprefix("base.")
    return None if name.startswith("fc.") else f"head.{name}"
