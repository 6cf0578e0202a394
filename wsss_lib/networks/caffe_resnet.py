"""ResNet-50/101 as DeepLab took it from Caffe, with the state-dict names of deeplab-pytorch."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from wsss_lib.networks.base import CAFFE, Backbone, dilate_strides, initialize, scaled
from wsss_lib.networks.checkpoints import load_weights

CAFFE_DEPTHS = {"caffe_resnet50": (3, 4, 6, 3), "caffe_resnet101": (3, 4, 23, 3)}
EXPANSION = 4
MOMENTUM = 0.001


class ConvNorm(nn.Sequential):
    """Convolution without bias that keeps the size at stride 1, batch norm, and a ReLU unless it is left out."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        relu: bool = True,
        momentum: float = 0.1,
    ):
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, momentum=momentum)
        if relu:
            self.relu = nn.ReLU(inplace=True)


class CaffeBottleneck(nn.Module):
    """1x1 (which carries the stride), 3x3, 1x1 convolution, and a shortcut, projected in the first block of a stage."""

    def __init__(self, in_channels: int, planes: int, *, stride: int, dilation: int, project: bool):
        super().__init__()
        out_channels = planes * EXPANSION
        self.reduce = ConvNorm(in_channels, planes, 1, stride=stride, momentum=MOMENTUM)
        self.conv3x3 = ConvNorm(planes, planes, 3, dilation=dilation, momentum=MOMENTUM)
        self.increase = ConvNorm(planes, out_channels, 1, relu=False, momentum=MOMENTUM)
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = ConvNorm(in_channels, out_channels, 1, stride=stride, relu=False, momentum=MOMENTUM)

    def forward(self, features: Tensor) -> Tensor:
        return (self.increase(self.conv3x3(self.reduce(features))) + self.shortcut(features)).relu()


class CaffeResNet(Backbone):
    """Taps: the pooled stem, then layer2 to layer5. Other than in torchvision every block of a stage is dilated alike.

    The pool of the stem rounds up, so an image of even height has one row more than H / stride.

    Args:
        depths: number of blocks of the four stages.
        output_stride: 8, 16 or 32 px.
        multi_grid: factors on the dilation of the blocks of the last stage, one for each (1, 2, 4 in DeepLab v3).
        width: factor on all numbers of channels.
        weights: file of deeplab-pytorch (see :func:`wsss_lib.networks.checkpoints.read_state_dict`), such as the COCO
            initialization; entries of a head are left aside. None or "" for random weights.

    Raises:
        ValueError: the factors are not one for each block, the output stride cannot be had, or the file does not fit.
    """

    normalization = CAFFE

    def __init__(
        self,
        depths: Sequence[int],
        *,
        output_stride: int = 8,
        multi_grid: Sequence[int] = (),
        width: float = 1.0,
        weights: str | Path | None = None,
    ):
        super().__init__()
        multi_grid = tuple(multi_grid) or (1,) * depths[-1]
        if len(multi_grid) != depths[-1]:
            raise ValueError(f"multi_grid {multi_grid} should have {depths[-1]} factors, one a block of the last stage")
        stem = scaled(64, width)
        pool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.layer1 = nn.Sequential()
        self.layer1.add_module("conv1", ConvNorm(3, stem, 7, stride=2, momentum=MOMENTUM))
        self.layer1.add_module("pool", pool)

        self.tap_channels, self.tap_strides = [stem], [4]
        for stage, (stride, _, dilation) in enumerate(dilate_strides((1, 2, 2, 2), output_stride, start=4)):
            planes = scaled(64 * 2**stage, width)
            layer = nn.Sequential()
            for block in range(depths[stage]):
                in_channels = planes * EXPANSION if block else self.tap_channels[-1]
                grid = multi_grid[block] if stage == 3 else 1
                layer.add_module(
                    f"block{block + 1}",
                    CaffeBottleneck(
                        in_channels,
                        planes,
                        stride=1 if block else stride,
                        dilation=dilation * grid,
                        project=block == 0,
                    ),
                )
            self.add_module(f"layer{stage + 2}", layer)
            self.tap_channels.append(planes * EXPANSION)
            self.tap_strides.append(self.tap_strides[-1] * stride)
        initialize(self)
        if weights:
            load_weights(self, weights, rename=caffe_resnet_from_authors)

    def forward(self, images: Tensor) -> list[Tensor]:
        taps = [self.layer1(images)]
        for stage in range(2, 6):
            taps.append(self.get_submodule(f"layer{stage}")(taps[-1]))
        return taps


def caffe_resnet_from_authors(name: str) -> str | None:
    """Name in our :class:`CaffeResNet` of an entry of deeplab-pytorch; None for an entry of its head.

    >>> caffe_resnet_from_authors("module.base.layer2.block1.reduce.conv.weight"), caffe_resnet_from_authors("fc.bias")
    ('layer2.block1.reduce.conv.weight', None)
    """
    name = name.removeprefix("module.").removeprefix("base.")
    return name if name.startswith("layer") else None
