"""Where figures stand in a picture, so that enough of every object stays in sight."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsss_lib.data.scenes.figures import paint_plant
from wsss_lib.data.scenes.shapes import Stamp

LEAST_VISIBLE = 0.55  # share of an object that stays in sight
LEAST_INSIDE = 0.75  # share of it that the border does not cut off
LEAST_PART_VISIBLE = 0.6  # share of its class-specific part
MOST_TOUCHED = 0.02  # share of what is in the picture that others hide where objects do not overlap


@dataclass
class Placed:
    """A stamp and where its centre lies."""

    stamp: Stamp
    row: int
    column: int
    class_index: int = -1
    sub_category: int = 0
    facing: str = ""
    windows: tuple = field(default=(), repr=False)

    def locate(self, height: int, width: int) -> bool:
        """Find the overlap of stamp and picture; false if there is none."""
        radius = self.stamp.radius
        top, left = self.row - radius, self.column - radius
        rows = slice(max(top, 0), min(top + 2 * radius, height))
        columns = slice(max(left, 0), min(left + 2 * radius, width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return False
        source = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        self.windows = (rows, columns), source
        return True


def place(rng: Generator, items: list[Placed], height: int, width: int, horizon: int, overlap: bool) -> list[Placed]:
    """The objects with positions at which enough of each stays in sight, in the order of painting.

    The last one is left out if no such positions are found in some trials; a lonely first one goes to the middle.
    """
    while True:
        for _ in range(24):
            for item in items:
                item.row = int(0.8 * horizon + (height - 0.8 * horizon) * (0.2 + 0.62 * rng.random()))
                item.column = int(width * (0.1 + 0.8 * rng.random()))
            ordered = sorted(items, key=lambda item: item.row)
            if _in_sight(ordered, height, width, overlap):
                return ordered
        if len(items) == 1:
            items[0].row, items[0].column = height // 2, width // 2
            items[0].locate(height, width)
            return items
        items = items[:-1]


def _in_sight(items: list[Placed], height: int, width: int, overlap: bool) -> bool:
    """Whether every object shows enough of itself when the items are painted in this order."""
    owner = np.zeros((height, width), dtype=np.uint8)
    for number, item in enumerate(items, start=1):
        if not item.locate(height, width):
            return False
        target, source = item.windows
        owner[target][item.stamp.mask[source]] = number
    for number, item in enumerate(items, start=1):
        target, source = item.windows
        seen, mask, part = owner[target] == number, item.stamp.mask, item.stamp.part
        inside = mask[source].sum()
        if inside < LEAST_INSIDE * mask.sum() or (not overlap and seen.sum() < (1 - MOST_TOUCHED) * inside):
            return False
        if seen.sum() < LEAST_VISIBLE * mask.sum() or (seen & part[source]).sum() < LEAST_PART_VISIBLE * part.sum():
            return False
    return True


def plant_before(rng: Generator, item: Placed, noun: str, unit: float) -> Placed:
    """A plant whose upper half stands before the body of an object, rather at its far end from the part."""
    target, source = item.windows
    rows, columns = np.nonzero((item.stamp.mask & ~item.stamp.part)[source])
    order = np.argsort(columns if item.facing == "Right" else -columns, kind="stable")
    pick = order[int(rng.random() * 0.6 * len(order))]
    stamp = paint_plant(rng, noun, unit=unit)
    return Placed(stamp, target[0].start + int(rows[pick] + 0.4 * unit), target[1].start + int(columns[pick]))


def spares(plant: Placed, owner: NDArray[np.uint8], part: NDArray[np.bool_], num_objects: int) -> bool:
    """Whether enough of every object, and of its part, stays in sight behind the plant.

    Args:
        owner: uint8 [H, W], object i is i + 1.
        part: pixels of class-specific parts, bool [H, W].
    """
    target, source = plant.windows
    hidden, there = plant.stamp.mask[source], owner[target]
    lost = np.bincount(there[hidden], minlength=num_objects + 1)
    lost_part = np.bincount(there[hidden & part[target]], minlength=num_objects + 1)
    area = np.bincount(owner.ravel(), minlength=num_objects + 1)
    part_area = np.bincount(owner[part], minlength=num_objects + 1)
    return bool((lost <= 0.35 * area)[1:].all() and (lost_part <= 0.25 * part_area)[1:].all())
