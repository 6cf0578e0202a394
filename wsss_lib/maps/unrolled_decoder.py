"""The unrolled decoder, layer by layer: relevance of a logit propagated back to the image by explicit rules.

It serves the rules that are no gradient (alpha-beta, z-box, contrastive), the authors' gradients through the encoder,
and as the slow twin of :mod:`wsss_lib.maps.relevance`. Denominators are common to all classes, which form one batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.maps import lrp_rules
from wsss_lib.maps.lrp_rules import LinearMap, LinearRule
from wsss_lib.maps.max_unpooling import check_unpool, max_unpool
from wsss_lib.maps.relevance import MapsOf, check_names, input_times_gradient
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import BasicBlock, Bottleneck, ResNet
from wsss_lib.networks.vgg import VGG16
from wsss_lib.networks.vgg_classifier import VGGClassifier

NormRule = Callable[[nn.BatchNorm2d, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rules:
    """Which rule which layer has.

    Attributes:
        inner: convolutions and linear layers; ``first`` the one that sees the image, ``top`` the one that makes logits.
        norm: batch norm.
        unpool: max pooling, see :func:`wsss_lib.maps.max_unpooling.max_unpool`.
    """

    inner: LinearRule
    first: LinearRule
    top: LinearRule
    norm: NormRule
    unpool: str = "sum"

    def __post_init__(self):
        check_unpool(self.unpool)


def epsilon_rules(epsilon: float = 1e-8, *, unpool: str = "sum", bias_gradient: bool = False) -> Rules:
    """Epsilon rule in every layer (``LRP_epsilon`` of the authors; with 0 the exact input times gradient)."""
    rule = partial(lrp_rules.epsilon_rule, epsilon=epsilon, bias_gradient=bias_gradient)
    return Rules(rule, rule, rule, lrp_rules.batch_norm_relevance, unpool)


def alpha_beta_rules(alpha: float = 1.0, *, unpool: str = "sum") -> Rules:
    """Alpha-beta rule, and the z-box rule for the image (``LRP_alphabeta``)."""
    lrp_rules.check_alpha(alpha)
    rule = partial(lrp_rules.alpha_beta_rule, alpha=alpha)
    return Rules(rule, lrp_rules.z_box_rule, rule, lrp_rules.batch_norm_pass, unpool)


def contrastive_rules(form: int, *, unpool: str = "sum") -> Rules:
    """Contrastive LRP of type 1 or 2 in the last layer, alpha-beta with alpha 1 below (``cLRP_type1``, ``_type2``).

    Departs from the authors' code, which works for VGG-16 without batch norm only: batch norm lets relevance pass.
    """
    tops = {1: lrp_rules.contrast_by_difference, 2: lrp_rules.contrast_by_sign}
    if form not in tops:
        raise ValueError(f"contrastive rule of type {form} asked for; there are types 1 and 2")
    rule = partial(lrp_rules.alpha_beta_rule, alpha=1.0)
    return Rules(rule, lrp_rules.z_box_rule, tops[form], lrp_rules.batch_norm_pass, unpool)


# --- what is kept of a layer ---------------------------------------------------------------------------------------


class Kept(ABC):
    """A layer that has run: what its rule needs."""

    @abstractmethod
    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        """Relevance of the outputs, [K, B, ...], to that of the inputs."""


@dataclass
class KeptLinear(Kept):
    linear: LinearMap
    inputs: Tensor
    place: str = "inner"

    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        return getattr(rules, self.place)(self.linear, self.inputs, of_outputs)


@dataclass
class KeptNorm(Kept):
    norm: nn.BatchNorm2d
    inputs: Tensor
    outputs: Tensor

    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        return rules.norm(self.norm, self.inputs, self.outputs, of_outputs)


@dataclass
class KeptMaxPool(Kept):
    indices: Tensor
    size: tuple[int, int]

    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        return max_unpool(of_outputs, self.indices, self.size, rules.unpool)


@dataclass
class KeptAveragePool(Kept):
    inputs: Tensor
    pooled: tuple[int, int]

    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        of_windows = of_outputs.reshape(*of_outputs.shape[:2], -1, *self.pooled)
        return lrp_rules.average_pool_relevance(self.inputs, self.pooled, of_windows)


@dataclass
class KeptBlock(Kept):
    main: list[Kept]
    shortcut: list[Kept]
    shortcut_outputs: Tensor
    total: Tensor

    def relevance(self, of_outputs: Tensor, rules: Rules) -> Tensor:
        of_shortcut, of_main = lrp_rules.split_residual(self.shortcut_outputs, self.total, of_outputs)
        return propagate(self.main, of_main, rules) + propagate(self.shortcut, of_shortcut, rules)


def propagate(kept: Sequence[Kept], relevance: Tensor, rules: Rules) -> Tensor:
    """Relevance of the last layer's outputs to that of the first one's inputs."""
    for layer in reversed(kept):
        relevance = layer.relevance(relevance, rules)
    return relevance


# --- running a network layer by layer ------------------------------------------------------------------------------


@dataclass(frozen=True)
class AveragePool:
    """Adaptive average pooling to ``size``, which is no module of a classifier."""

    size: tuple[int, int]


def layers_of(network: nn.Module) -> list:
    """Layers of a classifier from the image to the logits, in the order in which they run.

    Raises:
        ValueError: the network is none of those whose layers have a rule.
    """
    backbone = getattr(network, "backbone", None)
    if isinstance(backbone, ResNet):
        stages = [backbone.get_submodule(f"layer{stage + 1}") for stage in range(backbone.num_stages)]
        layers = [
            backbone.conv1,
            backbone.bn1,
            backbone.relu,
            backbone.maxpool,
            *(b for stage in stages for b in stage),
        ]
    elif isinstance(backbone, VGG16):
        layers = [*backbone.features]
    else:
        raise ValueError(
            f"the layer-by-layer decoder knows ResNet and VGG-16, not {type(backbone or network).__name__}; "
            "the default rule (input_times_gradient) takes any network"
        )
    if isinstance(network, VGGClassifier):
        return [*layers, AveragePool((7, 7)), *network.head.classifier]
    if type(network) is not Classifier or network.pooling != "average":
        raise ValueError("the layer-by-layer decoder takes a Classifier with average pooling, or a VGGClassifier")
    return [*layers, AveragePool((1, 1)), network.dropout, network.head]


class Recorder:
    """Runs layers without changing them (batch norm updates no statistics), and keeps what their rules need."""

    def __init__(self, network: nn.Module, decoder_weights: Mapping[str, Tensor] | None = None):
        named = dict(network.named_modules())
        if decoder_weights:
            check_names(decoder_weights, named)
        self.back_weights = {named[name]: weight for name, weight in (decoder_weights or {}).items()}

    def run(self, layers: Sequence, values: Tensor) -> tuple[Tensor, list[Kept]]:
        kept: list[Kept] = []
        for layer in layers:
            values = self._run_layer(layer, values, kept)
        return values, kept

    def _run_layer(self, layer: nn.Module | AveragePool, values: Tensor, kept: list[Kept]) -> Tensor:
        match layer:
            case nn.Conv2d() | nn.Linear():
                values = values.flatten(1) if isinstance(layer, nn.Linear) else values
                kept.append(KeptLinear(LinearMap.of(layer, self.back_weights.get(layer)), values))
                return layer(values)
            case nn.BatchNorm2d():
                statistics = (None, None) if layer.training else (layer.running_mean, layer.running_var)
                settings = {"training": layer.training, "eps": layer.eps}
                outputs = F.batch_norm(values, *statistics, layer.weight, layer.bias, **settings)
                kept.append(KeptNorm(layer, values, outputs))
                return outputs
            case nn.ReLU():
                values = values.relu()
                if kept and isinstance(kept[-1], KeptNorm):
                    kept[-1].outputs = values
                return values
            case nn.MaxPool2d():
                settings = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
                outputs, indices = F.max_pool2d(values, *settings, return_indices=True)
                kept.append(KeptMaxPool(indices, tuple(values.shape[2:])))
                return outputs
            case AveragePool():
                kept.append(KeptAveragePool(values, layer.size))
                return F.adaptive_avg_pool2d(values, layer.size)
            case BasicBlock() | Bottleneck():
                return self._run_block(layer, values, kept)
            case nn.Dropout() | nn.Identity():
                return layer(values)
        raise ValueError(
            f"no rule for {type(layer).__name__}; use output stride 32 for VGG-16, or the default rule "
            "(input_times_gradient), which takes any network"
        )

    def _run_block(self, block: BasicBlock | Bottleneck, values: Tensor, kept: list[Kept]) -> Tensor:
        main = [block.conv1, block.bn1, block.relu, block.conv2, block.bn2]
        if isinstance(block, Bottleneck):
            main += [block.relu, block.conv3, block.bn3]
        outputs, kept_main = self.run(main, values)
        shortcut, kept_shortcut = self.run(block.downsample or [], values)
        total = outputs + shortcut
        kept.append(KeptBlock(kept_main, kept_shortcut, shortcut, total))
        return total.relu()


def record(
    network: nn.Module, images: Tensor, decoder_weights: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, list[Kept]]:
    """Logits, [B, K], and what the rules need of every layer."""
    logits, kept = Recorder(network, decoder_weights).run(layers_of(network), images)
    linear = [layer for layer in kept if isinstance(layer, KeptLinear)]
    linear[0].place, linear[-1].place = "first", "top"
    return logits, kept


def initial_relevance(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Relevance of the logits when one of them is explained: the logit itself, others 0; [len(classes), B, K].

    >>> initial_relevance(torch.tensor([[3.0, 4.0]]), [1])
    tensor([[[0., 4.]]])
    """
    one_hot = F.one_hot(torch.as_tensor(list(classes), device=logits.device), logits.shape[1])
    return one_hot[:, None].to(logits) * logits


