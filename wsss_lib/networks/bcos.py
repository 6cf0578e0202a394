"""B-cos ResNets: no activation functions, each network its own explanation (Boehle et al., CVPR 2022; B-cos v2)."""

import math
from itertools import pairwise

from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Freezable, Normalization, dilate_strides, scaled
from wsss_lib.networks.bcos_layers import BcosConv2d, SixChannels, UncenteredBatchNorm2d
from wsss_lib.networks.checkpoints import without_wrappers
from wsss_lib.networks.classifier import ClassifierOutput
from wsss_lib.networks.resnet import DEPTHS, BasicBlock

#: images on the 0..1 scale; the encoding in six channels is the first layer
PLAIN_RGB = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
#: log(0.001 / 0.999): every class starts from one in a thousand, as in ImageNet (authors' code)
LOGIT_BIAS = math.log(0.001 / 0.999)


def bcos_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """1x1 projection where a block changes the shape, else nothing."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(BcosConv2d(in_channels, out_channels, 1, stride), UncenteredBatchNorm2d(out_channels))


class BcosBasicBlock(nn.Module):
    """Two 3x3 B-cos convolutions and a shortcut; nothing is rectified."""

    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int, first_dilation: int, dilation: int):
        super().__init__()
        self.conv1 = BcosConv2d(in_channels, planes, 3, stride, first_dilation, first_dilation)
        self.bn1 = UncenteredBatchNorm2d(planes)
        self.conv2 = BcosConv2d(planes, planes, 3, 1, dilation, dilation)
        self.bn2 = UncenteredBatchNorm2d(planes)
        self.downsample = bcos_shortcut(in_channels, planes, stride)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        return self.bn2(self.conv2(self.bn1(self.conv1(features)))) + shortcut


class BcosBottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 B-cos convolution to four times the width, and a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int, first_dilation: int, dilation: int):
        super().__init__()
        out_channels = planes * self.expansion
        self.conv1 = BcosConv2d(in_channels, planes, 1)
        self.bn1 = UncenteredBatchNorm2d(planes)
        self.conv2 = BcosConv2d(planes, planes, 3, stride, first_dilation, first_dilation)
        self.bn2 = UncenteredBatchNorm2d(planes)
        self.conv3 = BcosConv2d(planes, out_channels, 1)
        self.bn3 = UncenteredBatchNorm2d(out_channels)
        self.downsample = bcos_shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.bn2(self.conv2(self.bn1(self.conv1(features))))
        return self.bn3(self.conv3(features)) + shortcut


BCOS_DEPTHS = {
    name: (BcosBasicBlock if block is BasicBlock else BcosBottleneck, depths)
    for name, (block, depths) in DEPTHS.items()
}


class BcosResNet(Backbone):
    """Taps: the stem before its average pool, then layer1 to layer4. Images are RGB on the 0..1 scale.

    Args:
        block, depths: kind and number of blocks of the stages.
        output_stride: 4 to 32 px.
        width: factor on all numbers of channels.
        stages: how many of the four stages there are.
        pool_first: pool before the first batch norm. The authors' code does so whenever it explains another layer than
            the input (it walks the layers in their order of registration), a slip that changes training only.
    """

    normalization = PLAIN_RGB

    def __init__(
        self,
        block: type[BcosBasicBlock] | type[BcosBottleneck],
        depths: tuple[int, ...],
        *,
        output_stride: int = 32,
        width: float = 1.0,
        stages: int = 4,
        pool_first: bool = False,
    ):
        super().__init__()
        if not 1 <= stages <= len(depths):
            raise ValueError(f"{stages} stages asked for; a ResNet has 1 to {len(depths)}")
        planes = [scaled(64 * 2**stage, width) for stage in range(stages)]
        strides = dilate_strides((1, 2, 2, 2)[:stages], output_stride, start=4)
        self.encoding = SixChannels()
        self.conv1 = BcosConv2d(6, planes[0], 7, 2, 3)
        self.bn1 = UncenteredBatchNorm2d(planes[0])
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
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
        self.pool_first = pool_first

    def forward(self, images: Tensor) -> list[Tensor]:
        stem = self.conv1(self.encoding(images))
        if self.pool_first:
            features = self.bn1(self.pool(stem))
        else:
            stem = self.bn1(stem)
            features = self.pool(stem)
        taps = [stem]
        for stage in range(self.num_stages):
            features = self.get_submodule(f"layer{stage + 1}")(features)
            taps.append(features)
        return taps


class BcosClassifier(Freezable):
    """B-cos backbone, 1x1 B-cos convolution, average pooling, temperature, logit bias (in this order).

    The mean over the places of ``score_maps`` is the logit up to temperature and bias.

    Args:
        backbone: :class:`BcosResNet`.
        num_classes: foreground classes, K.
        logit_bias: added to every logit, a constant.
        temperature: the pooled scores are divided by it (B-cos v2; model guidance has none).
    """

    def __init__(
        self, backbone: BcosResNet, num_classes: int, *, logit_bias: float = LOGIT_BIAS, temperature: float = 1.0
    ):
        super().__init__()
        self.backbone = backbone
        self.head = BcosConv2d(backbone.tap_channels[-1], num_classes, 1)
        self.logit_layer = LogitLayer(temperature, logit_bias)

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def score_maps(self, features: Tensor) -> Tensor:
        """Score of each class at each place, [B, K, h, w]: what each place adds to the logit, times h w."""
        return self.head(features) / self.logit_layer.temperature

    def forward(self, images: Tensor) -> ClassifierOutput:
        features = self.backbone(images)[-1]
        return ClassifierOutput(self.logit_layer(self.head(features).mean((2, 3))), features)


class LogitLayer(nn.Module):
    """Divides by the temperature, then adds the bias; both are constants.

    >>> import torch
    >>> LogitLayer(temperature=10.0, bias=-1.0)(torch.tensor([20.0]))
    tensor([1.])
    """

    def __init__(self, temperature: float = 1.0, bias: float = 0.0):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} should be positive; 1 leaves the scores as they are")
        self.temperature, self.bias = temperature, bias

    def forward(self, scores: Tensor) -> Tensor:
        return scores / self.temperature + self.bias


def bcos_from_authors(name: str) -> str | None:
    """Name in our :class:`BcosClassifier` of an entry of Model-Guidance or of B-cos v2; None for the logit layer's.

    >>> [bcos_from_authors(name) for name in ("0.fc.linear.weight", "layer1.0.bn1.weight")]
    ['head.linear.weight', 'backbone.layer1.0.bn1.weight']
    """
    name = without_wrappers(name).removeprefix("0.")
    if name.startswith(("logit_layer.", "1.")):
        return None
    return f"head.{name.removeprefix('fc.')}" if name.startswith("fc.") else f"backbone.{name}"
