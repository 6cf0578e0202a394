"""Relevance maps that can be trained: input times gradient of each logit ("Model Guidance via Explanations Turns Image
Classifiers into Segmentation Models", arXiv 2407.03009).

With the default rule of the paper (epsilon close to 0) layer-wise relevance propagation through a network of linear
layers and ReLUs is the input times the gradient of the logit, so one vector-Jacobian product per class replaces the
layer-by-layer decoder (:mod:`wsss_lib.maps.unrolled_decoder`), without its divisions by numbers near zero. What the
authors' decoder does otherwise is said by two arguments: ``unpool`` and ``decoder_weights``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.maps.lrp_rules import LinearMap
from wsss_lib.maps.max_unpooling import check_unpool, overwritten_windows, without_overwritten

MapsOf = Callable[[Sequence[int]], Tensor]
"""Numbers of classes to their relevance maps, [B, len(classes), H, W]; with gradients where these are enabled."""

Statistics = tuple[Tensor, Tensor]
"""Variance and mean of each channel."""


def input_times_gradient(
    network: nn.Module,
    images: Tensor,
    *,
    wanted: Tensor | None = None,
    unpool: str = "sum",
    decoder_weights: Mapping[str, Tensor] | None = None,
) -> MapsOf:
    """Run the network once; what comes back makes the relevance maps of any of its classes.

    The gradient of a loss on the maps reaches the weights as the decoder uses them, and no bias: what it would send
    through the activations of the encoder is zero, because what the inputs and the denominators of the rules
    contribute cancels ("none" for ``encoder_gradient``; for the authors' other one see
    :func:`wsss_lib.maps.unrolled_decoder.unrolled_relevance`). Batch norm in training mode scales by the statistics
    of the batch, constants in the maps, and leaves the running ones alone. The weights of the encoder make these
    statistics: where the decoder shares them, the gradient of a loss on the maps reaches them on this way too (the
    authors' stops there, and is not the slope of their loss, by far in the first layers), and on this way biases as
    well. With ``decoder_weights`` it stays with these, which make no statistics.

    Args:
        network: returns an object with ``logits`` [B, K]; any network of piecewise linear layers.
        images: [B, 3, H, W].
        wanted: bool [B], the images whose maps are made, all by default; the others only take part in the statistics
            of batch norm in training mode.
        unpool: where windows of max pooling overlap, "sum" (exact) or "last" (the authors' code).
        decoder_weights: weights of convolutions and linear layers on the way back, by layer name, for a decoder that
            is not tied to the encoder; the encoder's by default.
    """
    check_unpool(unpool)
    with torch.set_grad_enabled(torch.is_grad_enabled() and not decoder_weights):
        statistics = batch_statistics(network, images)
    images = images if wanted is None else images[wanted]
    with torch.enable_grad(), relevance_layers(network, unpool, decoder_weights, statistics):
        images = images.detach().requires_grad_()
        logits = network(images).logits
    return partial(gradient_maps, images, logits)


def gradient_maps(images: Tensor, logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Images times the gradient of their logits, summed over color channels, [B, len(classes), H, W].

    Several classes are one batched backward pass; it needs as much memory as so many passes together.

    Args:
        images: leaf of the graph of ``logits``, [B, 3, H, W].
        logits: [B, K]; an image's logits depend on this image only.
    """
    keep = {"retain_graph": True, "create_graph": torch.is_grad_enabled()}
    one_hot = F.one_hot(torch.as_tensor(classes, device=logits.device), logits.shape[1]).to(logits)
    one_hot = one_hot[:, None].expand(-1, len(logits), -1)  # [k, B, K]
    if len(classes) == 1:
        gradients = torch.autograd.grad(logits, images, one_hot[0], **keep)[0][None]
    else:
        (gradients,) = torch.autograd.grad(logits, images, one_hot, is_grads_batched=True, **keep)
    return (images.detach() * gradients).sum(2).transpose(0, 1)


@contextmanager
def relevance_layers(
    network: nn.Module,
    unpool: str,
    decoder_weights: Mapping[str, Tensor] | None = None,
    statistics: Mapping[nn.BatchNorm2d, Statistics] | None = None,
) -> Iterator[nn.Module]:
    """Layers that give their usual outputs and have the gradients of relevance: batch norm, pools, untied weights.

    Batch norm in training mode has the ``statistics`` of :func:`batch_statistics`, else its running ones.

    Raises:
        ValueError: ``decoder_weights`` names no convolution or linear layer, or lacks one.
    """
    decoder_weights = dict(decoder_weights or {})
    layers = dict(network.named_modules())
    if decoder_weights:
        check_names(decoder_weights, layers)
    with ExitStack() as stack:
        for name, layer in layers.items():
            if isinstance(layer, nn.BatchNorm2d):
                of_norm = (statistics or {}).get(layer, (layer.running_var, layer.running_mean))
                stack.enter_context(other_forward(layer, partial(constant_norm, layer, not decoder_weights, of_norm)))
            elif isinstance(layer, nn.MaxPool2d) and unpool == "last":
                stack.enter_context(other_forward(layer, partial(last_window_pool, layer)))
            elif name in decoder_weights:
                stack.enter_context(other_forward(layer, partial(untied_layer, layer, decoder_weights[name])))
        yield network


def check_names(decoder_weights: Mapping[str, Tensor], layers: Mapping[str, nn.Module]) -> None:
    linear = {name for name, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)}
    if different := sorted(linear ^ set(decoder_weights)):
        raise ValueError(
            f"decoder_weights should name every convolution and linear layer; it differs in {', '.join(different[:5])}"
        )


@contextmanager
def other_forward(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The layer computes this instead."""
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def constant_norm(norm: nn.BatchNorm2d, affine_gradient: bool, statistics: Statistics, inputs: Tensor) -> Tensor:
    """Batch norm whose statistics do not depend on what passes: x gamma / sqrt(var + eps) + constant."""
    variance, mean = statistics
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = (norm.bias - mean * scale).detach()
    return inputs * (scale if affine_gradient else scale.detach())[:, None, None] + shift[:, None, None]


def batch_statistics(network: nn.Module, images: Tensor) -> dict[nn.BatchNorm2d, Statistics]:
    """What every batch norm in training mode makes of this batch, and of no other; updates no running statistics.

    With gradients to the weights where these are enabled.
    """
    found: dict[nn.BatchNorm2d, Statistics] = {}

    def recording_norm(norm: nn.BatchNorm2d, inputs: Tensor) -> Tensor:
        found[norm] = torch.var_mean(inputs, (0, 2, 3), unbiased=False)
        return F.batch_norm(inputs, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)

    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    with ExitStack() as stack:
        for norm in norms:
            stack.enter_context(other_forward(norm, partial(recording_norm, norm)))
        if norms:
            network(images)
    return found


def last_window_pool(pool: nn.MaxPool2d, inputs: Tensor) -> Tensor:
    """Max pooling whose gradient keeps the last window of a pixel that wins several."""
    settings = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
    outputs, indices = F.max_pool2d(inputs, *settings, return_indices=True)
    if outputs.requires_grad:
        overwritten = overwritten_windows(indices, inputs.shape[2] * inputs.shape[3])
        outputs.register_hook(lambda relevance: without_overwritten(relevance, overwritten))
    return outputs


class UntiedLayer(torch.autograd.Function):
    """Output of a layer, with the gradient of one that has another weight and no bias.

    The way back is made of layers itself (transposed convolutions), so a loss on the maps takes their first derivative
    only. The second derivative of a grouped convolution goes group by group in torch, and would take most of the time
    of a MobileNet.
    """

    @staticmethod
    def forward(ctx, inputs: Tensor, back_weight: Tensor, layer: nn.Conv2d | nn.Linear) -> Tensor:
        ctx.save_for_backward(back_weight)
        ctx.layer, ctx.size = layer, inputs.shape[2:]
        return type(layer).forward(layer, inputs)

    @staticmethod
    def backward(ctx, relevance: Tensor) -> tuple[Tensor, None, None]:
        linear = LinearMap(ctx.layer, ctx.saved_tensors[0].to(relevance.dtype))
        return linear.transpose(relevance, linear.back_weight, ctx.size), None, None


def untied_layer(layer: nn.Conv2d | nn.Linear, back_weight: Tensor, inputs: Tensor) -> Tensor:
    return UntiedLayer.apply(inputs, back_weight, layer)


def relevance_maps(maps_of: MapsOf, num_classes: int, at_once: int = 1) -> Tensor:
    """Maps of all classes, [B, K, H, W]; with gradients where these are enabled (the joint form of training).

    Args:
        at_once: classes in one pass; more need more memory, and pay on a GPU.

    >>> relevance_maps(lambda classes: torch.tensor(classes).view(1, -1, 1, 1), 3, at_once=2).flatten()
    tensor([0, 1, 2])
    """
    chunks = [range(first, min(first + at_once, num_classes)) for first in range(0, num_classes, at_once)]
    return torch.cat([maps_of(list(chunk)) for chunk in chunks], 1)


def iterative_relevance_maps(maps_of: MapsOf, num_classes: int, parameters: Sequence[Tensor]) -> Tensor:
    """As :func:`relevance_maps`, with gradients in the memory of one class (``--iterative_gradients`` of the authors).

    The maps are made without a graph; their backward pass makes each anew and takes it back to the parameters at once.
    Gradients are those of the joint form, for one more relevance pass per class.

    Args:
        parameters: what the maps may depend on; those that need no gradient are left aside.

    Returns:
        [B, K, H, W], to be used in one loss.
    """
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    return _ClassByClass.apply(maps_of, num_classes, *wanted)


class _ClassByClass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps_of: MapsOf, num_classes: int, *parameters: Tensor) -> Tensor:
        ctx.maps_of = maps_of
        ctx.parameters = parameters
        return relevance_maps(maps_of, num_classes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        totals: list[Tensor | None] = [None] * len(ctx.parameters)
        for k, of_class in enumerate(upstream.split(1, 1)):
            with torch.enable_grad():
                class_map = ctx.maps_of([k])
            parts = torch.autograd.grad(class_map, ctx.parameters, of_class, retain_graph=True, allow_unused=True)
            totals = [
                total if part is None else part if total is None else total.add_(part)
                for total, part in zip(totals, parts, strict=True)
            ]
            del class_map, parts
        return None, None, *totals