def unrolled_relevance(
    network: nn.Module,
    images: Tensor,
    rules: Rules,
    *,
    decoder_weights: Mapping[str, Tensor] | None = None,
) -> MapsOf:
    """Run the network once, layer by layer; what comes back makes the relevance maps of any of its classes.

    Where gradients are enabled, that of a loss on the maps also goes through the inputs and denominators of the rules.
    With ``epsilon_rules`` this is the gradient of the authors' encoder (``encoder_gradient`` "authors"): stopped at
    biases and at the factors of batch norm, it does not cancel and exceeds that of the decoder by far.

    Args:
        network: :class:`Classifier` on a ResNet or VGG-16 of output stride 32, or :class:`VGGClassifier`.
        images: [B, 3, H, W].
        rules: see :func:`epsilon_rules`, :func:`alpha_beta_rules`, :func:`contrastive_rules`.
        decoder_weights: as in :func:`wsss_lib.maps.relevance.input_times_gradient`.
    """
    logits, kept = record(network, images, decoder_weights)
    return partial(propagated_maps, logits, kept, rules)


def propagated_maps(logits: Tensor, kept: Sequence[Kept], rules: Rules, classes: Sequence[int]) -> Tensor:
    """Relevance maps of some classes at once, [B, len(classes), H, W]."""
    relevance = propagate(kept, initial_relevance(logits, classes), rules)  # [K, B, 3, H, W]
    return relevance.sum(2).transpose(0, 1)


