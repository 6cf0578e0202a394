"""Attributions from gradients at any depth: input x gradient, integrated gradients, B-cos contributions, Grad-CAM.

One formula: the map of class k at a layer with output F is the sum over channels of ``F * G``, where G is

- the gradient of the logit (input x gradient),
- its mean over scaled inputs ``a F``, a from 0 to 1 (integrated gradients; Sundararajan et al., ICML 2017),
- the gradient with all scales of a B-cos network held constant (contributions; Boehle et al., CVPR 2022),
- or the mean of the gradient over the places, rectified afterwards (Grad-CAM).

At the last feature map of a network that ends in average pooling and a (B-cos) 1x1 layer all of them need no gradient
at all. Maps of a loss are differentiable; those of many classes of a batch share their backward passes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.maps.cam import class_score_maps
from wsss_lib.maps.modes import kept_outputs
from wsss_lib.networks.bcos import BcosClassifier
from wsss_lib.networks.bcos_layers import explanation_mode
from wsss_lib.networks.xdnn import XdnnResNet

METHODS = ("IxG", "IntGrad", "BCos", "GradCam")
DEPTHS = ("Input", "Mid1", "Mid2", "Mid3", "Final")


class Explained(NamedTuple):
    """One forward pass, kept for explanation: ``logits`` [B, K], ``activations`` of the layer [B, C, h, w]."""

    logits: Tensor
    activations: Tensor


# --- where -------------------------------------------------------------------------------------------------------


def depths_of(network: nn.Module) -> dict[str, nn.Module | None]:
    """Layers of a classifier by depth; None stands for the images themselves.

    ``Input`` is what the network sees (six channels for B-cos), ``Final`` the last feature map, ``Mid1``, ``Mid2``,
    ``Mid3`` the stages before it: layer1 to layer3 of a ResNet, the last maps at stride 4, 8, 16 of other backbones.
    """
    backbone = network.backbone
    layers = dict(backbone.named_children())
    if isinstance(features := layers.get("features"), nn.Sequential):
        stages = [features[tap] for tap in backbone.tap_layers[1:]]
    else:
        stages = [layer for name, layer in layers.items() if name.startswith("layer")]
    middle = {f"Mid{place}": stage for place, stage in enumerate(stages[:-1], 1)}
    return {"Input": layers.get("encoding")} | middle | {"Final": stages[-1]}


def check_combination(network: nn.Module, method: str, depth: str) -> None:
    """Refuse what has no meaning, before any training.

    Raises:
        ValueError: the message says what is the matter and what can be chosen.
    """
    if method not in METHODS:
        raise ValueError(f"no attribution {method!r}; choose one of {', '.join(METHODS)}")
    if depth not in (known := depths_of(network)):
        raise ValueError(
            f"this backbone has no depth {depth!r} (it has fewer stages); choose one of {', '.join(known)}"
        )
    is_bcos = isinstance(network, BcosClassifier)
    if method == "BCos" and not is_bcos:
        raise ValueError("BCos explains B-cos networks only; choose IxG, IntGrad or GradCam for this backbone")
    if method == "GradCam" and depth == "Input":
        raise ValueError("GradCam averages gradients over places, which means nothing for pixels; choose another depth")
    if not is_bcos and getattr(network, "pooling", "average") != "average":
        raise ValueError(f"attributions assume average pooling; this network has {network.pooling} pooling")


# --- one forward pass --------------------------------------------------------------------------------------------


def explained(network: nn.Module, images: Tensor, depth: str) -> Explained:
    """Logits of the images, with the activations at ``depth`` in their graph.

    Raises:
        ValueError: the backbone has no such depth.
    """
    layers = depths_of(network)
    if depth not in layers:
        raise ValueError(f"this backbone has no depth {depth!r}; choose one of {', '.join(layers)}")
    with torch.enable_grad():
        if layers[depth] is None:
            images = images.detach().requires_grad_()
            return Explained(network(images).logits, images)
        with kept_outputs(layers[depth]) as outputs:
            logits = network(images).logits
    (activations,) = outputs
    return Explained(logits, activations)


@contextmanager
def _scaled_output(layer: nn.Module, factor: float) -> Iterator[None]:
    handle = layer.register_forward_hook(lambda module, inputs, output: factor * output)
    try:
        yield
    finally:
        handle.remove()


# --- gradients and maps ------------------------------------------------------------------------------------------


def logit_gradient(
    network: nn.Module, found: Explained, chosen: Tensor, *, explaining: bool = False, create_graph: bool = False
) -> Tensor:
    """Gradient of the sum of the chosen logits by the activations, [B, C, h, w].

    In evaluation mode an image's logits depend on its own activations only, so one backward pass serves the batch.

    Args:
        network: whose ``found`` it is.
        found: of :func:`explained`.
        chosen: float [B, K], 1 at the logits to sum.
        explaining: hold the scales of B-cos layers constant.
        create_graph: keep the gradient differentiable.
    """
    with explanation_mode(network) if explaining else nullcontext():
        (gradient,) = torch.autograd.grad(
            (found.logits * chosen).sum(), found.activations, retain_graph=True, create_graph=create_graph
        )
    return gradient


def weighted_activations(activations: Tensor, gradient: Tensor, *, grad_cam: bool = False) -> Tensor:
    """Sum over channels of activation times gradient, [B, h, w]; for Grad-CAM with its mean over places, rectified.

    >>> weighted_activations(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, -1.0]]]]))
    tensor([[[ 3., -2.]]])
    """
    if grad_cam:
        return torch.einsum("bchw,bc->bhw", activations, gradient.mean((2, 3))).relu()
    return (activations * gradient).sum(1)


def gauss_legendre(steps: int) -> list[tuple[float, float]]:
    """Nodes in (0, 1) and weights of the integral from 0 to 1.

    >>> gauss_legendre(1)
    [(0.5, 1.0)]
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return [((1 + node) / 2, weight / 2) for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)]


