"""Layer-wise relevance propagation (Bach et al., PLoS ONE 2015), one layer at a time.

Relevance may have axes in front of those of a layer's output, such as one for the explained classes; inputs have not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.mobilenet import SameConv2d, same_padding

GUARD = 1e-9  # of the authors' code, added to every denominator whatever its sign


def guarded_ratio(numerator: Tensor, denominator: Tensor, guard: float = GUARD) -> Tensor:
    """``numerator / (denominator + guard)``, and 0 where the denominator is 0.

    >>> guarded_ratio(torch.ones(2), torch.tensor([0.0, 2.0]))
    tensor([0.0000, 0.5000])
    """
    guarded = denominator + guard
    guarded = torch.where(guarded == 0, guard, guarded)
    return torch.where(denominator == 0, 0, numerator / guarded)


@dataclass(frozen=True)
class LinearMap:
    """A convolution or a linear layer, and the weights that carry relevance back through it.

    Attributes:
        layer: :class:`torch.nn.Conv2d` or :class:`torch.nn.Linear`.
        back_weight: as ``layer.weight``; the same tensor where encoder and decoder share their weights.
    """

    layer: nn.Conv2d | nn.Linear
    back_weight: Tensor

    @classmethod
    def of(cls, layer: nn.Conv2d | nn.Linear, back_weight: Tensor | None = None) -> "LinearMap":
        return cls(layer, layer.weight if back_weight is None else back_weight)

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    def apply(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Output of the layer with this weight and no bias."""
        if isinstance(self.layer, nn.Linear):
            return F.linear(inputs, weight)
        return F.conv2d(inputs, weight, None, *self._geometry())

    def transpose(self, outputs: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
        """The transposed layer, [..., B, K] or [..., B, C', h, w] to [..., B, C, *size] (no size: a linear layer)."""
        if isinstance(self.layer, nn.Linear):
            return outputs @ weight
        stride, padding, dilation, groups = self._geometry()
        axes = list(zip(size, outputs.shape[-2:], weight.shape[2:], stride, dilation, strict=True))
        if isinstance(self.layer, SameConv2d):
            padding = [same_padding(inputs, k, s, d)[0] for inputs, _, k, s, d in axes]
        reached = [
            (sites - 1) * s - 2 * p + d * (k - 1) + 1 for p, (_, sites, k, s, d) in zip(padding, axes, strict=True)
        ]
        missing = [max(inputs - end, 0) for inputs, end in zip(size, reached, strict=True)]
        flat = outputs.reshape(-1, *outputs.shape[-3:])
        flat = F.conv_transpose2d(flat, weight, None, stride, padding, missing, groups, dilation)
        if flat.shape[2:] != size:
            flat = flat.narrow(2, 0, size[0]).narrow(3, 0, size[1])
        return flat.reshape(*outputs.shape[:-3], *flat.shape[1:])

    def _geometry(self) -> tuple:
        return self.layer.stride, self.layer.padding, self.layer.dilation, self.layer.groups


LinearRule = Callable[[LinearMap, Tensor, Tensor], Tensor]
"""Layer, its inputs, relevance of its outputs, to the relevance of its inputs."""


def epsilon_rule(
    linear: LinearMap, inputs: Tensor, relevance: Tensor, *, epsilon: float, bias_gradient=False
) -> Tensor:
    """Shares of each input in the output: x W^T (R / (W x + b + epsilon)); the share of the bias is lost.

    Args:
        epsilon: added to the output whatever its sign, as in the authors' code.
        bias_gradient: let the bias have a gradient; the authors stop it.
    """
    outputs = linear.apply(inputs, linear.weight)
    if linear.layer.bias is not None:
        bias = linear.layer.bias if bias_gradient else linear.layer.bias.detach()
        outputs = outputs + (bias if inputs.dim() == 2 else bias[:, None, None])
    return inputs * linear.transpose(guarded_ratio(relevance, outputs + epsilon), linear.back_weight, inputs.shape[2:])


def alpha_beta_rule(linear: LinearMap, inputs: Tensor, relevance: Tensor, *, alpha: float) -> Tensor:
    """alpha times the shares of the positive weights minus (alpha - 1) times those of the negative ones; no bias.

    It keeps the sum of the relevance where each output has a positive (and for alpha > 1 a negative) share.

    Raises:
        ValueError: alpha is below 1, or an input is negative.
    """
    check_alpha(alpha)
    if inputs.min() < 0:
        raise ValueError(
            f"the alpha-beta rule needs inputs that are not negative, one is {inputs.min():.3g}; "
            "use it behind a ReLU, the z-box rule for the image, or the epsilon rule"
        )
    result = alpha * part_rule(linear, inputs, relevance, positive=True)
    return result if alpha == 1 else result - (alpha - 1) * part_rule(linear, inputs, relevance, positive=False)


def part_rule(linear: LinearMap, inputs: Tensor, relevance: Tensor, *, positive: bool) -> Tensor:
    """Shares of each input in the output of the positive, or negative, weights alone (z+ rule, z- rule)."""
    outputs = linear.apply(inputs, part(linear.weight, positive))
    return inputs * linear.transpose(
        guarded_ratio(relevance, outputs), part(linear.back_weight, positive), inputs.shape[2:]
    )


def z_box_rule(linear: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
    """Rule for the image: shares measured from the lowest and highest value of each image (Montavon et al., 2017)."""
    lowest = inputs.flatten(1).amin(1)[:, None, None, None].expand_as(inputs)
    highest = inputs.flatten(1).amax(1)[:, None, None, None].expand_as(inputs)
    terms = [(1, inputs, lambda w: w), (-1, lowest, lambda w: part(w, True)), (-1, highest, lambda w: part(w, False))]
    outputs = sum(sign * linear.apply(values, of(linear.weight)) for sign, values, of in terms)
    ratio = guarded_ratio(relevance, outputs)
    return sum(
        sign * values * linear.transpose(ratio, of(linear.back_weight), values.shape[2:]) for sign, values, of in terms
    )


def contrast_by_difference(linear: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
    """Contrastive rule of the last layer, type 1: the class against all others (Gu et al., ACCV 2018).

    The relevance of the class, minus as much spread over the other classes in proportion to their logits (bias
    included), goes back through the positive weights; its sum is zero.
    """
    logits = linear.layer(inputs)
    target, others = relevance.abs(), (logits - relevance).abs()
    share = others / others.sum(-1, keepdim=True).detach()
    return part_rule(linear, inputs, target - share * target.sum(-1, keepdim=True).detach(), positive=True)


def contrast_by_sign(linear: LinearMap, inputs: Tensor, relevance: Tensor) -> Tensor:
    """Contrastive rule of the last layer, type 2: what the positive weights say minus what the negative ones say."""
    size = relevance.abs()
    return part_rule(linear, inputs, size, positive=True) - part_rule(linear, inputs, size, positive=False)


def batch_norm_relevance(norm: nn.BatchNorm2d, inputs: Tensor, outputs: Tensor, relevance: Tensor) -> Tensor:
    """Epsilon rule of batch norm: R gamma / sqrt(var + eps) x / y, with no gradient through the factors.

    Args:
        inputs, outputs: [B, C, h, w]; the authors' y is what the layer's output became, rectified where a ReLU follows.
    """
    scale = guarded_ratio(norm.weight, norm_deviation(norm, inputs)).detach()
    return relevance * scale[:, None, None] * guarded_ratio(inputs, outputs).detach()


def batch_norm_pass(norm: nn.BatchNorm2d, inputs: Tensor, outputs: Tensor, relevance: Tensor) -> Tensor:
    """Alpha-beta and contrastive rules let relevance pass batch norm, up to the guard and where the input is 0."""
    scaled = inputs * guarded_ratio(norm.weight, norm_deviation(norm, inputs))[:, None, None]
    return relevance * guarded_ratio(scaled, scaled).detach()


def norm_deviation(norm: nn.BatchNorm2d, inputs: Tensor) -> Tensor:
    """Standard deviation that a batch norm divides by, [C]: of the batch in training mode, else the running one."""
    variance = inputs.detach().var((0, 2, 3), unbiased=False) if norm.training else norm.running_var
    return (variance + norm.eps).sqrt()


def average_pool_relevance(inputs: Tensor, size: tuple[int, int], relevance: Tensor) -> Tensor:
    """Shares of each pixel in the mean of its window, for adaptive average pooling to ``size``.

    Departs from the authors' code where windows are not equally long (16 to 7): they invert other windows than those
    that the layer averages.
    """
    rows, columns = (pooling_matrix(n, m, inputs) for n, m in zip(inputs.shape[-2:], size, strict=True))
    ratio = guarded_ratio(relevance, rows @ inputs @ columns.T)
    return inputs * (rows.T @ ratio @ columns)


def pooling_matrix(size: int, pooled: int, like: Tensor) -> Tensor:
    """Adaptive average pooling of one axis as a matrix, [pooled, size].

    >>> pooling_matrix(3, 2, torch.ones(1))
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]])
    """
    place, window = torch.arange(size), torch.arange(pooled)[:, None]
    inside = (place >= window * size // pooled) & (place < -(-(window + 1) * size // pooled))
    return (inside / inside.sum(1, keepdim=True)).to(like)


def split_residual(shortcut: Tensor, total: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of a sum to its two parts in proportion: of the shortcut, and of what was added to it."""
    return guarded_ratio(shortcut, total) * relevance, guarded_ratio(total - shortcut, total) * relevance


def part(weight: Tensor, positive: bool) -> Tensor:
    return weight.clamp(min=0) if positive else weight.clamp(max=0)


def check_alpha(alpha: float) -> None:
    """Refuse an alpha that is too small for beta = alpha - 1 to be a share."""
    if alpha < 1:
        raise ValueError(f"alpha is {alpha}; the alpha-beta rule has beta = alpha - 1, so alpha should be at least 1")
