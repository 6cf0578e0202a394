"""Boxes on the grid of a network's input: scaled to a square, and filled as masks of one class each."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from wsss_lib.data.boxes import Box

Form = Literal["official", "paper"]


def check_form(form: str) -> None:
    if form not in ("official", "paper"):
        raise ValueError(f"form {form!r} is not known; choose official or paper")


def scale_boxes(
    boxes: Sequence[Box],
    size: tuple[int, int],
    new_size: tuple[int, int],
    *,
    form: Form = "official",
    counted_from: int = 0,
) -> list[Box]:
    """Boxes of an image that is resized without keeping its aspect, in whole px.

    Args:
        boxes: in px of the image, right and bottom exclusive.
        size, new_size: height and width before and after, px.
        form: ``official`` (Rao et al., authors' code): truncated, and at most side - 1, so that the last row and column
            are never inside and a small box may vanish. ``paper``: every pixel that the box touches.
        counted_from: 1 repeats the authors' reading of VOC (``official`` only), whose corners count from 1: left and
            top lie one px further in.

    >>> scale_boxes([(3, (10.0, 0.0, 100.0, 50.0))], (50, 100), (224, 224))
    [(3, (22, 0, 223, 223))]
    >>> scale_boxes([(3, (10.0, 0.0, 100.0, 50.0))], (50, 100), (224, 224), form="paper")
    [(3, (22, 0, 224, 224))]
    """
    check_form(form)
    sides = ((new_size[1], size[1]), (new_size[0], size[0])) * 2  # of left, top, right, bottom

    def official(corners: tuple[float, ...]) -> tuple[int, ...]:
        shifted = (corners[0] + counted_from, corners[1] + counted_from, *corners[2:])
        return tuple(int(min(max(at * new / old, 0), new - 1)) for at, (new, old) in zip(shifted, sides, strict=True))

    def touched(corners: tuple[float, ...]) -> tuple[int, ...]:
        exact = [min(max(round(at * new / old, 6), 0), new) for at, (new, old) in zip(corners, sides, strict=True)]
        return math.floor(exact[0]), math.floor(exact[1]), math.ceil(exact[2]), math.ceil(exact[3])

    whole = official if form == "official" else touched
    return [(label, whole(corners)) for label, corners in boxes]


def box_masks(boxes: Sequence[Sequence[Box]], num_classes: int, size: tuple[int, int]) -> Tensor:
    """Where the boxes of each class are, bool [B, K, H, W]; an image without boxes has empty masks.

    Args:
        boxes: of B images, in px of the masks.
        num_classes: K.
        size: height and width of the masks, px.

    >>> box_masks([[(1, (0, 0, 2, 1))]], 2, (2, 2)).int().tolist()
    [[[[0, 0], [0, 0]], [[1, 1], [0, 0]]]]
    """
    images = torch.arange(len(boxes)).repeat_interleave(num_classes)
    masks = pair_masks(boxes, images, torch.arange(num_classes).repeat(len(boxes)), size)
    labels = [label for of_image in boxes for label, _ in of_image]
    if labels and not 0 <= min(labels) <= max(labels) < num_classes:
        raise ValueError(f"boxes have the classes {min(labels)} to {max(labels)}, not 0 to {num_classes - 1}")
    return masks.view(len(boxes), num_classes, *size)


def pair_masks(
    boxes: Sequence[Sequence[Box]],
    image_indices: Sequence[int] | Tensor,
    class_indices: Sequence[int] | Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Union of the boxes of one class in one image, for each pair of them, bool [P, H, W].

    Far smaller than :func:`box_masks` where there are many classes, of which an image has two or three.

    Args:
        boxes: of B images, in px of the masks.
        image_indices, class_indices: [P], place in the batch and class of each pair.
        size: height and width of the masks, px.
    """
    masks = torch.zeros(len(image_indices), *size, dtype=torch.bool)
    pairs = zip(torch.as_tensor(image_indices).tolist(), torch.as_tensor(class_indices).tolist(), strict=True)
    for mask, (image, wanted) in zip(masks, pairs, strict=True):
        for label, (left, top, right, bottom) in boxes[image]:
            if label == wanted:
                mask[int(max(top, 0)) : int(bottom), int(max(left, 0)) : int(right)] = True
    return masks
