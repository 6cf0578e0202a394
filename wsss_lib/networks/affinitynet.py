"""AffinityNet: features whose distance tells whether two pixels belong together (Ahn and Kwak, CVPR 2018)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Freezable, Normalization
from wsss_lib.networks.checkpoints import without_wrappers
from wsss_lib.networks.vgg import PSAVGG16

PSA_CHANNELS = (64, 128, 256)


class AffinityNet(Freezable):
    """Taps of a backbone, each reduced by a 1x1 convolution, joined and mixed by another; ELU after each.

    Taps of different sizes are resized to the largest of them, whose stride is the attribute ``stride``, px. No layer
    has a bias.

    Args:
        backbone: any network of :mod:`wsss_lib.networks.backbones`.
        taps: which of its feature maps are used, by their place; negative ones count from the last.
        channels: reduced channels of each tap.
        group_norm: group norm before the first ELUs, of eight channels a group.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        taps: Sequence[int] = (-3, -2, -1),
        channels: Sequence[int] = PSA_CHANNELS,
        group_norm: bool = False,
    ):
        super().__init__()
        known = len(backbone.tap_channels)
        if len(taps) != len(channels) or not taps or not all(-known <= tap < known for tap in taps):
            raise ValueError(
                f"taps {list(taps)} with channels {list(channels)}: name one number of channels for each tap; "
                f"{type(backbone).__name__} has the taps 0 to {known - 1} with strides {backbone.tap_strides}"
            )
        if group_norm and any(count % 8 for count in channels):
            raise ValueError(f"group norm needs channels that are multiples of 8, not {list(channels)}")
        self.backbone = backbone
        self.taps = tuple(taps)
        self.stride = min(backbone.tap_strides[tap] for tap in taps)
        self.reductions = nn.ModuleList(
            nn.Conv2d(backbone.tap_channels[tap], count, 1, bias=False)
            for tap, count in zip(taps, channels, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.GroupNorm(count // 8, count) if group_norm else nn.Identity() for count in channels
        )
        self.fusion = nn.Conv2d(sum(channels), sum(channels), 1, bias=False)
        for reduction in self.reductions:
            nn.init.kaiming_normal_(reduction.weight)
        nn.init.xavier_uniform_(self.fusion.weight, gain=4)

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, C, h, w] of images [B, 3, H, W]; h and w are those of the largest tap.

        Sides that are no multiple of the backbone's stride are filled up with zeros at the right and the bottom, so
        that h >= H / stride.
        """
        height, width = images.shape[2:]
        multiple = max(self.backbone.tap_strides)
        taps = self.backbone(F.pad(images, (0, -width % multiple, 0, -height % multiple)))
        layers = zip(self.reductions, self.norms, self.taps, strict=True)
        reduced = [F.elu(norm(reduction(taps[tap]))) for reduction, norm, tap in layers]
        size = max(features.shape[2:] for features in reduced)
        reduced = [
            features if features.shape[2:] == size else F.interpolate(features, size, mode="bilinear")
            for features in reduced
        ]
        return F.elu(self.fusion(torch.cat(reduced, dim=1)))


def psa_affinitynet(backbone: Backbone) -> AffinityNet:
    """The networks of the paper: three last taps, 64, 128 and 256 channels.

    For PSA's VGG-16 the branches have group norm, and fc6 is dilated by 4.
    """
    is_vgg = isinstance(backbone, PSAVGG16)
    if is_vgg:
        backbone.fc6.dilation = backbone.fc6.padding = (4, 4)
    return AffinityNet(backbone, group_norm=is_vgg)


def affinitynet_from_authors(name: str) -> str | None:
    """Name in our AffinityNet of an entry of PSA's; None for the head of a classifier that it may start from.

    >>> [affinitynet_from_authors(name) for name in ("module.f8_4.weight", "gn8_3.bias", "f9.weight", "conv1a.weight")]
    ['reductions.1.weight', 'norms.0.bias', 'fusion.weight', 'backbone.conv1a.weight']
    """
    name = without_wrappers(name)
    layer, _, rest = name.rpartition(".")
    if layer.startswith(("f8_", "gn8_")):
        kind, place = layer.split("_")
        return f"{'norms' if kind == 'gn8' else 'reductions'}.{int(place) - 3}.{rest}"
    if layer in ("fc8", "head", "sub_head"):
        return None
    return f"fusion.{rest}" if layer == "f9" else f"backbone.{name}"
