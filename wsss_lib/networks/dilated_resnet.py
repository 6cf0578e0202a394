"""ResNets of open segmentation toolboxes, as BECO uses them: every block of a stage is dilated alike ("B" and "D")."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from wsss_lib.networks.backbones import read_weights
from wsss_lib.networks.base import dilate_strides, initialize, scaled
from wsss_lib.networks.checkpoints import load_weights, rename_entries
from wsss_lib.networks.resnet import DEPTHS, ResNet

KINDS = ("b", "d")
DILATED_RESNETS = tuple(f"{name}_{kind}" for name in DEPTHS for kind in KINDS)


class DilatedResNet(ResNet):
    """ResNet whose stages that lost their stride are dilated from their first block on; taps as in :class:`ResNet`.

    Kind B is torchvision's network but for the dilation of those first blocks. Kind D has three 3x3 convolutions for a
    stem, and shortcuts that take the mean of 2 x 2 pixels where a block has a stride (He et al., Bag of tricks, CVPR
    2019). At an odd border the mean is over the pixels that are there; the authors' network refuses odd maps.

    Args:
        name: of ``DEPTHS``.
        kind: "b" or "d".
        output_stride, width, stages: see :class:`ResNet`.
        multi_grid: factors on the dilation of the blocks of the last stage, one for each.

    Raises:
        ValueError: the factors are not one for each block, or the output stride cannot be had.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        output_stride: int = 8,
        width: float = 1.0,
        stages: int = 4,
        multi_grid: Sequence[int] = (),
    ):
        if kind not in KINDS:
            raise ValueError(f"no ResNet of kind {kind!r}; choose one of {', '.join(KINDS)}")
        block, depths = DEPTHS[name]
        super().__init__(block, depths, output_stride=output_stride, width=width, stages=stages)
        multi_grid = tuple(multi_grid) or (1,) * depths[stages - 1]
        if len(multi_grid) != depths[stages - 1]:
            raise ValueError(
                f"multi_grid {multi_grid} should have {depths[stages - 1]} factors, one a block of the last stage"
            )
        strides = dilate_strides((1, 2, 2, 2)[:stages], output_stride, start=4)
        for stage, (stride, _, dilation) in enumerate(strides):
            layer = self.get_submodule(f"layer{stage + 1}")
            for place, module in enumerate(layer):
                factor = multi_grid[place] if stage == stages - 1 else 1
                for conv in module.modules():
                    if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                        conv.dilation = conv.padding = (dilation * factor,) * 2
            if kind == "d" and stage and layer[0].downsample is not None:
                conv, norm = layer[0].downsample
                conv.stride = (1, 1)
                pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
                layer[0].downsample = nn.Sequential(pool, conv, norm)
        if kind == "d":
            self.conv1 = deep_stem(scaled(32, width), self.bn1.num_features)
            initialize(self.conv1)


def deep_stem(hidden: int, channels: int) -> nn.Sequential:
    """Three 3x3 convolutions, the first with stride 2; batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for in_channels, stride in ((3, 2), (hidden, 1)):
        layers += [nn.Conv2d(in_channels, hidden, 3, stride, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.Conv2d(hidden, channels, 3, 1, 1, bias=False))


def build_dilated_resnet(
    name: str,
    *,
    output_stride: int,
    width: float = 1.0,
    stages: int = 4,
    multi_grid: Sequence[int] = (),
    weights: str | Path | None = None,
) -> DilatedResNet:
    """Network called, for example, ``resnet101_b``, with ImageNet weights loaded.

    Args:
        name: one of ``DILATED_RESNETS``.
        output_stride, width, stages, multi_grid: see :class:`DilatedResNet`.
        weights: a file with the names of torchvision, mmcv or BECO (its classifier is left aside), or, for kind B, the
            name of a torchvision weight set, which is then downloaded; "" for random weights.

    Raises:
        ValueError: no such network, or the file does not fit.
    """
    if name not in DILATED_RESNETS:
        raise ValueError(f"no backbone {name!r}; choose one of {', '.join(DILATED_RESNETS)}")
    depth, _, kind = name.rpartition("_")
    network = DilatedResNet(depth, kind, output_stride=output_stride, width=width, stages=stages, multi_grid=multi_grid)
    if weights:
        stored, _ = read_weights(depth, weights)
        load_weights(network, rename_entries(stored, dilated_resnet_from_authors, str(weights))[0])
    return network


#: place in our deep stem of the authors' layers; kind B has conv1 and bn1 alone
DEEP_STEM = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "conv2": "conv1.3",
    "bn2": "conv1.4",
    "conv3": "conv1.6",
    "bn3": "bn1",
}
#: the same layers where mmcv stores them
MMCV_STEM = {
    f"stem.{place}": layer for place, layer in enumerate(("conv1", "bn1", "", "conv2", "bn2", "", "conv3", "bn3"))
}


def dilated_resnet_from_authors(name: str, *, deep: bool | None = None) -> str | None:
    """Name in our :class:`DilatedResNet` of an entry of BECO's, mmcv's or torchvision's; None for a classifier.

    Args:
        name: of the entry.
        deep: whether ``stem_layer.conv1`` is the first of three convolutions. Other names say it themselves.

    >>> [dilated_resnet_from_authors(name) for name in ("stem_layer.conv1.weight", "layer2.0.downsample.1.weight")]
    ['conv1.weight', 'layer2.0.downsample.1.weight']
    >>> dilated_resnet_from_authors("stem_layer.bn3.bias", deep=True), dilated_resnet_from_authors("stem.3.weight")
    ('bn1.bias', 'conv1.3.weight')
    """
    name = name.removeprefix("module.").removeprefix("backbone.")
    layer, _, kind = name.rpartition(".")
    if layer in MMCV_STEM:
        return f"{DEEP_STEM[MMCV_STEM[layer]]}.{kind}"
    if layer.startswith("stem_layer."):
        part = layer.removeprefix("stem_layer.")
        return f"{DEEP_STEM[part] if deep else part}.{kind}"
    return None if layer == "fc" else name


def torchvision_to_authors(name: str) -> str | None:
    """Name that BECO gives an entry of torchvision's ResNet before it loads it; None for a counter of batches.

    >>> torchvision_to_authors("bn1.bias"), torchvision_to_authors("layer1.0.bn1.num_batches_tracked")
    ('stem_layer.bn1.bias', None)
    """
    if name.endswith("num_batches_tracked"):
        return None
    return name if "layer" in name or name.startswith("fc.") else f"stem_layer.{name}"
