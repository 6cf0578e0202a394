"""What lies on disk: maps, label maps and weights, each written whole or not at all (:mod:`wsss_lib.files`)."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from wsss_lib.files import file_hash, read_json, write_file, write_json, write_text

__all__ = [
    "file_hash",
    "load_label_map",
    "load_maps",
    "load_weights",
    "read_json",
    "save_label_map",
    "save_maps",
    "save_weights",
    "write_file",
    "write_json",
    "write_text",
]


def save_weights(path: Path, network: torch.nn.Module) -> Path:
    """State dict of a network as safetensors."""
    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    return write_file(path, lambda stream: stream.write(safetensors.torch.save(state)))


def load_weights(path: Path) -> dict[str, Tensor]:
    """State dict that :func:`save_weights` wrote.

    Raises:
        FileNotFoundError: no such file; the message names the run that would make it.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f"no weights at {path}; make them with ./run_all.sh --only {Path(path).parent.parent.name}"
        )
    return safetensors.torch.load_file(path)


def save_maps(path: Path, maps: Tensor, classes: Iterable[int]) -> Path:
    """Maps of one image, half precision: those of the classes named, and their indices.

    Args:
        path: file ending in ``.npz``.
        maps: normalized maps of the classes present, [P, H, W].
        classes: 0-based class index of each map, P of them.
    """
    classes = np.asarray(list(classes), dtype=np.int16)
    if len(classes) != len(maps):
        raise ValueError(f"{len(maps)} maps with {len(classes)} class indices for {path}")
    stored = io.BytesIO()
    np.savez_compressed(stored, maps=maps.detach().cpu().numpy().astype(np.float16), classes=classes)
    return write_file(path, lambda stream: stream.write(stored.getvalue()))


def load_maps(path: Path) -> tuple[Tensor, list[int]]:
    """Maps [P, H, W] (float32) and their class indices, as :func:`save_maps` wrote them.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return torch.from_numpy(stored["maps"].astype(np.float32)), stored["classes"].tolist()
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete the run's folder and run its notebook again") from error


def save_label_map(path: Path, label_map: Tensor | np.ndarray, palette: np.ndarray) -> Path:
    """Label map [H, W] (0 background, 1..K, 255 ignore) as palette PNG, palette uint8 [256, 3]."""
    image = Image.fromarray(np.asarray(label_map).astype(np.uint8))
    image.putpalette(np.asarray(palette, dtype=np.uint8).flatten().tolist())
    stored = io.BytesIO()
    image.save(stored, format="PNG")
    return write_file(path, lambda stream: stream.write(stored.getvalue()))


def load_label_map(path: Path) -> Tensor:
    """Label map [H, W], uint8, from a palette or grey PNG."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"{path} has mode {image.mode}; a label map is a palette (P) or grey (L) PNG")
        return torch.from_numpy(np.array(image))