RULES = ("epsilon", "alpha_beta", "clrp1", "clrp2")


def prepare_relevance(
    network: nn.Module,
    images: Tensor,
    *,
    wanted: Tensor | None = None,
    rule: str = "epsilon",
    epsilon: float = 1e-8,
    alpha: float = 1.0,
    unpool: str = "sum",
    encoder_gradient: str = "none",
    decoder_weights: Mapping[str, Tensor] | None = None,
) -> MapsOf:
    """Run the network once; what comes back makes relevance maps by any of the rules.

    Args:
        rule: "epsilon" (``LRP_epsilon`` of the authors), "alpha_beta", or contrastive: "clrp1", "clrp2".
        epsilon: of the epsilon rule where ``encoder_gradient`` is "authors"; else it is 0.
        alpha: of the alpha-beta rule, at least 1.
        encoder_gradient: of the epsilon rule: "none", the exact one (by the gradient of the logits, fast), or "authors"
            (layer by layer).
        wanted, unpool, decoder_weights: as of :func:`wsss_lib.maps.relevance.input_times_gradient`.
    """
    if rule not in RULES or encoder_gradient not in ("none", "authors"):
        raise ValueError(
            f"rule {rule!r} should be one of {', '.join(RULES)}, encoder_gradient {encoder_gradient!r} none or authors"
        )
    if rule == "epsilon" and encoder_gradient == "none":
        return input_times_gradient(network, images, wanted=wanted, unpool=unpool, decoder_weights=decoder_weights)
    rules = {
        "epsilon": partial(epsilon_rules, epsilon),
        "alpha_beta": partial(alpha_beta_rules, alpha),
        "clrp1": partial(contrastive_rules, 1),
        "clrp2": partial(contrastive_rules, 2),
    }
    maps_of = unrolled_relevance(network, images, rules[rule](unpool=unpool), decoder_weights=decoder_weights)
    return maps_of if wanted is None else lambda classes: maps_of(classes)[wanted]
