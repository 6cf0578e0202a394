"""U-Nets whose decoder mirrors the encoder, with or without a classification head, under the authors' names.

The baselines `std_unet` and `mt_unet` of "Model Guidance via Explanations Turns Image Classifiers into Segmentation
Models", arXiv 2407.03009: every block of a ResNet has an inverse block of its own widths in the decoder; the decoder of
VGG-16 has as many convolutions a stage as the encoder, and nearest-neighbour upsampling in place of the pools.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.base import Backbone, Freezable, Normalization
from wsss_lib.networks.checkpoints import Loaded, load_weights, without_wrappers
from wsss_lib.networks.resnet import BasicBlock, ResNet
from wsss_lib.networks.vgg import VGG16

#: Input of the authors' networks, (value + 1) / 256 of 8-bit values: positive, without mean and deviation of ImageNet
POSITIVE = Normalization((-1 / 255,) * 3, (256 / 255,) * 3)


class UNetOutput(NamedTuple):
    """``logits`` [B, K + 1] of the image and ``maps`` [B, K + 1, H, W] of its pixels; channel 0 is background.

    Without a classification head the logits are the means of the maps.
    """

    logits: Tensor
    maps: Tensor


class InverseBlock(nn.Module):
    """A residual block run backwards: from the channels it had made to those it had read, and up where it went down.

    Where the block of the encoder has a projection, its strided convolution and the projection become transposed
    convolutions; else all are plain. Convolutions have biases.

    Args:
        block: of the encoder.
        skip_channels: channels of the features that are concatenated to the input.
    """

    def __init__(self, block: nn.Module, skip_channels: int = 0):
        super().__init__()
        down = block.downsample is not None
        basic = isinstance(block, BasicBlock)
        inner, strided = block.conv1.out_channels, (block.conv1 if basic else block.conv2)
        channels = inner if basic else block.conv3.out_channels
        before = block.conv1.in_channels

        def conv(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
            return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)

        def inverse(in_channels: int, out_channels: int, like: nn.Conv2d) -> nn.Module:
            if not down:
                return conv(in_channels, out_channels, like.kernel_size[0])
            how = {"stride": like.stride, "padding": like.padding, "dilation": like.dilation}
            return nn.ConvTranspose2d(in_channels, out_channels, like.kernel_size, **how)

        if basic:
            self.conv1, self.bn1 = conv(channels + skip_channels, channels, 3), nn.BatchNorm2d(channels)
            self.conv2, self.bn2 = inverse(channels, before, strided), nn.BatchNorm2d(before)
        else:
            self.conv1, self.bn1 = conv(channels + skip_channels, inner, 1), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = inverse(inner, inner, strided), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = conv(inner, before, 1), nn.BatchNorm2d(before)
        self.downsample = None
        if down:
            projection = inverse(channels + skip_channels, before, block.downsample[0])
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(before))

    def forward(self, features: Tensor, size: torch.Size, skip: Tensor | None = None) -> Tensor:
        """Features [B, channels, h, w] and skipped ones to [B, before, *size]."""

        def apply(layer: nn.Module, features: Tensor) -> Tensor:
            return layer(features, size) if isinstance(layer, nn.ConvTranspose2d) else layer(features)

        joined = features if skip is None else torch.cat([features, skip], 1)
        shortcut = features
        if self.downsample is not None:
            shortcut = self.downsample[1](apply(self.downsample[0], joined))
        inside = F.relu(self.bn1(self.conv1(joined)))
        inside = self.bn2(apply(self.conv2, inside))
        if hasattr(self, "conv3"):
            inside = self.bn3(self.conv3(F.relu(inside)))
        return F.relu(inside + shortcut)


class ResNetDecoder(nn.Module):
    """Inverse stages from the last to the first, with the taps of the encoder concatenated at the start of each.

    The last stage has only the inverse of its first block, and no skip. The pool is undone by nearest-neighbour
    upsampling, the first convolution by a transposed one.
    """

    def __init__(self, encoder: ResNet):
        super().__init__()
        self.num_stages = encoder.num_stages
        for stage in range(self.num_stages, 0, -1):
            blocks = list(encoder.get_submodule(f"layer{stage}"))[::-1]
            last = stage == self.num_stages
            skipped = 0 if last else encoder.tap_channels[stage]
            blocks = blocks[-1:] if last else blocks
            inverses = [InverseBlock(block, 0 if number else skipped) for number, block in enumerate(blocks)]
            self.add_module(f"inv_layer{stage}", nn.ModuleList(inverses))
        stem = encoder.conv1
        how = {"stride": stem.stride, "padding": stem.padding}
        self.inv_conv1 = nn.ConvTranspose2d(2 * stem.out_channels, stem.out_channels, stem.kernel_size, **how)
        self.out_channels = stem.out_channels
        initialize_decoder(self)

    def forward(self, taps: list[Tensor], size: torch.Size) -> Tensor:
        features = taps[-1]
        for stage in range(self.num_stages, 0, -1):
            skip = None if stage == self.num_stages else taps[stage]
            before = taps[max(1, stage - 1)].shape[-2:]
            *blocks, first = self.get_submodule(f"inv_layer{stage}")
            for block in blocks:
                features, skip = block(features, features.shape[-2:], skip), None
            features = first(features, before, skip)
        features = F.interpolate(features, taps[0].shape[-2:], mode="nearest")
        return self.inv_conv1(torch.cat([features, taps[0]], 1), size)


class StackedDecoder(nn.Module):
    """Stacks of 3x3 convolutions, each on the upsampled features before it and one tap of the encoder.

    Args:
        tap_channels: of the encoder, from fine to coarse.
        counts: convolutions of each stack, from coarse to fine; the first one (the centre) has no tap.
        batch_norm: after each convolution.
    """

    def __init__(self, tap_channels: list[int], counts: tuple[int, ...], batch_norm: bool):
        super().__init__()
        channels, self.blocks = tap_channels[-1], nn.ModuleList()
        skips = [0, *tap_channels[-2::-1]]
        widths = [tap_channels[-2], *skips[1:]]
        for count, skip, width in zip(counts, skips, widths, strict=True):
            layers: list[nn.Module] = []
            for number in range(count):
                layers.append(nn.Conv2d(width if number else channels + skip, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] * batch_norm + [nn.ReLU(inplace=True)]
            self.blocks.append(nn.Sequential(*layers))
            channels = width
        self.out_channels = channels
        initialize_decoder(self)

    def forward(self, taps: list[Tensor], size: torch.Size) -> Tensor:
        centre, *others = self.blocks
        features = centre(taps[-1])
        for block, skip in zip(others, taps[-2::-1], strict=True):
            features = F.interpolate(features, skip.shape[-2:], mode="nearest")
            features = block(torch.cat([features, skip], 1))
        return F.interpolate(features, size, mode="nearest") if features.shape[-2:] != size else features


def initialize_decoder(decoder: nn.Module) -> None:
    """Kaiming-uniform convolutions (fan in), zero biases; transposed convolutions as torch makes them.

    Departs from the authors' code, which re-initializes the pretrained encoder of a ResNet as well.
    """
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(module.bias)


class PooledHead(nn.Module):
    """Classification head of a ResNet: mean over the image, one linear layer."""

    def __init__(self, channels: int, num_labels: int):
        super().__init__()
        self.fc = nn.Linear(channels, num_labels)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc(features.mean((2, 3)))


class VGGHead(nn.Module):
    """Classification head of VGG-16: 7 x 7 means, three linear layers with dropout."""

    def __init__(self, channels: int, num_labels: int, hidden: int = 4096, dropout: float = 0.5):
        super().__init__()
        self.classifier = nn.Sequential(
            nn.Linear(49 * channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_labels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(features, 7).flatten(1))


class UNet(Freezable):
    """Encoder, mirrored decoder, a 3x3 convolution to K + 1 maps at the size of the image, perhaps a classifier.

    Args:
        encoder: ResNet, VGG-16 or MobileNetV2; with its own strides, none of them removed.
        num_labels: classes and background, K + 1.
        classification: logits from the encoder's last features (`mt_unet`); False takes the means of the maps
            (`std_unet`).
    """

    def __init__(self, encoder: Backbone, num_labels: int, *, classification: bool = False):
        super().__init__()
        self.encoder = encoder
        vgg = isinstance(encoder, VGG16)
        if isinstance(encoder, ResNet):
            decoder = ResNetDecoder(encoder)
        else:
            counts = (2, 3, 3, 3, 2, 2) if vgg else (2,) * len(encoder.tap_channels)
            batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
            decoder = StackedDecoder(encoder.tap_channels, counts, batch_norm)
        self.decoder = nn.ModuleDict({"decoder": decoder})
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder.out_channels, num_labels, 3, padding=1))
        self.classification_head = None
        channels = encoder.tap_channels[-1]
        if classification and vgg:
            self.classification_head = VGGHead(channels, num_labels, hidden=8 * channels)
        elif classification:
            self.classification_head = PooledHead(channels, num_labels)
        for layer in [*self.segmentation_head, *(self.classification_head or nn.Identity()).modules()]:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the encoder's weights expect."""
        return self.encoder.normalization

    def forward(self, images: Tensor) -> UNetOutput:
        """Any size that the encoder can read.

        Raises:
            ValueError: the image is too small for the pools of the encoder; says what would do.
        """
        size, least = images.shape[-2:], self.encoder.tap_strides[-1]
        if isinstance(self.encoder, VGG16) and min(size) < least:
            raise ValueError(f"images of {size[0]} x {size[1]} px vanish in the pools of VGG; use {least} px or more")
        taps = self.encoder(images)
        maps = self.segmentation_head(self.decoder["decoder"](taps, size))
        head = self.classification_head
        return UNetOutput(maps.mean((2, 3)) if head is None else head(taps[-1]), maps)


