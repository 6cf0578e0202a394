"""Layers of B-cos networks and their explanation mode (Boehle et al., CVPR 2022; TPAMI 2024, "B-cos v2").

Every layer is a linear map whose scale depends on the input. An ordinary gradient differentiates that scale too; in
:func:`explanation_mode` it is held constant, so that gradient times input adds up to the output exactly. The mode is
read when a gradient is *taken*: one forward pass serves the classification loss and the explanation, and a loss on the
explanation is differentiated through the scales, which guidance needs (holding them constant in the forward pass gives
other gradients).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class DynamicLayer:
    """What a layer with an input-dependent scale has: ``explaining``, whether gradients hold that scale constant."""

    explaining = False

    def scaled(self, scale: Tensor, values: Tensor) -> Tensor:
        """``scale * values``, whose gradient leaves out the scale while the layer is explaining."""
        return _ScaledProduct.apply(scale, values, self)


class _ScaledProduct(torch.autograd.Function):
    """Product that asks its layer, when a gradient is taken, whether the first factor counts as a constant."""

    @staticmethod
    def forward(context, scale: Tensor, values: Tensor, layer: DynamicLayer) -> Tensor:
        context.save_for_backward(scale, values)
        context.layer = layer
        return scale * values

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        scale, values = context.saved_tensors
        of_scale = of_values = None
        if context.needs_input_grad[0] and not context.layer.explaining:
            of_scale = (gradient * values).sum_to_size(scale.shape)
        if context.needs_input_grad[1]:
            of_values = gradient * scale
        return of_scale, of_values, None


@contextmanager
def explanation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Gradients taken inside the block hold all input-dependent scales constant; a network without any is unchanged.

    >>> layer, x = BcosLinear(2, 1), torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> score = layer(x).sum()
    >>> with explanation_mode(layer):
    ...     (weight,) = torch.autograd.grad(score, x)
    >>> torch.allclose((weight * x).sum(), score)
    True
    """
    layers = [module for module in network.modules() if isinstance(module, DynamicLayer)]
    before = [layer.explaining for layer in layers]
    try:
        for layer in layers:
            layer.explaining = True
        yield network
    finally:
        for layer, explaining in zip(layers, before, strict=True):
            layer.explaining = explaining


class SixChannels(nn.Module):
    """RGB on the 0..1 scale, [B, 3, H, W], to [r, g, b, 1 - r, 1 - g, 1 - b]; six channels pass as they are.

    So dark and bright pixels have the same norm, and a color is a direction (B-cos, section 4).

    >>> SixChannels()(torch.full((1, 3, 1, 1), 0.25)).flatten()
    tensor([0.2500, 0.2500, 0.2500, 0.7500, 0.7500, 0.7500])
    """

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == 6:
            return images
        if images.shape[1] != 3:
            raise ValueError(f"images have {images.shape[1]} channels; give RGB, or its six-channel encoding")
        return torch.cat([images, 1 - images], 1)


class _Bcos(nn.Module, DynamicLayer):
    """What convolution and linear layer share: unit weights, a maximum over candidates, the power of the cosine."""

    power_eps = 0.0  # inside the power for exponents other than 1 and 2, as in the authors' code
    channel_axis = -1

    def __init__(self, linear: nn.Conv2d | nn.Linear, exponent: float, max_out: int, unit_weight: bool):
        super().__init__()
        if exponent < 1 or max_out < 1:
            raise ValueError(f"exponent {exponent} and max_out {max_out} should be at least 1")
        self.linear = linear
        self.exponent, self.max_out, self.unit_weight = exponent, max_out, unit_weight

    def weight_and_norm(self) -> tuple[Tensor, Tensor]:
        """Weight of the linear map, and the norms [C * M] of the raw weight."""
        weight = self.linear.weight
        norm = weight.flatten(1).norm(dim=1)
        column = norm.view(-1, *[1] * (weight.ndim - 1))
        return (weight / column if self.unit_weight else weight), norm

    def powered(self, projection: Tensor, norm: Tensor) -> Tensor:
        """|cos|^(B - 1) times the projection (B-cos, eq. 3): ``norm`` is that of the input that each output sees."""
        if self.max_out > 1:
            projection = projection.unflatten(self.channel_axis, (-1, self.max_out)).max(self.channel_axis).values
        if self.exponent == 1:
            return projection
        cosine = projection.abs() / norm
        if self.exponent != 2:
            cosine = (cosine + self.power_eps).pow(self.exponent - 1)
        return self.scaled(cosine, projection)


