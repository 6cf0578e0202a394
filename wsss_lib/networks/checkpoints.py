"""Weight files of ours and of others: read without running code, rename entries, load all of them or say why not."""

import itertools
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

StateDict = dict[str, Tensor]
Rename = Callable[[str], str | None]

TORCH_ENDINGS = (".pth", ".pt", ".ckpt", ".tar", ".bin")
STATE_DICT_ENTRIES = ("state_dict", "model_state_dict", "model", "net_state_dict")


class Loaded(NamedTuple):
    """Names left as they were in the network, and names of the file that were not used."""

    missing: list[str]
    unused: list[str]


# --- reading -----------------------------------------------------------------------------------------------------


def read_state_dict(path: str | Path, entry: str | None = None) -> StateDict:
    """Tensors of a weights file by name, on the CPU; nothing in the file is executed.

    Args:
        path: ``.safetensors``, ``.npz``, MXNet ``.params``, or what torch saved (``.pth .pt .ckpt .tar .bin``).
        entry: where the state dict lies inside a torch file, parts joined by dots, for example
            ``net_state_dict.network1``; without it the file's top level or its entry ``state_dict`` (as Lightning
            writes) is taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds other things than tensors, or is of an unknown kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights file at {path}; give a file that exists, or no weights to start from random"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if path.suffix == ".params":
            return parse_mxnet(path.read_bytes())
        if path.suffix in TORCH_ENDINGS:
            return state_dict_of(torch.load(path, map_location="cpu", weights_only=True), entry)
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise ValueError(f"{path} is damaged, or was not saved by torch") from error
        raise ValueError(
            f"{path} holds more than tensors and is not opened; where you trust it, save its state dict alone: "
            "torch.save(torch.load(file, weights_only=False)['state_dict'], new_file)"
        ) from error
    except (SafetensorError, zipfile.BadZipFile, EOFError, KeyError, RuntimeError, struct.error, ValueError) as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
    raise ValueError(
        f"{path} ends in {path.suffix or 'nothing'}; weights are read from .safetensors, .npz, .params, "
        f"{', '.join(TORCH_ENDINGS)}"
    )


def state_dict_of(stored: Any, entry: str | None = None) -> StateDict:
    """The state dict inside what a torch file holds.

    >>> list(state_dict_of({"epoch": 3, "state_dict": {"fc.bias": torch.zeros(2)}}))
    ['fc.bias']

    Raises:
        ValueError: there is none at the entry, or at the usual places; lists what is there.
    """
    steps = entry.split(".") if entry else []
    for step in steps:
        if not isinstance(stored, Mapping) or step not in stored:
            raise ValueError(f"no entry {entry!r}; there is {describe(stored)}")
        stored = stored[step]
    if not entry and isinstance(stored, Mapping) and not any(isinstance(value, Tensor) for value in stored.values()):
        stored = next((stored[name] for name in STATE_DICT_ENTRIES if name in stored), stored)
    if isinstance(stored, Mapping):
        tensors = {name: value for name, value in stored.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise ValueError(f"no state dict found; there is {describe(stored)}; name the entry that holds it")


def describe(stored: Any) -> str:
    return shortened(map(str, stored), stored) if isinstance(stored, Mapping) else f"a {type(stored).__name__}"


def shortened(names: Iterable[str], counted: Any, shown: int = 8) -> str:
    """The first few names, and how many there are.

    >>> shortened(iter("abc"), "abc", shown=2)
    'a, b, ... (3 in all)'
    """
    total = len(counted)
    listed = ", ".join(itertools.islice(names, shown))
    return f"{listed}, ... ({total} in all)" if total > shown else listed


MXNET_MAGIC, MXNET_V1, MXNET_V2, MXNET_V3 = 0x112, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
MXNET_DTYPES = (np.float32, np.float64, np.float16, np.uint8, np.int32, np.int8, np.int64)


def parse_mxnet(content: bytes) -> StateDict:
    """Arrays of an MXNet ``.params`` file, under the names it gives (``arg:conv1a_weight``, ``aux:bn7_moving_mean``).

    Layout, little-endian: uint64 magic 0x112, uint64 zero; uint64 count, then per array a shape, two int32 of the
    device, an int32 type and the raw values; uint64 count, then per name a uint64 length and its bytes. The shape of
    files before MXNet 1.0 is a uint32 number of axes and as many uint32; version 1 has a magic number before it and
    int64 axes; versions 2 and 3 a second int32, the storage (0 dense; MXNet, ``src/ndarray/ndarray.cc``).

    Raises:
        ValueError: it is not such a file, it is truncated, or an array is sparse or of an unknown type.
    """
    position = 0

    def take(layout: str) -> tuple[int, ...]:
        nonlocal position
        size = struct.calcsize("<" + layout)
        if position + size > len(content):
            raise ValueError(f"truncated at byte {len(content)}")
        values = struct.unpack_from("<" + layout, content, position)
        position += size
        return values

    def take_array() -> Tensor:
        nonlocal position
        (version,) = take("I")
        if version in (MXNET_V2, MXNET_V3):
            (storage,) = take("i")
            if storage != 0:
                raise ValueError("an array is sparse; only dense arrays are read")
        num_axes = take("I")[0] if version in (MXNET_V1, MXNET_V2, MXNET_V3) else version
        if num_axes > 32:
            raise ValueError(f"an array with {num_axes} axes at byte {position}; the file is damaged")
        shape = take(f"{num_axes}{'I' if num_axes == version else 'q'}")
        if num_axes == 0:
            return torch.empty(0)
        take("ii")  # device type and index
        (kind,) = take("i")
        if not 0 <= kind < len(MXNET_DTYPES):
            raise ValueError(f"an array of unknown type {kind}")
        dtype = np.dtype(MXNET_DTYPES[kind])
        size = int(np.prod(shape)) * dtype.itemsize
        if position + size > len(content):
            raise ValueError(f"truncated at byte {len(content)}")
        values = np.frombuffer(content, dtype, int(np.prod(shape)), position).reshape(shape)
        position += size
        return torch.from_numpy(values.copy())

    if len(content) < 16 or take("QQ")[0] != MXNET_MAGIC:
        raise ValueError("not an MXNet parameter file (it does not begin with 0x112)")
    arrays = [take_array() for _ in range(take("Q")[0])]
    names = []
    for _ in range(take("Q")[0]):
        (length,) = take("Q")
        (name,) = take(f"{length}s")
        names.append(name.decode())
    if len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} arrays with {len(names)} names")
    return dict(zip(names, arrays, strict=True))


# --- names -------------------------------------------------------------------------------------------------------

WRAPPERS = ("module.", "model.", "backbone.", "encoder.")
MXNET_NAME = re.compile(
    r"(?:arg:|aux:)?(res|bn)(\d)(?:a|b(\d+))_(branch\w+)_(weight|gamma|beta|moving_mean|moving_var)"
)
MXNET_KINDS = {
    "weight": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


def without_wrappers(name: str) -> str:
    """Name inside a backbone, without what DataParallel, Lightning or a larger network put in front of it.

    >>> without_wrappers("module.model.conv1a.weight"), without_wrappers("encoder.backbone.fc.bias")
    ('conv1a.weight', 'fc.bias')
    """
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def classifier_from_authors(name: str) -> str:
    """Name in our classifiers of an entry of PSA, SC-CAM, mva-wsss or torchvision.

    >>> [classifier_from_authors(name) for name in ("model.fc8.weight", "fc8_200.weight", "layer1.0.conv1.weight")]
    ['head.weight', 'sub_head.weight', 'backbone.layer1.0.conv1.weight']
    """
    name = without_wrappers(name)
    layer, _, rest = name.rpartition(".")
    if layer in ("fc8", "fc8_20", "fc", "classifier", "classifier.1", "head"):
        return f"head.{rest}"
    if layer in ("fc8_200", "subcategory_classifier", "sub_head"):
        return f"sub_head.{rest}"
    return f"backbone.{name}"


def ktse_from_authors(name: str) -> str | None:
    """Name in our :class:`GatedPyramidClassifier` of an entry of KTSE; None for its unused ``bn8``.

    >>> ktse_from_authors("gconv1.att_p.0.weight"), ktse_from_authors("bn8.weight")
    ('head.gconv1.att_p.0.weight', None)
    """
    name = without_wrappers(name)
    layer = name.split(".")[0]
    if layer == "bn8":
        return None
    if layer == "fc9" or layer.startswith("gconv"):
        return f"head.{name}"
    return name if layer == "fc8" else f"backbone.{name}"


def resnet38_from_mxnet(name: str) -> str | None:
    """Name in our ResNet-38 of an entry of the ImageNet ``.params`` file; None for its 1000-way layer.

    >>> resnet38_from_mxnet("arg:res4b5_branch2a_weight"), resnet38_from_mxnet("aux:bn7_moving_var")
    ('b4_5.conv_branch2a.weight', 'bn7.running_var')

    Raises:
        ValueError: the name follows no rule of that file.
    """
    plain = name.removeprefix("arg:").removeprefix("aux:")
    if plain.startswith("linear1000_"):
        return None
    if plain == "conv1a_weight":
        return "conv1a.weight"
    if plain.startswith("bn7_") and plain.removeprefix("bn7_") in MXNET_KINDS:
        return f"bn7.{MXNET_KINDS[plain.removeprefix('bn7_')]}"
    match = MXNET_NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} is no entry of the ImageNet ResNet-38 in MXNet's format")
    kind, stage, index, branch, value = match.groups()
    block = f"b{stage}_{index}" if index else f"b{stage}"
    return f"{block}.{'conv' if kind == 'res' else 'bn'}_{branch}.{MXNET_KINDS[value]}"


# --- loading -----------------------------------------------------------------------------------------------------


def load_weights(
    network: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    *,
    rename: Rename | None = None,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> Loaded:
    """Copy a state dict into a network, all of it or nothing.

    A 1x1 convolution and a linear layer hold the same numbers and load into each other, batch norm that was folded
    into convolutions is unfolded, half precision becomes the network's, and ``num_batches_tracked`` may be missing.

    Args:
        network: where the weights go.
        source: a file (see :func:`read_state_dict`) or a state dict.
        rename: a name of the source to the network's name, or to None for an entry that is left aside.
        allow_missing: patterns (``head.*``) of entries of the network that the source may lack.
        allow_unexpected: patterns, after renaming, of entries of the source that the network may lack.

    Raises:
        ValueError: entries have other shapes, are missing or unexpected, or two get the same name; the network is
            unchanged.
    """
    stored = source if isinstance(source, Mapping) else read_state_dict(source)
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    renamed, dropped = rename_entries(stored, rename, where)
    renamed = unfold_batch_norm(renamed, network)
    wanted = network.state_dict()

    shapes, copies = [], {}
    for name in wanted.keys() & renamed.keys():
        if without_trailing_ones(renamed[name].shape) == without_trailing_ones(wanted[name].shape):
            copies[name] = renamed[name].reshape(wanted[name].shape)
        else:
            shapes.append(f"{name} {list(renamed[name].shape)} instead of {list(wanted[name].shape)}")
    missing = [name for name in wanted if name not in renamed and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in renamed if name not in wanted]
    problems = {
        "other shapes": sorted(shapes),
        "missing": [name for name in missing if not matches(name, allow_missing)],
        "unexpected": [name for name in unexpected if not matches(name, allow_unexpected)],
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {shortened(names, names)}" for kind, names in problems.items() if names)
        raise ValueError(
            f"{where} does not fit {type(network).__name__}: {listed}. "
            "Build the network that the file was made with (kind, width, number of classes), or allow what may differ"
        )
    network.load_state_dict(copies, strict=False)
    return Loaded(missing, unexpected + dropped)


def rename_entries(stored: Mapping[str, Tensor], rename: Rename | None, where: str) -> tuple[StateDict, list[str]]:
    """State dict under new names, and the names that were left aside."""
    renamed: StateDict = {}
    dropped = []
    for name, value in stored.items():
        new_name = rename(name) if rename else name
        if new_name is None:
            dropped.append(name)
        elif new_name in renamed:
            raise ValueError(f"two entries of {where} would be called {new_name!r}, the second is {name!r}")
        else:
            renamed[new_name] = value
    return renamed, dropped


def unfold_batch_norm(stored: Mapping[str, Tensor], network: nn.Module) -> StateDict:
    """Turn the biases of convolutions that batch norm was folded into back into that batch norm.

    A convolution without bias that is followed by a batch norm (the next module of its parent) gets the identity:
    scale 1, mean 0, variance 1 - eps, and the stored bias as shift. The running statistics are thus not those of any
    data: keep them frozen, or estimate them anew, before training.
    """
    unfolded = dict(stored)
    for parent_name, parent in network.named_modules():
        for (conv_name, conv), (norm_name, norm) in itertools.pairwise(parent.named_children()):
            if not isinstance(conv, _ConvNd) or conv.bias is not None or not isinstance(norm, _BatchNorm):
                continue
            prefix = f"{parent_name}." if parent_name else ""
            bias = unfolded.get(f"{prefix}{conv_name}.bias")
            if bias is None or f"{prefix}{norm_name}.weight" in unfolded:
                continue
            del unfolded[f"{prefix}{conv_name}.bias"]
            unfolded[f"{prefix}{norm_name}.weight"] = torch.ones_like(bias)
            unfolded[f"{prefix}{norm_name}.bias"] = bias
            unfolded[f"{prefix}{norm_name}.running_mean"] = torch.zeros_like(bias)
            unfolded[f"{prefix}{norm_name}.running_var"] = torch.full_like(bias, 1 - norm.eps)
    return unfolded


def without_trailing_ones(shape: Iterable[int]) -> tuple[int, ...]:
    """Shape by which a 1x1 convolution equals a linear layer.

    >>> without_trailing_ones((20, 4096, 1, 1)), without_trailing_ones((64, 3, 7, 7))
    ((20, 4096), (64, 3, 7, 7))
    """
    axes = list(shape)
    while len(axes) > 2 and axes[-1] == 1:
        axes.pop()
    return tuple(axes)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
