"""Boxes around objects, from the annotations of PASCAL VOC."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from wsss_lib.data.image_labels import annotated_objects

Box = tuple[int, tuple[float, float, float, float]]
"""Class k (0-based) and (left, top, right, bottom): px from the corner of the image, right and bottom exclusive."""


def boxes_from_xml(path: Path, classes: Sequence[str]) -> list[Box]:
    """Boxes of the objects of ``classes`` in one annotation; those of other classes are left out.

    VOC counts pixels from 1 and includes the last one, so a box of one pixel has equal corners there.

    Raises:
        ValueError: the file is not XML, or a box is incomplete or empty; the message names it.
        FileNotFoundError: there is no annotation.
    """
    columns = {name: column for column, name in enumerate(classes)}
    boxes = []
    for element in annotated_objects(path):
        name = element.findtext("name", "").strip()
        if name in columns:
            boxes.append((columns[name], _corners(element, path)))
    return boxes


def _corners(element: ET.Element, path: Path) -> tuple[float, float, float, float]:
    texts = [element.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        raise ValueError(f"annotation {path} has a box with the corners {texts}; each should be a number") from None
    if right < left or bottom < top:
        raise ValueError(f"annotation {path} has an empty box: xmin to xmax {left} to {right}, y {top} to {bottom}")
    return left - 1, top - 1, right, bottom
