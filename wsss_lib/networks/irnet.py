"""IRNet: boundaries between classes and displacements to object centers (IRN, Ahn, Cho and Kwak, CVPR 2019)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Freezable, Normalization

ALIASES = ("stage", "backbone.", "edge_layers.", "dp_layers.", "fc_dp7.4.", "path_indices", "disp_target")


class Relations(NamedTuple):
    """Boundary logits [B, 1, h, w] and displacement fields (dy, dx), px of the map, [B, 2, h, w]."""

    boundary_logits: Tensor
    displacements: Tensor


class MeanShift(nn.Module):
    """Subtracts the mean displacement of the training images, in evaluation mode alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, fields: Tensor) -> Tensor:
        return fields if self.training else fields - self.running_mean.view(1, -1, 1, 1)


def reduction(in_channels: int, out_channels: int, groups: int) -> nn.Sequential:
    """1x1 convolution without bias, and group norm."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.GroupNorm(groups, out_channels))


def stretched(features: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Enlarged bilinearly by a whole factor, ReLU, cropped to ``size``."""
    if factor > 1:
        features = F.interpolate(features, scale_factor=factor, mode="bilinear")
    return F.relu(features)[..., : size[0], : size[1]]


class IRNet(Freezable):
    """Two heads on five taps of a backbone that does not learn.

    Taps finer than ``stride`` are pooled as ResNet pools its stem (3x3, stride 2), so that with ResNet-50 the first is
    what the authors take, the features after the pool. The heads have the authors' names.

    Args:
        backbone: any network of :mod:`wsss_lib.networks.backbones`; the authors' is ResNet-50 with output stride 16,
            ``dilate=False``.
        taps: its five feature maps, by place, fine ones first; negative ones count from the last, and a network with
            fewer stages may give one twice.
        stride: px of the image per pixel of the boundary map; that of the second tap or coarser than it.
        width: factor on the channels of the heads.
    """

    def __init__(
        self, backbone: Backbone, *, taps: Sequence[int] = (0, 1, 2, 3, 4), stride: int = 4, width: float = 1.0
    ):
        super().__init__()
        known = len(backbone.tap_channels)
        if len(taps) != 5 or not all(-known <= tap < known for tap in taps):
            raise ValueError(
                f"taps {list(taps)}: name five; {type(backbone).__name__} has the taps 0 to {known - 1} "
                f"with strides {backbone.tap_strides}, and one may be named twice"
            )
        strides = [max(stride, backbone.tap_strides[tap]) for tap in taps]
        if strides[:2] != [stride, stride] or strides != sorted(strides) or any(each % stride for each in strides):
            raise ValueError(
                f"the taps {list(taps)} have the strides {[backbone.tap_strides[tap] for tap in taps]}; the first two "
                f"should have stride {stride} or less, the others multiples of it in ascending order"
            )
        self.backbone, self.taps, self.stride, self.strides = backbone, tuple(taps), stride, strides
        channels = [backbone.tap_channels[tap] for tap in taps]
        edge = self._scaled(32, width, 4)
        wide = [self._scaled(count, width, groups) for count, groups in ((64, 8), (128, 16), (256, 16))]
        for place, count in enumerate(channels, start=1):
            self.add_module(f"fc_edge{place}", reduction(count, edge, 4))
        self.fc_edge6 = nn.Conv2d(5 * edge, 1, 1)
        outputs = [wide[0], wide[1], wide[2], wide[2], wide[2]]
        for place, (count, out, groups) in enumerate(zip(channels, outputs, (8, 16, 16, 16, 16), strict=True), start=1):
            self.add_module(f"fc_dp{place}", reduction(count, out, groups))
        self.fc_dp6 = reduction(3 * wide[2], wide[2], 16)
        self.fc_dp7 = nn.Sequential(
            *reduction(sum(wide), wide[2], 16), nn.ReLU(inplace=True), nn.Conv2d(wide[2], 2, 1, bias=False)
        )
        self.mean_shift = MeanShift(2)
        self.backbone.requires_grad_(False)
        self.frozen_layers = ("backbone",)
        self.train(self.training)

    @staticmethod
    def _scaled(channels: int, width: float, groups: int) -> int:
        scaled = round(channels * width)
        if scaled < groups or scaled % groups:
            raise ValueError(
                f"width {width} makes {scaled} of {channels} channels, in {groups} groups; take 0.25, 0.5 or 1"
            )
        return scaled

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def head_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters of the boundary head and of the displacement head (paper: rates 0.1 and 1)."""
        heads = {"fc_edge": [], "fc_dp": []}
        for name, parameter in self.named_parameters():
            for head in heads:
                if name.startswith(head):
                    heads[head].append(parameter)
        return list(heads.values())

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """The five taps; sides that are no multiple of the backbone's stride are filled up with zeros."""
        height, width = images.shape[2:]
        multiple = max(*self.backbone.tap_strides, self.strides[-1])
        every = self.backbone(F.pad(images, (0, -width % multiple, 0, -height % multiple)))
        taps = []
        for tap in self.taps:
            features, tap_stride = every[tap], self.backbone.tap_strides[tap]
            while tap_stride < self.stride:
                features, tap_stride = F.max_pool2d(features, 3, 2, 1), 2 * tap_stride
            taps.append(features)
        return taps

    def forward(self, images: Tensor) -> Relations:
        """Relations of images [B, 3, H, W], at least ceil(H / stride) rows and ceil(W / stride) columns."""
        taps = self.features(images)
        fine, middle = taps[1].shape[2:], taps[2].shape[2:]
        edges, fields = [], []
        for place, (features, stride) in enumerate(zip(taps, self.strides, strict=True), start=1):
            edge = self.get_submodule(f"fc_edge{place}")(features)
            edges.append(stretched(edge, stride // self.stride, fine))
            field = self.get_submodule(f"fc_dp{place}")(features)
            coarse = place > 2
            fields.append(stretched(field, stride // self.strides[2] if coarse else 1, middle if coarse else fine))
        joined = self.fc_dp6(torch.cat(fields[2:], dim=1))
        joined = stretched(joined, self.strides[2] // self.stride, fine)
        displacements = self.mean_shift(self.fc_dp7(torch.cat([*fields[:2], joined], dim=1)))
        return Relations(self.fc_edge6(torch.cat(edges, dim=1)), displacements)


def boundaries_and_displacements(network: IRNet, images: Tensor, canvas: int = 0) -> tuple[Tensor, Tensor]:
    """What inference takes: boundaries of image and mirror image averaged, displacements of the image.

    Args:
        network: in evaluation mode.
        images: normalized, [B, 3, H, W].
        canvas: smaller images are filled up with zeros to this side, px (512 in the authors' code, which the group
            norms have seen in training; it crops larger images, this does not). 0: no more than needed.

    Returns:
        Probability of a boundary, [B, ceil(H / stride), ceil(W / stride)], and displacements, px of that map,
        [B, 2, ceil(H / stride), ceil(W / stride)].
    """
    height, width = images.shape[2:]
    rows, columns = -(-height // network.stride), -(-width // network.stride)
    both = torch.cat([images, images.flip(-1)])
    both = F.pad(both, (0, max(0, canvas - width), 0, max(0, canvas - height)))
    logits, displacements = (each[..., :rows, :columns] for each in network(both))
    plain, mirrored = logits[:, 0].chunk(2)
    return ((plain + mirrored.flip(-1)) / 2).sigmoid(), displacements[: len(images)]


def irnet_from_authors(name: str) -> str | None:
    """Name in our IRNet of an entry of IRN's; None for the second names that it gives the same tensors.

    >>> [irnet_from_authors(name) for name in ("resnet50.conv1.weight", "module.fc_dp7.3.weight", "stage1.0.weight")]
    ['backbone.conv1.weight', 'fc_dp7.3.weight', None]
    """
    name = name.removeprefix("module.")
    if name.startswith("resnet50."):
        return f"backbone.{name.removeprefix('resnet50.')}"
    return None if name.startswith(ALIASES) else name


def irnet_from_classifier(name: str) -> str | None:
    """Name in our IRNet of an entry of one of our classifiers: its backbone alone, None for its head.

    >>> irnet_from_classifier("backbone.layer1.0.conv1.weight"), irnet_from_classifier("head.weight")
    ('backbone.layer1.0.conv1.weight', None)
    """
    return name if name.startswith("backbone.") else None
