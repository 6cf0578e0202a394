"""Images, masks and lists as they lie on disk; what is wrong with a file is said with its name."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

Read = TypeVar("Read")


class DamagedFile(ValueError):
    """A file is there, but it cannot be decoded."""


def _decode(path: Path, what: str, read: Callable[[Image.Image], Read]) -> Read:
    try:
        with Image.open(path) as image:
            return read(image)
    except (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise DamagedFile(
            f"{what} {path} is corrupt or truncated ({error}); fetch it again, or leave it out with skip_corrupt"
        ) from error


def read_image(path: Path, *, upright: bool = False) -> Image.Image:
    """RGB image; ``upright`` turns a photograph as its camera noted.

    Raises:
        DamagedFile: it cannot be decoded.
    """
    return _decode(path, "image", lambda image: (ImageOps.exif_transpose(image) if upright else image).convert("RGB"))


def read_mask(path: Path) -> np.ndarray:
    """Label of every pixel, uint8 [H, W], from a palette or grey PNG.

    Raises:
        DamagedFile: it cannot be decoded.
        ValueError: it is a coloured picture.
    """

    def labels(image: Image.Image) -> np.ndarray:
        if image.mode not in ("P", "L"):
            raise ValueError(f"mask {path} has mode {image.mode}; a mask is a palette (P) or grey (L) PNG of labels")
        return np.array(image)

    return _decode(path, "mask", labels)


def check_decodes(path: Path, what: str) -> None:
    """Read a whole file as cheaply as it goes (JPEG: an eighth of the size).

    Raises:
        DamagedFile: it cannot be decoded.
    """

    def load(image: Image.Image) -> None:
        image.draft(None, (1, 1))
        image.load()

    _decode(path, what, load)


def files_by_stem(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> dict[str, os.DirEntry]:
    """Files of a folder by their name without suffix; one listing instead of one look-up per image."""
    with os.scandir(folder) as entries:
        found = (entry for entry in entries if entry.name.lower().endswith(suffixes))
        return {entry.name.rsplit(".", 1)[0]: entry for entry in found}


def read_ids(path: Path) -> list[str]:
    """Image ids of a list: the first word of each line, which may be a path (``/JPEGImages/2007_000032.jpg ...``).

    Raises:
        ValueError: the list is empty, or names an image twice.
    """
    words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    names = [word.rsplit("/", 1)[-1] for word in words]
    ids = [name.rsplit(".", 1)[0] if name.lower().endswith(IMAGE_SUFFIXES) else name for name in names]
    if not ids:
        raise ValueError(f"the list {path} is empty: a split needs at least one image id per line")
    if len(set(ids)) < len(ids):
        twice = next(name for position, name in enumerate(ids) if name in ids[:position])
        raise ValueError(f"the list {path} names {twice} twice; remove one line")
    return ids