def build_unet(
    name: str,
    num_labels: int,
    *,
    classification: bool = False,
    width: float = 1.0,
    stages: int = 4,
    small_stem: bool = False,
    weights: str | Path | None = None,
    normalization: Normalization | None = None,
) -> UNet:
    """U-Net on the backbone called ``name``, with the strides of the classifier.

    Args:
        name: resnet18 to resnet101, vgg16, vgg16_bn or mobilenet_v2 (not of the paper; decoder as of VGG).
        num_labels: classes and background, K + 1.
        classification: with a classification head.
        width, stages, small_stem, weights, normalization: as of :func:`wsss_lib.networks.backbones.build_backbone`.

    >>> build_unet("resnet18", 4, width=0.25, stages=2)(torch.zeros(2, 3, 21, 35)).maps.shape
    torch.Size([2, 4, 21, 35])
    """
    if name in ("resnet38", "psa_vgg16"):
        raise ValueError(f"{name} has no U-Net; choose resnet18 to resnet101, vgg16, vgg16_bn or mobilenet_v2")
    resnet = name.startswith("resnet")
    stride = (1 if small_stem else 4) * 2 ** (stages - 1) if resnet else 32
    options = {"stages": stages, "small_stem": small_stem} if resnet else {}
    encoder = build_backbone(
        name, output_stride=stride, width=width, weights=weights, normalization=normalization, **options
    )
    return UNet(encoder, num_labels, classification=classification)


