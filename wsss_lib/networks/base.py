"""What all backbones share: input scaling, strides turned into dilation, frozen layers, initialization."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Normalization:
    """Input scaling that belongs to a set of weights.

    Attributes:
        mean, std: per channel on the 0..1 scale, in the channel order that the network sees.
        order: channel order that the network sees, "rgb" or "bgr".

    >>> CAFFE.normalize(torch.ones(1, 3, 1, 1)).flatten()
    tensor([150.9920, 138.3310, 132.3250])
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: str = "rgb"

    def __post_init__(self):
        if self.order not in ("rgb", "bgr"):
            raise ValueError(f"channel order {self.order!r} is not known; choose rgb or bgr")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} should be three numbers each, std positive")

    def normalize(self, images: Tensor) -> Tensor:
        """RGB on the 0..1 scale, [..., 3, H, W], to network input."""
        images = images.flip(-3) if self.order == "bgr" else images
        return (images - self._column(self.mean, images)) / self._column(self.std, images)

    def denormalize(self, images: Tensor) -> Tensor:
        """Network input, [..., 3, H, W], back to RGB on the 0..1 scale."""
        images = images * self._column(self.std, images) + self._column(self.mean, images)
        return images.flip(-3) if self.order == "bgr" else images

    @staticmethod
    def _column(values: Sequence[float], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Normalization((104.008 / 255, 116.669 / 255, 122.675 / 255), (1 / 255, 1 / 255, 1 / 255), "bgr")
TENSORFLOW = Normalization((127 / 255, 127 / 255, 127 / 255), (0.5, 0.5, 0.5))


class Freezable(nn.Module):
    """A network whose frozen layers and frozen batch norm stay frozen when ``train()`` is called."""

    def __init__(self):
        super().__init__()
        self.frozen_layers: tuple[str, ...] = ()
        self.frozen_statistics = False

    def freeze(self, *layers: str, batch_norm_statistics: bool = False, batch_norm_affine: bool = False) -> Self:
        """Stop training some parts; calls add up.

        Args:
            layers: names of layers whose parameters get no gradient and which stay in evaluation mode.
            batch_norm_statistics: every batch norm stays in evaluation mode (uses its running statistics).
            batch_norm_affine: scale and shift of every batch norm get no gradient.

        Raises:
            ValueError: there is no layer of that name.
        """
        modules = dict(self.named_modules())
        unknown = [layer for layer in layers if layer not in modules]
        if unknown:
            known = ", ".join(name for name, _ in self.named_children())
            raise ValueError(f"no layers {unknown} to freeze in {type(self).__name__}; its layers are {known}")
        for layer in layers:
            modules[layer].requires_grad_(False)
        if batch_norm_affine:
            for norm in self._batch_norms():
                norm.requires_grad_(False)
        self.frozen_layers += layers
        self.frozen_statistics |= batch_norm_statistics
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in self.frozen_layers:
            self.get_submodule(layer).eval()
        if self.frozen_statistics:
            for norm in self._batch_norms():
                norm.eval()
        return self

    def _batch_norms(self) -> Iterator[_BatchNorm]:
        return (module for module in self.modules() if isinstance(module, _BatchNorm))


class Backbone(Freezable):
    """Images [B, 3, H, W] to the feature maps of its stages; the last one is the final feature map.

    Attributes:
        tap_channels, tap_strides: channels and stride (px of the image per feature pixel) of every map returned.
            A map has ceil(H / stride) rows, or floor where a layer has no padding (the pools of VGG).
        normalization: the input scaling that the weights expect.
    """

    tap_channels: list[int]
    tap_strides: list[int]
    normalization: Normalization = IMAGENET


def dilate_strides(
    strides: Sequence[int], output_stride: int, *, start: int = 1, dilate: bool = True
) -> list[tuple[int, int, int]]:
    """Keep strides until the output stride is reached and turn the others into dilation.

    A convolution that loses its stride s keeps the dilation it had, and what follows is dilated s times more, so that
    every s-th feature is the feature of the strided network ("à trous"; Chen et al., DeepLab, ICLR 2015).

    Args:
        strides: strides of the stages.
        output_stride: wanted product of all strides, px.
        start: stride of what stands before the stages.
        dilate: False removes strides without dilating (as the ResNet-50 of IRN does).

    Returns:
        One (stride, dilation of the layer that had the stride, dilation of what follows) per stage.

    Raises:
        ValueError: no choice of strides has that product.

    >>> dilate_strides((1, 2, 2, 2), 8, start=4)
    [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]
    """
    stages, stride, dilation, reachable = [], start, 1, [start]
    for wanted in strides:
        kept = stride * wanted <= output_stride
        before = dilation
        if kept:
            stride *= wanted
        elif dilate:
            dilation *= wanted
        stages.append((wanted if kept else 1, before, dilation))
        reachable.append(reachable[-1] * wanted)
    if stride != output_stride:
        raise ValueError(f"output stride {output_stride} cannot be had here; choose one of {sorted(set(reachable))}")
    return stages


def initialize(network: nn.Module) -> None:
    """Kaiming-normal convolutions (fan out), zero biases, unit batch norm (He et al., ICCV 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """Number of channels times a width factor, rounded to a multiple, never below nine tenths of the product.

    >>> scaled(64, 0.5), scaled(24, 0.75, multiple=8)
    (32, 24)

    Raises:
        ValueError: the width is not positive.
    """
    if width <= 0:
        raise ValueError(f"width {width} should be a positive factor, 1.0 for the published number of channels")
    rounded = max(multiple, int(channels * width + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * channels * width else rounded
