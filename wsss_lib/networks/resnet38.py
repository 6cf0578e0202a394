"""Wide ResNet-38, variant d (Wu et al., arXiv 1611.10080), as PSA, SC-CAM, mva-wsss and KTSE use it; KTSE's head."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Normalization, initialize, scaled


class PreactivationBlock(nn.Module):
    """Two 3x3 convolutions behind batch norm and ReLU. Returns (output, activated input)."""

    def __init__(
        self, in_channels: int, mid: int, out_channels: int, stride: int = 1, first_dilation: int = 1, dilation: int = 1
    ):
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(in_channels)
        self.conv_branch2a = nn.Conv2d(
            in_channels, mid, 3, stride, padding=first_dilation, dilation=first_dilation, bias=False
        )
        self.bn_branch2b1 = nn.BatchNorm2d(mid)
        self.conv_branch2b1 = nn.Conv2d(mid, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.conv_branch1 = None
        if in_channels != out_channels or stride != 1:
            self.conv_branch1 = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        activated = F.relu(self.bn_branch2a(features))
        shortcut = features if self.conv_branch1 is None else self.conv_branch1(activated)
        branch = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(F.relu(self.bn_branch2b1(branch)))
        return shortcut + branch, activated


class PreactivationBottleneck(nn.Module):
    """1x1 to a quarter, 3x3 dilated to a half, 1x1 to all channels, with dropout. Returns (output, activated input)."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int, dropout: float):
        super().__init__()
        quarter, half = out_channels // 4, out_channels // 2
        self.bn_branch2a = nn.BatchNorm2d(in_channels)
        self.conv_branch2a = nn.Conv2d(in_channels, quarter, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(quarter)
        self.dropout_2b1 = nn.Dropout2d(dropout)
        self.conv_branch2b1 = nn.Conv2d(quarter, half, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn_branch2b2 = nn.BatchNorm2d(half)
        self.dropout_2b2 = nn.Dropout2d(dropout)
        self.conv_branch2b2 = nn.Conv2d(half, out_channels, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        activated = F.relu(self.bn_branch2a(features))
        branch = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(self.dropout_2b1(F.relu(self.bn_branch2b1(branch))))
        branch = self.conv_branch2b2(self.dropout_2b2(F.relu(self.bn_branch2b2(branch))))
        return self.conv_branch1(activated) + branch, activated


class ResNet38(Backbone):
    """Output stride 8, no bias anywhere, names of the authors (b2, b2_1, ..., b7, bn7).

    Taps: b2_2 (128 channels, stride 2), b3_2 (256, stride 4), conv4 (512), conv5 (1024), conv6 (4096, all stride 8);
    conv4 and conv5 are the activated inputs of b5 and b6, as AffinityNet takes them.

    Args:
        width: factor on all numbers of channels.
        dropouts: channel dropout of b6 and b7: (0.3, 0.5) in PSA and its descendants, (0.2, 0.2) in KTSE.
        freeze: keep conv1a, b2, b2_1, b2_2 and all batch norms as they are, as in the papers.
    """

    BLOCKS = (
        *("b2", "b2_1", "b2_2"),
        *("b3", "b3_1", "b3_2"),
        *("b4", "b4_1", "b4_2", "b4_3", "b4_4", "b4_5"),
        *("b5", "b5_1", "b5_2"),
        *("b6", "b7"),
    )

    def __init__(self, *, width: float = 1.0, dropouts: tuple[float, float] = (0.3, 0.5), freeze: bool = True):
        super().__init__()
        c64, c128, c256, c512, c1024, c2048, c4096 = (scaled(64 * 2**power, width, multiple=4) for power in range(7))
        self.conv1a = nn.Conv2d(3, c64, 3, padding=1, bias=False)
        self.b2 = PreactivationBlock(c64, c128, c128, stride=2)
        self.b2_1 = PreactivationBlock(c128, c128, c128)
        self.b2_2 = PreactivationBlock(c128, c128, c128)
        self.b3 = PreactivationBlock(c128, c256, c256, stride=2)
        self.b3_1 = PreactivationBlock(c256, c256, c256)
        self.b3_2 = PreactivationBlock(c256, c256, c256)
        self.b4 = PreactivationBlock(c256, c512, c512, stride=2)
        for index in range(1, 6):
            self.add_module(f"b4_{index}", PreactivationBlock(c512, c512, c512))
        self.b5 = PreactivationBlock(c512, c512, c1024, first_dilation=1, dilation=2)
        self.b5_1 = PreactivationBlock(c1024, c512, c1024, first_dilation=2, dilation=2)
        self.b5_2 = PreactivationBlock(c1024, c512, c1024, first_dilation=2, dilation=2)
        self.b6 = PreactivationBottleneck(c1024, c2048, dilation=4, dropout=dropouts[0])
        self.b7 = PreactivationBottleneck(c2048, c4096, dilation=4, dropout=dropouts[1])
        self.bn7 = nn.BatchNorm2d(c4096)
        self.tap_channels = [c128, c256, c512, c1024, c4096]
        self.tap_strides = [2, 4, 8, 8, 8]
        initialize(self)
        if freeze:
            self.freeze("conv1a", "b2", "b2_1", "b2_2", batch_norm_statistics=True, batch_norm_affine=True)

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.conv1a(images)
        taps = []
        for name in self.BLOCKS:
            features, activated = self.get_submodule(name)(features)
            if name in ("b5", "b6"):
                taps.append(activated)
            elif name in ("b2_2", "b3_2"):
                taps.append(features)
        return [*taps, F.relu(self.bn7(features))]


class GatedPyramidOutput(NamedTuple):
    """What KTSE's network knows of a batch.

    Attributes:
        logits: class scores, [B, K].
        features: last feature map, after the reduction to 256 channels, [B, C, h, w].
        maps: class activation maps, raw and signed, [B, K, h, w].
        gated_maps: gated pyramid pooling of the maps, [B, K, h, w].
        segmentation_logits: background and classes, of which ``maps`` are the last K, [B, K + 1, h, w].
    """

    logits: Tensor
    features: Tensor
    maps: Tensor
    gated_maps: Tensor
    segmentation_logits: Tensor


class Gate(nn.Module):
    """Blend two stacks of signed maps, position by position; positive and negative parts have their own gates."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.att_p = nn.Sequential(nn.Conv2d(2 * num_classes, 2, 3, padding=1, bias=False), nn.Sigmoid())
        self.att_n = nn.Sequential(nn.Conv2d(2 * num_classes, 2, 3, padding=1, bias=False), nn.Sigmoid())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        blends = []
        for sign, gates in ((1, self.att_p), (-1, self.att_n)):
            first_part, second_part = F.relu(sign * first), F.relu(sign * second)  # [B, K, h, w]
            weights = gates(torch.cat((first_part, second_part), dim=1))  # [B, 2, h, w]
            blends.append((first_part * weights[:, :1] + second_part * weights[:, 1:]) / 2)
        return blends[0] - blends[1]


class GatedPyramidHead(nn.Module):
    """Reduced features [B, C, h, w] to signed maps, their gated pyramid pooling and class scores (KTSE; AEFT)."""

    SIDES = (2, 4, 8, 16)  # cells per side of the pooled maps, coarse to fine

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.fc9 = nn.Conv2d(channels, num_classes + 1, 1, bias=False)
        self.gconv1 = Gate(num_classes)
        self.gconv2 = Gate(num_classes)
        self.gconv3 = Gate(num_classes)
        nn.init.xavier_uniform_(self.fc9.weight)

    def forward(self, features: Tensor) -> GatedPyramidOutput:
        segmentation_logits = self.fc9(features)
        maps = segmentation_logits[:, 1:]
        pooled = [
            F.interpolate(F.adaptive_avg_pool2d(maps, side), maps.shape[2:], mode="bilinear") for side in self.SIDES
        ]
        gated = pooled[0]
        for gate, finer in zip((self.gconv1, self.gconv2, self.gconv3), pooled[1:], strict=True):
            gated = gate(gated, finer)
        positive = (F.relu(maps) * F.relu(gated)).mean((2, 3))
        negative = (F.relu(-maps) * F.relu(-gated)).mean((2, 3))
        return GatedPyramidOutput(positive - negative, features, maps, gated, segmentation_logits)


class GatedPyramidClassifier(nn.Module):
    """ResNet-38 with 256 reduced channels and gated pyramid pooling: the classifier of KTSE (ECCV 2024).

    Args:
        backbone: ResNet-38, with dropouts (0.2, 0.2) in the paper's code.
        num_classes: foreground classes.
        channels: reduced channels before the head.
    """

    def __init__(self, backbone: Backbone, num_classes: int, *, channels: int = 256):
        super().__init__()
        self.backbone = backbone
        self.fc8 = nn.Conv2d(backbone.tap_channels[-1], channels, 1, bias=False)
        self.head = GatedPyramidHead(channels, num_classes)
        nn.init.xavier_uniform_(self.fc8.weight)

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def forward(self, images: Tensor) -> GatedPyramidOutput:
        return self.head(F.relu(self.fc8(self.backbone(images)[-1])))
