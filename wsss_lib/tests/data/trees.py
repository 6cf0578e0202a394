"""Small data sets on disk, in the layouts of the real ones."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

CLASSES = ("bird", "cat", "dog")


def write_image(path: Path, height: int = 12, width: int = 16, seed: int = 0) -> Path:
    """A noisy photograph, so that its file is long enough to be cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path


def write_annotation(path: Path, names: Iterable[str]) -> Path:
    """Objects by name; every second one difficult, and each with a part, whose name is of no class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{number % 2}</difficult><part><name>head</name></part></object>"
        for number, name in enumerate(names)
    )
    path.write_text(f"<annotation><filename>{path.stem}.jpg</filename>{objects}</annotation>")
    return path


def write_list(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def stripes(labels: Sequence[int], height: int = 12, width: int = 16) -> np.ndarray:
    """A mask of upright stripes of equal width, one per label."""
    return np.repeat(np.asarray(labels, dtype=np.uint8)[np.arange(width) * len(labels) // width][None], height, axis=0)


def write_voc(root: Path, splits: dict[str, dict[str, Sequence[str]]], classes: Sequence[str] | None = CLASSES) -> Path:
    """A data set in VOC layout: per split and image the classes that it shows (with a stripe of background and of 255).

    ``classes`` None leaves out ``classes.txt``, as VOC itself does.
    """
    own = list(classes or ())
    if classes is not None:
        write_list(root / "classes.txt", ["background", *own])
    for split, images in splits.items():
        write_list(root / "ImageSets" / "Segmentation" / f"{split}.txt", images)
        for name in own:
            lines = [f"{image_id} {1 if name in shown else -1}" for image_id, shown in images.items()]
            write_list(root / "ImageSets" / "Main" / f"{name}_{split}.txt", lines)
        for number, (image_id, shown) in enumerate(images.items()):
            write_image(root / "JPEGImages" / f"{image_id}.jpg", seed=number)
            write_annotation(root / "Annotations" / f"{image_id}.xml", [*shown, *shown[:1]])
            labels = [0, *(own.index(name) + 1 for name in shown), 255]
            write_mask(root / "SegmentationClass" / f"{image_id}.png", stripes(labels))
    return root


def write_sbd(root: Path, train: dict[str, Sequence[int]], val: dict[str, Sequence[int]]) -> Path:
    """The Semantic Boundaries Dataset as its archive unpacks: per image the categories of its instances."""
    folder = root / "benchmark_RELEASE" / "dataset"
    for name, images in (("train", train), ("val", val)):
        write_list(folder / f"{name}.txt", images)
        for number, (image_id, categories) in enumerate(images.items()):
            write_image(folder / "img" / f"{image_id}.jpg", seed=100 + number)
            boundaries = np.empty((len(categories), 1), dtype=object)
            boundaries[:, 0] = [csc_matrix(np.eye(12, 16))] * len(categories)
            labels = stripes([0, *categories])
            for kind, entry in (("inst", "GTinst"), ("cls", "GTcls")):
                (folder / kind).mkdir(exist_ok=True)
                content = {"Segmentation": labels, "Boundaries": boundaries}
                if kind == "inst":
                    content["Categories"] = np.array(categories, dtype=np.uint8)[:, None]
                savemat(folder / kind / f"{image_id}.mat", {entry: content}, do_compression=True)
    return root


def cut_short(path: Path, share: float = 0.6) -> Path:
    """Leave only the beginning of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