def integrated_gradient(
    network: nn.Module, images: Tensor, depth: str, chosen: Tensor, *, steps: int = 16, create_graph: bool = False
) -> Tensor:
    """Mean gradient over the activations scaled from 0 to 1, [B, C, h, w] (Gauss-Legendre quadrature).

    Args:
        images: network input, [B, 3, H, W]; at Input the zero it starts from is the mean color of the weights' scaling.
        steps: forward and backward passes.
    """
    layer, total = depths_of(network)[depth], 0
    for factor, weight in gauss_legendre(steps):
        with nullcontext() if layer is None else _scaled_output(layer, factor):
            found = explained(network, factor * images if layer is None else images, depth)
        total = total + weight * logit_gradient(network, found, chosen, create_graph=create_graph)
    return total


def score_maps(network: nn.Module, features: Tensor) -> Tensor:
    """Score of each class at each place of the last feature map, [B, K, h, w]; their mean is the logit without bias."""
    if isinstance(network, BcosClassifier):
        return network.score_maps(features)
    return class_score_maps(features, network.head_weight)


def attributions(
    network: nn.Module,
    images: Tensor,
    found: Explained,
    image_indices: Tensor,
    class_indices: Tensor,
    *,
    method: str,
    depth: str,
    create_graph: bool = False,
    steps: int = 16,
) -> Tensor:
    """Raw maps of (image, class) pairs; how many backward passes is the largest number of classes of one image.

    At ``Final`` there is none: the maps are the score maps divided by h w, a class activation map for a linear head.
    On X-DNN networks integrated gradients are input x gradient, and are computed so.

    Args:
        network: a classifier, see :func:`check_combination`.
        images: network input, [B, 3, H, W].
        found: of :func:`explained` for these images and this depth.
        image_indices, class_indices: [P], place in the batch and class of each pair.
        method: one of ``METHODS``.
        depth: one of :func:`depths_of`.
        create_graph: keep the maps differentiable with respect to the weights, for use in a loss.
        steps: of integrated gradients.

    Returns:
        [P, h, w], of either sign (Grad-CAM: not negative), in logit units.
    """
    if has_closed_form(network, method, depth):
        scores = score_maps(network, found.activations)
        maps = scores[image_indices, class_indices] / scores[0, 0].numel()
        maps = maps.relu() if method == "GradCam" else maps
        return maps if create_graph else maps.detach()
    how = {"explaining": method == "BCos", "create_graph": create_graph}
    maps = found.activations.new_zeros(len(image_indices), *found.activations.shape[2:])
    for places in distinct_images(image_indices):
        chosen = torch.zeros_like(found.logits)
        chosen[image_indices[places], class_indices[places]] = 1
        if method == "IntGrad" and not isinstance(network.backbone, XdnnResNet):
            gradient = integrated_gradient(network, images, depth, chosen, steps=steps, create_graph=create_graph)
        else:
            gradient = logit_gradient(network, found, chosen, **how)
        of_images = weighted_activations(found.activations, gradient, grad_cam=method == "GradCam")
        maps = maps.index_put((places,), of_images[image_indices[places]])
    return maps if create_graph else maps.detach()


