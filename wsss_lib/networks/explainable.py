"""Classifiers of model guidance by name: vanilla, X-DNN and B-cos networks, with the weights of their authors."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from wsss_lib.networks.backbones import FILE_ENDINGS, build_backbone
from wsss_lib.networks.bcos import BCOS_DEPTHS, LOGIT_BIAS, BcosClassifier, BcosResNet, bcos_from_authors
from wsss_lib.networks.checkpoints import (
    Loaded,
    classifier_from_authors,
    load_weights,
    read_state_dict,
    rename_entries,
    without_trailing_ones,
)
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.xdnn import XDNN_DEPTHS, XdnnResNet

KINDS = ("vanilla", "xdnn", "bcos")


def build_explainable(
    kind: str,
    architecture: str,
    num_classes: int,
    *,
    output_stride: int = 32,
    width: float = 1.0,
    stages: int = 4,
    weights: str | Path | None = None,
    head_bias: bool = True,
    logit_bias: float = LOGIT_BIAS,
) -> Classifier | BcosClassifier:
    """Classifier of one kind.

    Args:
        kind: one of ``KINDS``.
        architecture: resnet18 to resnet101; vanilla also the other names of :func:`build_backbone`.
        num_classes: K.
        output_stride: px of the image per pixel of the last feature map.
        width: factor on all numbers of channels.
        stages: how many stages a ResNet has.
        weights: a released file (see :func:`load_released`); vanilla also the name of a torchvision weight set.
        head_bias: of the linear head. By the definition of X-DNN it has none; model guidance gave it one.
        logit_bias: of a B-cos network, whose head has none.

    Raises:
        ValueError: no such kind or architecture; the weights do not fit.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of network {kind!r}; choose one of {', '.join(KINDS)}")
    size = {"output_stride": output_stride, "width": width, "stages": stages}
    is_file = weights is not None and (Path(weights).suffix in FILE_ENDINGS or Path(weights).exists())
    if kind == "vanilla":
        backbone = build_backbone(architecture, weights=weights, **size)
        return Classifier(backbone, num_classes, bias=head_bias)
    depths = BCOS_DEPTHS if kind == "bcos" else XDNN_DEPTHS
    if architecture not in depths:
        raise ValueError(f"no {kind} network {architecture!r}; choose one of {', '.join(depths)}")
    if weights and not is_file:
        raise ValueError(f"weights {str(weights)!r} of a {kind} network should be a file; its authors' README names it")
    if kind == "bcos":
        network = BcosClassifier(BcosResNet(*depths[architecture], **size), num_classes, logit_bias=logit_bias)
    else:
        network = Classifier(XdnnResNet(*depths[architecture], **size), num_classes, bias=head_bias)
    if weights:
        load_released(network, weights)
    return network


def load_released(network: Classifier | BcosClassifier, source: str | Path | Mapping[str, Tensor]) -> Loaded:
    """Load a file of B-cos v2, of X-DNN or of Model-Guidance, under the names of its authors.

    A head of another number of classes is left aside; a head without the bias that ours has leaves ours as it is.

    Raises:
        ValueError: the file does not fit the backbone.
    """
    stored = source if isinstance(source, Mapping) else read_state_dict(source)
    rename = bcos_from_authors if isinstance(network, BcosClassifier) else classifier_from_authors
    renamed, _ = rename_entries(stored, rename, "the weights")
    own = network.state_dict()
    heads = [name for name in own if name.startswith("head.") and name.endswith("weight")]
    fits = all(
        name in renamed and without_trailing_ones(renamed[name].shape) == without_trailing_ones(own[name].shape)
        for name in heads
    )
    if not fits:
        renamed = {name: value for name, value in renamed.items() if not name.startswith("head.")}
    return load_weights(network, renamed, allow_missing=["head.bias"] if fits else ["head.*"])