class BcosConv2d(_Bcos):
    """B-cos convolution: ``|cos(patch, weight)|^(B - 1) * unit_weight . patch`` (B-cos, eq. 3; no bias).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as of ``nn.Conv2d``.
        exponent: B; 1 is a linear layer, 2 the published networks.
        max_out: candidates per output channel, of which the largest counts.
        unit_weight: divide each weight by its norm; otherwise the cosine is divided by it alone.
        eps: added to the squared norm of a patch.

    Raises:
        ValueError: a combination that the authors' code cannot run either.
    """

    power_eps = 1e-6
    channel_axis = -3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        *,
        exponent: float = 2.0,
        max_out: int = 1,
        unit_weight: bool = True,
        eps: float = 1e-6,
    ):
        if max_out > 1 and not unit_weight:
            raise ValueError("max_out above 1 needs unit_weight: candidates of different norms have no common cosine")
        geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        linear = nn.Conv2d(in_channels, out_channels * max_out, kernel_size, bias=False, **geometry)
        super().__init__(linear, exponent, max_out, unit_weight)
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        conv = self.linear
        weight, weight_norm = self.weight_and_norm()
        projection = F.conv2d(features, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        if self.exponent == 1:
            return self.powered(projection, projection)
        norm = self.patch_norm(features)
        return self.powered(projection, norm if self.unit_weight else norm * weight_norm[:, None, None])

    def patch_norm(self, features: Tensor) -> Tensor:
        """Norm of the patch that each output sees, [B, 1 or out_channels, h, w]."""
        conv = self.linear
        squares = features.square().unflatten(1, (conv.groups, -1)).sum(2)  # [B, groups, H, W]
        if conv.kernel_size == (1, 1):
            sums = squares[:, :, :: conv.stride[0], :: conv.stride[1]]
        else:
            ones = squares.new_ones(conv.groups, 1, *conv.kernel_size)
            sums = F.conv2d(squares, ones, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        norm = (sums + self.eps).sqrt()
        outputs = conv.out_channels // self.max_out
        return norm if conv.groups == 1 else norm.repeat_interleave(outputs // conv.groups, 1)


class BcosLinear(_Bcos):
    """B-cos linear layer on [..., C]; arguments as of :class:`BcosConv2d`."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        exponent: float = 2.0,
        max_out: int = 1,
        unit_weight: bool = True,
        eps: float = 1e-6,
    ):
        if max_out > 1 and not unit_weight:
            raise ValueError("max_out above 1 needs unit_weight: candidates of different norms have no common cosine")
        super().__init__(nn.Linear(in_features, out_features * max_out, bias=False), exponent, max_out, unit_weight)
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        weight, weight_norm = self.weight_and_norm()
        norm = (features.square().sum(-1, keepdim=True) + self.eps).sqrt()
        return self.powered(F.linear(features, weight), norm if self.unit_weight else norm * weight_norm)


class UncenteredBatchNorm2d(_BatchNorm, DynamicLayer):
    """Batch norm that divides by the standard deviation and subtracts no mean (B-cos v2, section 3.2).

    The variance is the ordinary one around the mean; its biased value also updates the running variance, as in the
    authors' code. ``running_mean`` exists for their files and is never used.

    Args:
        num_features: channels.
        bias: whether there is a shift after the scale; the published networks have none.
        momentum: of the running variance; None is the mean over all batches.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float | None = 0.1, bias: bool = False):
        super().__init__(num_features, eps, momentum)
        if not bias:
            self.register_parameter("bias", None)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 4:
            raise ValueError(f"features have the shape {list(input.shape)}; expected [B, C, h, w]")

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        variance = self.running_var
        if self.training:
            variance = input.var((0, 2, 3), unbiased=False)
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
                self.running_var.lerp_(variance.to(self.running_var.dtype), float(share))
        scale = (variance + self.eps).rsqrt() * self.weight
        output = self.scaled(scale[:, None, None], input)
        return output if self.bias is None else output + self.bias[:, None, None]
