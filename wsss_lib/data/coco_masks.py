"""Semantic masks from the instance annotations of COCO (81 labels), as a data set in the layout of VOC.

Polygons are drawn by PIL and run lengths decoded here, so that nothing has to be compiled; pycocotools is used where it
is installed. The two draw outlines alike up to a pixel.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from wsss_lib.data.reading import files_by_stem

CROWD = 255
Segmentation = list[list[float]] | dict[str, Any]


def coco_classes(categories: Iterable[dict]) -> tuple[dict[int, int], list[str]]:
    """Label of each category, numbered 1.. by the order of their ids, and their names in that order.

    >>> coco_classes([{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}])
    ({3: 1, 18: 2}, ['car', 'dog'])
    """
    ordered = sorted(categories, key=lambda category: category["id"])
    labels = {category["id"]: label for label, category in enumerate(ordered, start=1)}
    return labels, [category["name"] for category in ordered]


def semantic_mask(annotations: Sequence[dict], size: tuple[int, int], labels: dict[int, int]) -> np.ndarray:
    """Label of every pixel, uint8 [H, W]: large objects first, so that small ones lie on top; crowds are ignored (255).

    Args:
        annotations: of one image, with ``category_id``, ``segmentation``, ``area`` and ``iscrowd``.
        size: height and width, px.
        labels: see :func:`coco_classes`.
    """
    mask = np.zeros(size, np.uint8)
    crowds_first = sorted(annotations, key=lambda one: (not one.get("iscrowd"), -one.get("area", 0)))
    for annotation in crowds_first:
        value = CROWD if annotation.get("iscrowd") else labels[annotation["category_id"]]
        mask[instance_pixels(annotation["segmentation"], size)] = value
    return mask


def instance_pixels(segmentation: Segmentation, size: tuple[int, int]) -> np.ndarray:
    """Pixels of one object, bool [H, W], from polygons (x, y, x, y, ... px) or run lengths.

    Raises:
        ValueError: run lengths of another size.
    """
    if isinstance(segmentation, list):
        return polygon_pixels(segmentation, size)
    if tuple(segmentation["size"]) != tuple(size):
        raise ValueError(
            f"run lengths of {segmentation['size']} px for an image of {list(size)} px; wrong annotations?"
        )
    counts = segmentation["counts"]
    return run_length_pixels(uncompressed(counts) if isinstance(counts, str) else counts, size)


def polygon_pixels(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> np.ndarray:
    """Pixels inside any of the polygons, bool [H, W]; those with fewer than three corners are left out."""
    try:
        from pycocotools import mask as coco  # optional: compiled
    except ImportError:
        canvas = Image.new("1", size[::-1])
        for polygon in polygons:
            if len(polygon) >= 6:
                corners = (
                    np.reshape(polygon, (-1, 2)) - 0.5
                )  # COCO counts from the corner of a pixel, PIL from its middle
                ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners], fill=1)
        return np.array(canvas)
    whole = [list(polygon) for polygon in polygons if len(polygon) >= 6]
    return coco.decode(coco.merge(coco.frPyObjects(whole, *size))) > 0 if whole else np.zeros(size, bool)


def run_length_pixels(counts: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Runs of background and object in turn, down the columns, as bool [H, W].

    >>> run_length_pixels([1, 2, 1], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 0]]

    Raises:
        ValueError: the runs do not fill the image.
    """
    if sum(counts) != size[0] * size[1]:
        raise ValueError(
            f"runs of {sum(counts)} px for an image of {size[0]} x {size[1]} px; the annotation is damaged"
        )
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size[::-1]).T


def uncompressed(text: str) -> list[int]:
    """Run lengths from COCO's text form: five bits a character, lowest first, each from the third on a difference.

    >>> uncompressed("152O")
    [1, 5, 2, 4]
    """
    numbers, bits, shift = [], 0, 0
    for character in text:
        code = ord(character) - 48
        bits |= (code & 31) << shift
        shift += 5
        if not code & 32:
            numbers.append(bits - (1 << shift) if code & 16 else bits)
            bits, shift = 0, 0
    for place in range(3, len(numbers)):
        numbers[place] += numbers[place - 2]
    return numbers


def write_coco_as_voc(annotations: Path | str, images: Path | str, target: Path | str, split: str) -> Path:
    """Masks, a list and ``classes.txt`` in the layout of VOC; images are linked. What is there already is kept.

    Args:
        annotations: ``instances_train2014.json`` or alike.
        images: folder of the photographs, ``<file_name>`` of the annotations.
        target: folder of the data set; opened afterwards by :func:`wsss_lib.data.voc.open_dataset`.
        split: name of its list, for example ``train``.

    Returns:
        The target.

    Raises:
        FileNotFoundError: a photograph of the annotations is missing.
        ValueError: the target has other classes.
    """
    content = json.loads(Path(annotations).read_text())
    labels, names = coco_classes(content["categories"])
    target, of_image = Path(target), defaultdict(list)
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    folders = [target / name for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    write_classes(target / "classes.txt", names)
    found = files_by_stem(Path(images))
    listed = [Path(image["file_name"]).stem for image in content["images"]]
    if missing := [name for name in listed if name not in found]:
        raise FileNotFoundError(f"{images} lacks {len(missing)} of {len(listed)} photographs, the first {missing[0]}")
    done = files_by_stem(folders[1], (".png",))
    for name, image in zip(listed, content["images"], strict=True):
        photograph, link = Path(found[name].path), folders[0] / found[name].name
        if not link.exists():
            link.symlink_to(photograph.resolve())
        if name not in done:
            mask = semantic_mask(of_image[image["id"]], (image["height"], image["width"]), labels)
            replace(folders[1] / f"{name}.png", partial(Image.fromarray(mask).save, format="PNG"))
    replace(folders[2] / f"{split}.txt", lambda stream: stream.write("\n".join([*listed, ""]).encode()))
    return target


def write_classes(path: Path, names: Sequence[str]) -> None:
    text = "\n".join(["background", *names, ""])
    if path.exists() and path.read_text() != text:
        raise ValueError(f"{path} names other classes than the annotations; choose an empty folder")
    path.write_text(text)


def replace(path: Path, write: Any) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as stream:
        write(stream)
    os.replace(unfinished, path)
