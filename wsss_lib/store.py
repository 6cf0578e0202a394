"""What lies on disk: one write that is whole or absent, and readers of maps, label maps, weights and records.

Every file of a run is written through :func:`write_file`: to a temporary name in the same folder, then renamed.
Whoever finds a file under its final name finds all of it.
"""

import errno
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EROFS: "the disk is read-only; set WSSS_OUTPUTS to a folder that can be written",
}


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Create ``path`` with what ``write(stream)`` writes, or leave what was there.

    Raises:
        OSError: the disk is full or read-only; the message names the file and the remedy, nothing half-written stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            write(stream)
        os.replace(temporary, path)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
        raise OSError(error.errno, f"could not write {path}: {remedy}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    return write_file(path, lambda stream: stream.write(text.encode("utf-8")))


def write_json(path: Path, content: Any) -> Path:
    """Write a record; NaN is refused, since JSON has no such value."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=False)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
