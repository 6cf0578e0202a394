"""Writer of MXNet parameter files, in the layouts of its versions; the library only reads them."""

import struct
from collections.abc import Mapping

import numpy as np

CODES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
MAGIC = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}


def mxnet_bytes(arrays: Mapping[str, np.ndarray], version: int = 0, storage: int = 0) -> bytes:
    """Content of a ``.params`` file; version 0 is the layout before MXNet 1.0, in which the ImageNet file was saved."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        if version:
            parts.append(struct.pack("<I", MAGIC[version]))
        if version >= 2:
            parts.append(struct.pack("<i", storage))
        parts.append(struct.pack("<I", array.ndim))
        parts.append(struct.pack(f"<{array.ndim}{'q' if version else 'I'}", *array.shape))
        if array.ndim:
            parts.append(struct.pack("<iii", 1, 0, CODES[array.dtype.name]))
            parts.append(np.ascontiguousarray(array).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(parts)


def mxnet_name(name: str) -> str:
    """MXNet's name of an entry of our ResNet-38: the rule of the ImageNet file, written the other way round."""
    layer, kind = name.rsplit(".", 1)
    if layer == "conv1a":
        return "arg:conv1a_weight"
    is_norm = layer.startswith("bn7") or ".bn_" in layer
    ending = {"weight": "gamma" if is_norm else "weight", "bias": "beta"}.get(kind, kind.replace("running", "moving"))
    prefix = "aux" if kind.startswith("running") else "arg"
    if layer == "bn7":
        return f"{prefix}:bn7_{ending}"
    block, part = layer.split(".")
    stage, _, index = block[1:].partition("_")
    operation, branch = part.split("_")
    operation = {"conv": "res", "bn": "bn"}[operation]
    return f"{prefix}:{operation}{stage}{f'b{index}' if index else 'a'}_{branch}_{ending}"
