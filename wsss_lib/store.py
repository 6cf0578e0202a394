"""What lies on disk: maps, label maps and weights, each written whole or not at all (:mod:`wsss_lib.files`)."""

import io
import zipfile
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


def save_maps(path: Path, maps: Tensor, class_labels: Tensor) -> Path:
    """Maps of one image in half precision; only those of the classes present are kept.

    Args:
        path: file ending in ``.npz``.
        maps: normalized maps, [K, H, W].
        class_labels: [K], positive where a class is present.
    """
    if len(class_labels) != len(maps):
        raise ValueError(f"{len(maps)} maps with {len(class_labels)} class labels for {path}")
    present = (class_labels > 0).cpu()
    kept = maps.detach().cpu()[present].numpy().astype(np.float16)
    stored = io.BytesIO()
    np.savez_compressed(stored, maps=kept, present=present.numpy())
    return write_file(path, lambda stream: stream.write(stored.getvalue()))


def load_maps(path: Path) -> tuple[Tensor, Tensor]:
    """Maps [K, H, W] and class labels [K], float32, as :func:`save_maps` wrote them; maps of absent classes are zero.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            kept, present = torch.from_numpy(stored["maps"]), torch.from_numpy(stored["present"])
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete the run's folder and run its notebook again") from error
    maps = torch.zeros(len(present), *kept.shape[1:])
    maps[present] = kept.float()
    return maps, present.float()


def save_label_map(path: Path, label_map: Tensor | np.ndarray, palette: np.ndarray) -> Path:
    """Label map [H, W] (0 background, 1..K, 255 ignore) as palette PNG, palette uint8 [256, 3]."""
    image = Image.fromarray(np.asarray(label_map).astype(np.uint8))
    image.putpalette(np.asarray(palette, dtype=np.uint8).flatten().tolist())
    stored = io.BytesIO()
    image.save(stored, format="PNG")
    return write_file(path, lambda stream: stream.write(stored.getvalue()))


def save_picture(path: Path, picture: np.ndarray) -> Path:
    """RGB picture, float [H, W, 3] in [0, 1], as PNG."""
    image = Image.fromarray(np.rint(255 * np.asarray(picture)).astype(np.uint8))
    return write_file(path, lambda stream: image.save(stream, format="PNG"))


def load_label_map(path: Path) -> Tensor:
    """Label map [H, W], uint8, from a palette or grey PNG."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"{path} has mode {image.mode}; a label map is a palette (P) or grey (L) PNG")
        return torch.from_numpy(np.array(image))
