"""ResNet-18/34/50/101 (He et al., CVPR 2016), with the state-dict names of torchvision."""

from itertools import pairwise

from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, dilate_strides, initialize, scaled


def conv_norm_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """1x1 projection where a block changes the shape, else nothing."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int, first_dilation: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, planes, 3, stride, padding=first_dilation, dilation=first_dilation, bias=False
        )
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = conv_norm_shortcut(in_channels, planes, stride)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        return self.relu(self.bn2(self.conv2(features)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 convolution to four times the width, and a shortcut.

    Only ``first_dilation`` matters here: the one 3x3 convolution is the one that had the stride.
    """

    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int, first_dilation: int, dilation: int):
        super().__init__()
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=first_dilation, dilation=first_dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = conv_norm_shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)))
        return self.relu(self.bn3(self.conv3(features)) + shortcut)


DEPTHS = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(Backbone):
    """Taps: the stem before its pool, then layer1 to layer4.

    Args:
        block, depths: kind and number of blocks of the stages.
        output_stride: 4 to 32 px; with the small stem 1 to 8 px.
        width: factor on all numbers of channels.
        small_stem: one 3x3 convolution without stride or pool instead of the 7x7 one, for small images.
        dilate: False removes strides without dilating what follows, as IRN does.
        stages: how many of the four stages there are (fewer make a shallow, fast network).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        *,
        output_stride: int = 32,
        width: float = 1.0,
        small_stem: bool = False,
        dilate: bool = True,
        stages: int = 4,
    ):
        super().__init__()
        if not 1 <= stages <= len(depths):
            raise ValueError(f"{stages} stages asked for; a ResNet has 1 to {len(depths)}")
        stem = scaled(64, width)
        kernel, stride = (3, 1) if small_stem else (7, 2)
        self.conv1 = nn.Conv2d(3, stem, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, stride=2, padding=1)

        planes = [scaled(64 * 2**stage, width) for stage in range(stages)]
        strides = dilate_strides((1, 2, 2, 2)[:stages], output_stride, start=1 if small_stem else 4, dilate=dilate)
        channels = [stem] + [count * block.expansion for count in planes]
        for stage, (in_channels, _) in enumerate(pairwise(channels)):
            stride_, first_dilation, dilation = strides[stage]
            blocks = [block(in_channels, planes[stage], stride_, first_dilation, dilation)]
            for _ in range(1, depths[stage]):
                blocks.append(block(planes[stage] * block.expansion, planes[stage], 1, dilation, dilation))
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

        self.tap_channels = channels
        self.tap_strides = [stride]
        total = 1 if small_stem else 4
        for stage_stride, _, _ in strides:
            total *= stage_stride
            self.tap_strides.append(total)
        self.num_stages = stages
        initialize(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        taps = [self.relu(self.bn1(self.conv1(images)))]
        features = self.maxpool(taps[0])
        for stage in range(self.num_stages):
            features = self.get_submodule(f"layer{stage + 1}")(features)
            taps.append(features)
        return taps