def has_closed_form(network: nn.Module, method: str, depth: str) -> bool:
    """Whether the maps need no gradient: the last layer, where activation x gradient is the score map by h w.

    A B-cos head is homogeneous of degree 1, so input x gradient and contributions agree there; its gradient varies from
    place to place, so that Grad-CAM and integrated gradients are other maps.
    """
    return depth == "Final" and (method in ("IxG", "BCos") or not isinstance(network, BcosClassifier))


def distinct_images(image_indices: Tensor) -> list[Tensor]:
    """Places of pairs in as few groups as possible, each with an image at most once.

    >>> [group.tolist() for group in distinct_images(torch.tensor([0, 0, 1, 2, 0]))]
    [[0, 2, 3], [1], [4]]
    """
    earlier = (image_indices[:, None] == image_indices).tril(-1).sum(1)  # how many pairs of the image stand before
    return [torch.nonzero(earlier == turn).flatten() for turn in range(int(earlier.max()) + 1 if len(earlier) else 0)]


def dynamic_weights(network: nn.Module, images: Tensor, classes: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
    """The linear map that a B-cos network is for each image, and its input; they multiply to the logit less its bias.

    Args:
        network: a B-cos classifier in evaluation mode.
        images: [B, 3 or 6, H, W].
        classes: [B], the logit to explain.

    Returns:
        Both [B, 6, H, W].
    """
    found = explained(network, images, "Input")
    chosen = F.one_hot(torch.as_tensor(classes, device=images.device), found.logits.shape[1]).to(images.dtype)
    return logit_gradient(network, found, chosen, explaining=True), found.activations.detach()


def prepare_attributions(
    maps: Tensor, size: tuple[int, int] | None, *, only_positive: bool, divide_by_maximum: bool
) -> Tensor:
    """Maps as a localization loss takes them, in the order of the authors' code: rectify, divide, resize.

    Departs from the authors' code in the gradient only: a map of zeros stays zero with a zero gradient, theirs is NaN.

    Args:
        maps: [P, h, w].
        size: height and width to resize to (bilinear), px; None: leave as it is.
        only_positive: set negative values to zero.
        divide_by_maximum: divide each map by its largest absolute value, unless that is zero.

    >>> prepare_attributions(torch.tensor([[[-4.0, 2.0]]]), None, only_positive=False, divide_by_maximum=True)
    tensor([[[-1.0000,  0.5000]]])
    """
    if only_positive:
        maps = maps.clamp(min=0)
    if divide_by_maximum and len(maps):
        largest = maps.abs().amax((1, 2), keepdim=True)
        maps = maps / torch.where(largest > 0, largest, 1)
    if size is None or tuple(maps.shape[1:]) == tuple(size) or not len(maps):
        return maps if size is None or len(maps) else maps.new_zeros(0, *size)
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
