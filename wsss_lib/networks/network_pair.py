"""Two segmentation networks of any kind that learn together (BECO, CVPR 2023), and the authors' checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from wsss_lib.networks.base import Backbone, Freezable, Normalization
from wsss_lib.networks.checkpoints import Rename, load_weights, read_state_dict
from wsss_lib.networks.deeplab import ENCODERS, LOW_LEVEL_STRIDE, VERSIONS, DeepLab, build_deeplab, build_encoder
from wsss_lib.networks.dilated_resnet import DILATED_RESNETS, build_dilated_resnet, dilated_resnet_from_authors
from wsss_lib.networks.segformer import MIX_TRANSFORMERS, MixTransformer, build_segformer, segformer_from_authors
from wsss_lib.networks.separable_head import SeparableDeepLabV3PlusHead, separable_head_from_authors

SEGMENTERS = (*VERSIONS, "v3plus_separable", "segformer")
SEGMENTER_BACKBONES = (*ENCODERS, *DILATED_RESNETS, *MIX_TRANSFORMERS)


class NetworkPair(Freezable):
    """Images [B, 3, H, W] to the logits of both networks, each of its own size.

    Both see the same images, so that both must expect the same input scaling.
    """

    def __init__(self, network1: DeepLab, network2: DeepLab):
        super().__init__()
        first, second = network1.normalization, network2.normalization
        if first != second:
            raise ValueError(
                f"the networks expect different inputs, {first} and {second}; take two backbones whose weights share "
                "one input scaling"
            )
        self.network1 = network1
        self.network2 = network2

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the weights of both expect."""
        return self.network1.normalization

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network1(images), self.network2(images)

    def full_size_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both at the size of the images."""
        one, two = (resize(logits, tuple(images.shape[2:])) for logits in self(images))
        return one, two

    def mean_logits(self, images: Tensor) -> Tensor:
        """Mean of both, at the size of the finer one."""
        logits = self(images)
        size = max(tuple(of_network.shape[2:]) for of_network in logits)
        return sum(resize(of_network, size) for of_network in logits) / 2


def resize(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, unless they have the size already."""
    if tuple(logits.shape[2:]) == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def build_segmenter_backbone(
    name: str,
    *,
    output_stride: int,
    width: float = 1.0,
    stages: int = 4,
    small_stem: bool = False,
    multi_grid: Sequence[int] = (),
    weights: str | Path | None = None,
) -> Backbone:
    """Backbone by name: one of :func:`wsss_lib.networks.deeplab.build_encoder`, a dilated ResNet or a mix transformer.

    Args:
        name: one of ``SEGMENTER_BACKBONES``.
        output_stride: px; a mix transformer has 32 whatever is asked for.
        width, stages, small_stem, multi_grid, weights: see there.
    """
    if name in MIX_TRANSFORMERS:
        return MixTransformer(name, width=width, weights=weights)
    shared = {"output_stride": output_stride, "width": width, "stages": stages, "weights": weights}
    if name in DILATED_RESNETS:
        return build_dilated_resnet(name, multi_grid=multi_grid, **shared)
    if name not in ENCODERS:
        raise ValueError(f"no backbone {name!r}; choose one of {', '.join(SEGMENTER_BACKBONES)}")
    return build_encoder(name, small_stem=small_stem, multi_grid=multi_grid, **shared)


def build_segmenter(
    version: str,
    backbone: Backbone,
    num_labels: int,
    *,
    rates: Sequence[int] = (),
    channels: int = 256,
    low_width: int = 48,
) -> DeepLab:
    """Segmentation network on a backbone: one of :func:`wsss_lib.networks.deeplab.build_deeplab`, or one of BECO's.

    Args:
        version: one of ``SEGMENTERS``.
        rates: dilations of a pyramid, px of the features; by default those of the papers.
        channels: hidden channels; of SegFormer those of its joined map, whose linear layers have three times as many.
        low_width: of the low-level features of v3plus and v3plus_separable.

    Raises:
        ValueError: no such version, or one that the backbone's taps do not serve.
    """
    if version not in SEGMENTERS:
        raise ValueError(f"no segmentation network {version!r}; choose one of {', '.join(SEGMENTERS)}")
    if version in VERSIONS:
        return build_deeplab(version, backbone, num_labels, rates=rates, channels=channels, low_width=low_width)
    if version == "segformer":
        return build_segformer(backbone, num_labels, channels=3 * channels, fused=channels)
    fine = [tap for tap, stride in enumerate(backbone.tap_strides[:-1]) if stride <= LOW_LEVEL_STRIDE]
    if not fine:
        raise ValueError(
            f"v3plus_separable needs a feature map of stride {LOW_LEVEL_STRIDE} or less below the last one; "
            f"{type(backbone).__name__} has the strides {backbone.tap_strides}: use another backbone, or v2"
        )
    head = SeparableDeepLabV3PlusHead(
        backbone.tap_channels[-1],
        backbone.tap_channels[fine[-1]],
        fine[-1],
        num_labels,
        rates=rates or (6, 12, 18),
        channels=channels,
        fine_width=low_width,
    )
    return DeepLab(backbone, head)


def segmenter_from_authors(version: str, backbone: str) -> Rename:
    """From the names of BECO's networks to ours.

    Args:
        version: "v2", "v3plus_separable" or "segformer".
        backbone: name, which tells whether the stem is deep.

    >>> rename = segmenter_from_authors("v2", "resnet101_b")
    >>> rename("aspp.c0.weight"), rename("module.backbone.stem_layer.bn1.bias")
    ('head.aspp.c0.weight', 'backbone.bn1.bias')
    """
    if version == "segformer":
        return lambda name: segformer_from_authors(name.removeprefix("module."))
    deep = backbone.endswith("_d")
    of_head = separable_head_from_authors if version == "v3plus_separable" else str

    def rename(name: str) -> str | None:
        name = name.removeprefix("module.")
        if name.startswith("backbone."):
            inside = dilated_resnet_from_authors(name, deep=deep)
            return inside and f"backbone.{inside}"
        return f"head.{of_head(name)}"

    return rename


def load_pair_from_authors(
    pair: NetworkPair, path: str | Path, versions: Sequence[str], backbones: Sequence[str]
) -> NetworkPair:
    """Load a checkpoint that BECO or KTSE released (``net_state_dict`` with ``network1`` and ``network2``), in place.

    Args:
        versions, backbones: of the two networks, as they were built.

    Raises:
        ValueError: the file holds other networks; says which entries do not fit.
    """
    for number, (version, backbone) in enumerate(zip(versions, backbones, strict=True), start=1):
        stored = read_state_dict(path, f"net_state_dict.network{number}")
        network = pair.get_submodule(f"network{number}")
        load_weights(network, stored, rename=segmenter_from_authors(version, backbone))
    return pair
