"""Grad-CAM: activation maps of any layer, weighted by the gradient of the class score (Selvaraju et al., ICCV 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wsss_lib.maps.modes import kept_outputs


def grad_cam(activations: Tensor, logits: Tensor, *, create_graph: bool = False) -> Tensor:
    """Grad-CAM of every column of ``logits``: alpha = mean gradient of a channel, map = relu(sum alpha A) (eq. 1, 2).

    One backward pass per class serves the whole batch, because an image's logits depend on its own activations only
    (batch norm must be in evaluation mode).

    Args:
        activations: [B, C, h, w], in the graph of ``logits`` (an output of the network or of ``kept_outputs``).
        logits: [B, K]; give only the columns whose maps are wanted.
        create_graph: keep the maps differentiable with respect to weights and images, for use in a loss.

    Returns:
        Non-negative maps, [B, K, h, w]. They are the class activation maps divided by h w for a network that ends in
        global average pooling and a linear head.
    """
    maps = []
    for scores in logits.unbind(1):
        (gradient,) = torch.autograd.grad(scores.sum(), activations, retain_graph=True, create_graph=create_graph)
        channel_weight = gradient.mean((2, 3))  # [B, C]
        maps.append(torch.einsum("bchw,bc->bhw", activations, channel_weight).relu())
    stacked = torch.stack(maps, 1)
    return stacked if create_graph else stacked.detach()


def grad_cam_at(
    network: nn.Module,
    layer: nn.Module,
    images: Tensor,
    classes: Sequence[int] | None = None,
    *,
    tap: int | None = None,
    create_graph: bool = False,
) -> Tensor:
    """Grad-CAM of ``images`` on the output of any layer, or on a tap of the backbone, of a classifier.

    Args:
        network: returns an object with ``logits`` [B, K]; in evaluation mode (``with evaluation_mode(network)``).
        layer: module of the network that is called once, such as ``network.backbone.layer3`` or ``network.backbone``.
        images: [B, 3, H, W].
        classes: channels of the logits to explain; all of them by default.
        tap: which one of the feature maps that the layer returns, where it returns several.
        create_graph: keep the maps differentiable; weights keep no gradient and no hook remains in either case.

    Returns:
        Non-negative maps, [B, len(classes), h, w].
    """
    with torch.enable_grad(), kept_outputs(layer) as outputs:
        logits = network(images if images.requires_grad else images.detach().requires_grad_()).logits
        if len(outputs) != 1:
            raise ValueError(
                f"the layer ran {len(outputs)} times in one forward pass of {type(network).__name__}; "
                "choose a layer of this network that runs exactly once"
            )
        (activations,) = outputs
        if isinstance(activations, list):
            if tap is None:
                raise ValueError(f"{type(layer).__name__} returns {len(activations)} feature maps; choose one by tap")
            activations = activations[tap]
        if classes is not None:
            logits = logits[:, list(classes)]
        return grad_cam(activations, logits, create_graph=create_graph)
