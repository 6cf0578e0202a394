"""X-DNN fix-up ResNets: no bias, no normalization, so that gradient times input explains exactly (Hesse et al., 2021).

Hesse, Schaub-Meyer and Roth, "Fast Axiomatic Attribution for Neural Networks", NeurIPS 2021: without biases a network
of convolutions and rectifiers is positively homogeneous, ``f(a x) = a f(x)``, and its gradient times input equals
integrated gradients from a black image. With a head that has a bias (as Model-Guidance trains) contributions add up to
the logit less that bias.
"""

from itertools import pairwise

from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, dilate_strides, initialize, scaled
from wsss_lib.networks.resnet import DEPTHS, BasicBlock


class FixupBlock(nn.Module):
    """Convolutions without bias, and a shortcut. The last one starts small, in place of normalization.

    Args:
        kernels: one convolution each, 3x3 ones with the dilation; the first 3x3 one carries the stride.
    """

    kernels: tuple[int, ...]
    expansion: int

    def __init__(self, in_channels: int, planes: int, stride: int, first_dilation: int, dilation: int):
        super().__init__()
        out_channels = planes * self.expansion
        widths = [in_channels, *[planes] * (len(self.kernels) - 1), out_channels]
        first = self.kernels.index(3)
        for place, (kernel, sizes) in enumerate(zip(self.kernels, pairwise(widths), strict=True)):
            spread = 1 if kernel == 1 else first_dilation if place == first else dilation
            geometry = {"stride": stride if place == first else 1, "padding": kernel // 2 * spread, "dilation": spread}
            self.add_module(f"conv{place + 1}", nn.Conv2d(*sizes, kernel, bias=False, **geometry))
        changes = stride != 1 or in_channels != out_channels
        self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False) if changes else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        for place in range(1, len(self.kernels)):
            features = self.relu(self.get_submodule(f"conv{place}")(features))
        return self.relu(self.get_submodule(f"conv{len(self.kernels)}")(features) + shortcut)


class FixupBasicBlock(FixupBlock):
    """Two 3x3 convolutions."""

    kernels, expansion = (3, 3), 1


class FixupBottleneck(FixupBlock):
    """1x1, 3x3 with the stride, 1x1 to four times the width."""

    kernels, expansion = (1, 3, 1), 4


XDNN_DEPTHS = {
    name: (FixupBasicBlock if block is BasicBlock else FixupBottleneck, depths)
    for name, (block, depths) in DEPTHS.items()
}


class XdnnResNet(Backbone):
    """Taps: the stem before its pool, then layer1 to layer4.

    Args:
        block, depths: kind and number of blocks of the stages.
        output_stride: 4 to 32 px.
        width: factor on all numbers of channels.
        stages: how many of the four stages there are.
    """

    def __init__(
        self,
        block: type[FixupBlock],
        depths: tuple[int, ...],
        *,
        output_stride: int = 32,
        width: float = 1.0,
        stages: int = 4,
    ):
        super().__init__()
        if not 1 <= stages <= len(depths):
            raise ValueError(f"{stages} stages asked for; a ResNet has 1 to {len(depths)}")
        planes = [scaled(64 * 2**stage, width) for stage in range(stages)]
        strides = dilate_strides((1, 2, 2, 2)[:stages], output_stride, start=4)
        self.conv1 = nn.Conv2d(3, planes[0], 7, 2, 3, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = [planes[0]] + [count * block.expansion for count in planes]
        self.tap_channels, self.tap_strides, total = channels, [2], 4
        for stage, (in_channels, out_channels) in enumerate(pairwise(channels)):
            stride, first_dilation, dilation = strides[stage]
            blocks = [block(in_channels, planes[stage], stride, first_dilation, dilation)]
            blocks += [block(out_channels, planes[stage], 1, dilation, dilation) for _ in range(1, depths[stage])]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            total *= stride
            self.tap_strides.append(total)
        self.num_stages = stages
        initialize(self)
        self._rescale(sum(depths[:stages]))

    def _rescale(self, num_blocks: int) -> None:
        """Smaller convolutions inside the residual branches, so that the sum of all blocks stays in range (fix-up).

        Departs from fix-up, whose last convolution of a branch is zero: with no bias and no scale its gradient would
        vanish for the convolutions before it, and explanations of the first steps with it; a tenth serves.
        """
        for module in self.modules():
            if isinstance(module, FixupBlock):
                inner = len(module.kernels) - 1
                for place in range(1, inner + 1):
                    module.get_submodule(f"conv{place}").weight.data *= num_blocks ** (-0.5 / inner)
                module.get_submodule(f"conv{inner + 1}").weight.data *= 0.1

    def forward(self, images: Tensor) -> list[Tensor]:
        taps = [self.relu(self.conv1(images))]
        features = self.maxpool(taps[0])
        for stage in range(self.num_stages):
            features = self.get_submodule(f"layer{stage + 1}")(features)
            taps.append(features)
        return taps