def unet_from_authors(name: str) -> str | None:
    """Name in our U-Net of an entry of the authors' file; None for the second copy of the encoder.

    >>> unet_from_authors("decoder.decoder.encoder.conv1.weight"), unet_from_authors("encoder.conv1.weight")
    (None, 'encoder.conv1.weight')
    """
    return None if name.startswith("decoder.decoder.encoder.") else name


def load_classifier(network: UNet, source: str | Path | Mapping[str, Tensor]) -> Loaded:
    """Start from a classifier: its backbone becomes the encoder, its head the classification head where they agree.

    Args:
        source: weights of our classifiers with K + 1 classes (:mod:`wsss_lib.networks.classifier`, ``vgg_classifier``),
            of torchvision, or of the authors' pretraining (prefixes ``encoder.`` and ``encoder.backbone.``; their tied
            decoder is left aside).

    Raises:
        ValueError: the encoder or the number of classes does not fit; the network is unchanged.
    """
    own = network.state_dict()

    def rename(name: str) -> str | None:
        if name.startswith("tied_weights_decoder."):
            return None
        name = without_wrappers(name)
        if not name.startswith(("head.", "fc.", "classifier.")):
            return f"encoder.{name}"
        name = name.removeprefix("head.") if name.startswith("head.classifier.") else name.replace("head.", "fc.")
        name = f"classification_head.{name}"
        return name if name in own else None

    new = ["decoder.*", "segmentation_head.*", "classification_head.*"]
    return load_weights(network, source, rename=rename, allow_missing=new)
