"""The one door to all backbones: by name, with weights and the input scaling that belongs to them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from wsss_lib.networks.base import TENSORFLOW, Backbone, Normalization
from wsss_lib.networks.checkpoints import (
    TORCH_ENDINGS,
    load_weights,
    read_state_dict,
    rename_entries,
    resnet38_from_mxnet,
    without_wrappers,
)
from wsss_lib.networks.mobilenet import MobileNetV2
from wsss_lib.networks.resnet import DEPTHS, ResNet
from wsss_lib.networks.resnet38 import ResNet38
from wsss_lib.networks.vgg import PSAVGG16, VGG16

BACKBONES = (*DEPTHS, "vgg16", "vgg16_bn", "mobilenet_v2", "resnet38", "psa_vgg16")
FILE_ENDINGS = (".safetensors", ".npz", ".params", *TORCH_ENDINGS)


def build_backbone(
    name: str,
    *,
    output_stride: int,
    width: float = 1.0,
    weights: str | Path | None = None,
    normalization: Normalization | None = None,
    small_stem: bool = False,
    stages: int = 4,
    dilate: bool = True,
    same_padding: bool | None = None,
    freeze: bool | None = None,
) -> Backbone:
    """Backbone called ``name``, with its weights loaded.

    Args:
        name: one of ``BACKBONES``; names and numbers of torchvision where it has the network, else of the authors.
        output_stride: px of the image per pixel of the last feature map: ResNet 4 to 32 (small stem 1 to 8), VGG-16
            1 to 32, MobileNetV2 2 to 32, ResNet-38 and PSA's VGG-16 8.
        width: factor on all numbers of channels.
        weights: a file (see :func:`wsss_lib.networks.checkpoints.read_state_dict`); the name of a torchvision weight
            set, such as ``IMAGENET1K_V1``, which is then downloaded; None or "" for random weights. Entries of other
            parts of a larger network (a head, a decoder) are left aside.
        normalization: input scaling, where it is another than the one known for these weights.
        small_stem, stages, dilate: of ResNet-18 to 101, see :class:`ResNet`.
        same_padding: of MobileNetV2, see :class:`MobileNetV2`; None: as the weights were trained.
        freeze: of ResNet-38 and PSA's VGG-16: the layers frozen in the papers; None: when weights are loaded.

    Weights with folded batch norm (the MobileNetV2 ``.npz`` made from a TensorFlow Lite file) bring their scaling
    (pixel - 127) / 127.5 and SAME padding, and keep their batch-norm statistics frozen.

    Raises:
        ValueError: the name, the weights or an option do not exist for this backbone, or the file does not fit.
        FileNotFoundError: there is no such weights file.
    """
    if name not in BACKBONES:
        raise ValueError(f"no backbone {name!r}; choose one of {', '.join(BACKBONES)}")
    check_options(
        name,
        {
            "small_stem": (small_stem, DEPTHS),
            "stages": (stages != 4, DEPTHS),
            "dilate": (not dilate, DEPTHS),
            "same_padding": (same_padding, ("mobilenet_v2",)),
            "freeze": (freeze, ("resnet38", "psa_vgg16")),
        },
    )
    if name in ("resnet38", "psa_vgg16") and output_stride != 8:
        raise ValueError(f"{name} has output stride 8 only, not {output_stride}")

    stored, scaling = read_weights(name, weights) if weights else (None, None)
    folded = name == "mobilenet_v2" and stored is not None and "features.0.0.bias" in stored
    frozen = bool(weights) if freeze is None else freeze
    if name in DEPTHS:
        block, depths = DEPTHS[name]
        backbone: Backbone = ResNet(
            block,
            depths,
            output_stride=output_stride,
            width=width,
            small_stem=small_stem,
            stages=stages,
            dilate=dilate,
        )
    elif name == "mobilenet_v2":
        same = folded if same_padding is None else same_padding
        backbone = MobileNetV2(output_stride=output_stride, width=width, same_padding=same)
    elif name == "resnet38":
        backbone = ResNet38(width=width, freeze=frozen)
    elif name == "psa_vgg16":
        backbone = PSAVGG16(width=width, freeze=frozen)
    else:
        backbone = VGG16(output_stride=output_stride, width=width, batch_norm=name == "vgg16_bn")

    if stored is not None:
        inside = {part for part, _ in backbone.named_children()}
        others = {entry.split(".")[0] for entry in stored} - inside
        load_weights(backbone, stored, allow_unexpected=[*others, *(f"{part}.*" for part in others)])
    if folded:
        backbone.freeze(batch_norm_statistics=True)
    backbone.normalization = normalization or scaling or (TENSORFLOW if folded else backbone.normalization)
    return backbone


def check_options(name: str, options: Mapping[str, tuple[object, Iterable[str]]]) -> None:
    """Refuse an option, given as (whether it was set, backbones that know it), that this backbone does not know."""
    for option, (given, known_by) in options.items():
        if given and name not in known_by:
            raise ValueError(f"{name} has no option {option}; it belongs to {', '.join(known_by)}")


def read_weights(name: str, weights: str | Path) -> tuple[dict[str, Tensor], Normalization | None]:
    """State dict under the backbone's names, and the input scaling where the source states it."""
    if Path(weights).suffix in FILE_ENDINGS or Path(weights).exists():
        stored = read_state_dict(weights)
        rename = resnet38_from_mxnet if Path(weights).suffix == ".params" else without_wrappers
        return rename_entries(stored, rename, str(weights))[0], None
    return fetch_torchvision(name, str(weights))


def fetch_torchvision(name: str, weights: str) -> tuple[dict[str, Tensor], Normalization]:
    """State dict of a torchvision weight set, downloaded once into torch's cache, and its input scaling."""
    from torchvision.models import get_model_weights, list_models  # torchvision takes seconds to import

    known = get_model_weights(name).__members__ if name in list_models() else {}
    if weights not in known:
        raise ValueError(
            f"no weights {weights!r} for {name}: neither a file nor one of torchvision's ({', '.join(known) or 'none'})"
        )
    chosen = known[weights]
    transform = chosen.transforms()
    normalization = Normalization(tuple(transform.mean), tuple(transform.std))
    return dict(chosen.get_state_dict(progress=True, check_hash=True)), normalization
