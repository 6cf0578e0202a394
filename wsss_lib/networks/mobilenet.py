"""MobileNetV2 (Sandler et al., CVPR 2018), with the state-dict names of torchvision."""

import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, dilate_strides, initialize, scaled


class SameConv2d(nn.Conv2d):
    """Convolution that pads as TensorFlow's ``SAME``: ceil(size / stride) outputs, the odd pixel right and bottom."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = (
            same_padding(size, kernel, stride, dilation)
            for size, kernel, stride, dilation in zip(
                images.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        return super().forward(F.pad(images, (*width, *height)))


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding before and after one axis, px.

    >>> same_padding(224, 3, 2, 1), same_padding(225, 3, 2, 1), same_padding(14, 3, 1, 2)
    ((0, 1), (1, 1), (2, 2))
    """
    outputs = -(-size // stride)
    padding = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return padding // 2, padding - padding // 2


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    same: bool = False,
) -> nn.Sequential:
    """Convolution, batch norm, ReLU clipped at 6."""
    if same and stride > 1:  # at stride 1 both paddings are the same
        conv = SameConv2d(in_channels, out_channels, kernel, stride, 0, dilation, groups, bias=False)
    else:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; a shortcut where the shape stays."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int,
        *,
        stride: int,
        dilation: int,
        shortcut: bool,
        same: bool,
    ):
        super().__init__()
        hidden = in_channels * expansion
        layers = [conv_norm_relu(in_channels, hidden, 1)] if expansion != 1 else []
        layers += [
            conv_norm_relu(hidden, hidden, 3, stride=stride, dilation=dilation, groups=hidden, same=same),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv(features) if self.shortcut else self.conv(features)


class MobileNetV2(Backbone):
    """Taps: the last map of every stride (2, 4, 8, 16 of the undilated network), then the final 1280 channels.

    Args:
        output_stride: 2 to 32 px.
        width: factor on all numbers of channels, rounded to multiples of 8; the last layer never gets narrower.
        same_padding: pad stride-2 convolutions as TensorFlow does (the weights must have been trained so).
    """

    # expansion, channels, blocks, stride: Table 2 of the paper
    BLOCKS = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, *, output_stride: int = 32, width: float = 1.0, same_padding: bool = False):
        super().__init__()
        strides = dilate_strides([stride for *_, stride in self.BLOCKS], output_stride, start=2)
        channels = scaled(32, width, multiple=8)
        layers: list[nn.Module] = [conv_norm_relu(3, channels, 3, stride=2, same=same_padding)]
        taps, total = [], 2
        for (expansion, count, repeats, full_stride), (stride, first, dilation) in zip(
            self.BLOCKS, strides, strict=True
        ):
            if full_stride == 2:
                taps.append((len(layers) - 1, channels, total))
            out_channels = scaled(count, width, multiple=8)
            for repeat in range(repeats):
                layers.append(
                    InvertedResidual(
                        channels,
                        out_channels,
                        expansion,
                        stride=stride if repeat == 0 else 1,
                        dilation=first if repeat == 0 else dilation,
                        shortcut=channels == out_channels and (repeat > 0 or full_stride == 1),
                        same=same_padding,
                    )
                )
                channels = out_channels
            total *= stride
        final = scaled(1280, max(1.0, width), multiple=8)
        layers.append(conv_norm_relu(channels, final, 1))
        taps.append((len(layers) - 1, final, total))
        self.features = nn.Sequential(*layers)
        self.tap_layers = [layer for layer, _, _ in taps]
        self.tap_channels = [count for _, count, _ in taps]
        self.tap_strides = [stride for _, _, stride in taps]
        initialize(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        taps, features = [], images
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.tap_layers:
                taps.append(features)
        return taps
