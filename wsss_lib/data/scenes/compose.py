"""Scenes: one to three objects on a background, with everything that is known about each of them."""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from wsss_lib.data.scenes.dials import VERSION, Benchmark
from wsss_lib.data.scenes.figures import paint_object, paint_plant
from wsss_lib.data.scenes.looks import CLASSES, COVERS, PLANTS, body_look
from wsss_lib.data.scenes.placement import Placed, place, plant_before, spares
from wsss_lib.data.scenes.textures import FAMILIES, GROUNDS, paint_background

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom exclusive, px

SPLITS = ("train_aug", "val", "test")
#: units of an image with so many objects, as shares of its shorter side; an object is about 3 units long
UNITS = {1: (0.22, 0.27), 2: (0.19, 0.22), 3: (0.165, 0.185)}
WORTH_A_PROCESS = 10**6  # px; below, starting processes takes longer than drawing


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene. Boxes enclose what is visible.

    Attributes:
        class_index: from 0, without background.
        sub_category: from 0.
        box, part_box: of the object, and of its class-specific part (None if no pixel of it shows).
        facing: "Left" or "Right".
        truncated, occluded: some of it is cut by the border; more than a twentieth is hidden by something.
        area, part_area: visible pixels.
    """

    class_index: int
    sub_category: int
    box: Box
    part_box: Box | None
    facing: str
    truncated: bool
    occluded: bool
    area: int
    part_area: int


@dataclass(frozen=True)
class Region:
    """Anything that has a noun: an object, a piece of it, a plant, a ground.

    Attributes:
        noun: its name.
        box: what is visible of it.
        attributes: adjectives.
        of_object: index of the object that it is or belongs to, None for scenery.
    """

    noun: str
    box: Box
    attributes: tuple[str, ...] = ()
    of_object: int | None = None


@dataclass(frozen=True)
class Scene:
    """A picture with its annotations.

    Attributes:
        image: uint8 [H, W, 3].
        class_map: uint8 [H, W], 0 background, 1..K, without border.
        instance_map: uint8 [H, W], 0 background, object i is i + 1.
        objects: numbered as in ``instance_map``.
        regions: see :class:`Region`.
        background: family of the background.
    """

    image: NDArray[np.uint8]
    class_map: NDArray[np.uint8]
    instance_map: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    regions: tuple[Region, ...]
    background: str


def _choice(rng: Generator, options, weights=None):
    """One of the options, drawn from a single uniform number."""
    draw = rng.random()
    if weights is None:
        return options[int(draw * len(options))]
    ends = np.cumsum(weights) / np.sum(weights)
    return options[min(int(np.searchsorted(ends, draw, side="right")), len(options) - 1)]


def _box_of(mask: NDArray[np.bool_]) -> Box:
    """Smallest box around the true pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _image_size(rng: Generator, benchmark: Benchmark) -> tuple[int, int]:
    aspect = _choice(rng, benchmark.aspects)
    side = benchmark.side
    return (round(side / aspect), side) if aspect >= 1 else (side, round(side * aspect))


def _draw_background(rng: Generator, benchmark: Benchmark, first_class: int, even: bool) -> str:
    home = CLASSES[first_class].home
    if even:
        return _choice(rng, FAMILIES)
    if rng.random() < benchmark.background_correlation:
        return home
    return _choice(rng, [family for family in FAMILIES if family != home])


def _draw_classes(rng: Generator, benchmark: Benchmark, first_class: int, even: bool) -> tuple[list[int], str]:
    """Classes of the one to three objects, and the background."""
    background = _draw_background(rng, benchmark, first_class, even)
    classes = [first_class]
    at_home = [k for k in range(benchmark.num_classes) if CLASSES[k].home == CLASSES[first_class].home]
    for _ in range(_choice(rng, (0, 1, 2), (0.4, 0.4, 0.2))):
        herd = rng.random() < 0.2
        classes.append(_choice(rng, at_home if herd else range(benchmark.num_classes)))
    return classes, background


def _shadow(image: NDArray[np.floating], item: Placed, unit: float) -> None:
    """A soft dark ellipse on the ground under an object."""
    height, width = image.shape[:2]
    row, column = item.row + 0.9 * unit, item.column
    rows = slice(max(int(row - unit), 0), min(int(row + unit) + 1, height))
    columns = slice(max(int(column - 1.6 * unit), 0), min(int(column + 1.6 * unit) + 1, width))
    down = (np.arange(rows.start, rows.stop) + 0.5 - row)[:, None] / (0.3 * unit)
    across = (np.arange(columns.start, columns.stop) + 0.5 - column)[None, :] / (1.4 * unit)
    image[rows, columns] *= (1 - 0.38 * np.clip(1 - down * down - across * across, 0, 1))[..., None]


def _draw_object(rng: Generator, benchmark: Benchmark, class_index: int, unit: float) -> Placed:
    sub_category = int(rng.random() * benchmark.sub_categories)
    mirrored = rng.random() < 0.5
    angle = 0.7 * (rng.random() + rng.random() - 1)
    stamp = paint_object(
        rng, class_index, sub_category,
        unit=unit * (0.9 + 0.2 * rng.random()), angle=angle, mirrored=mirrored, part_to_body=benchmark.part_to_body,
    )  # fmt: skip
    return Placed(stamp, 0, 0, class_index, sub_category, "Left" if mirrored else "Right")


class _Picture:
    """The picture under the brush: colors, who owns each pixel, and which piece it shows."""

    def __init__(self, colors: NDArray[np.floating]) -> None:
        self.colors = colors
        height, width = colors.shape[:2]
        self.owner = np.zeros((height, width), dtype=np.uint8)
        self.piece = np.zeros((height, width), dtype=np.uint16)
        self.part = np.zeros((height, width), dtype=bool)
        self.pieces: list[tuple[str, int]] = []  # noun, owner

    def lay(self, item: Placed, owner: int) -> None:
        """Paint a stamp over the picture."""
        target, source = item.windows
        stamp = item.stamp
        coverage = stamp.coverage[source][..., None]
        self.colors[target] = self.colors[target] * (1 - coverage) + stamp.color[source]
        mask = stamp.mask[source]
        self.owner[target][mask] = owner
        self.part[target][mask] = stamp.part[source][mask]
        pieces = stamp.pieces[source][mask].astype(np.uint16)
        self.piece[target][mask] = np.where(pieces > 0, pieces + len(self.pieces), 0)
        self.pieces += [(name, owner) for name in stamp.names]


def _finish(rng: Generator, benchmark: Benchmark, colors: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lighting of the whole picture and pixel noise, then whole gray levels."""
    light = 0.88 + 0.2 * rng.random()
    warmth = 0.06 * (rng.random() - 0.5)
    colors = colors * (light * np.array([1 + warmth, 1.0, 1 - warmth])) * 255
    if benchmark.noise:
        grain = rng.random((3, *colors.shape)).sum(0) - 1.5  # near normal, standard deviation 1/2
        colors = colors + 2 * benchmark.noise * grain
    return np.clip(np.floor(colors + 0.5), 0, 255).astype(np.uint8)


def _objects(picture: _Picture, items: list[Placed]) -> tuple[SceneObject, ...]:
    found = []
    for number, item in enumerate(items, start=1):
        mine = picture.owner == number
        part = mine & picture.part
        area, whole, within = int(mine.sum()), int(item.stamp.mask.sum()), int(item.stamp.mask[item.windows[1]].sum())
        found.append(
            SceneObject(
                class_index=item.class_index,
                sub_category=item.sub_category,
                box=_box_of(mine),
                part_box=_box_of(part) if part.any() else None,
                facing=item.facing,
                truncated=within < whole,
                occluded=area < 0.95 * within,
                area=area,
                part_area=int(part.sum()),
            )
        )
    return tuple(found)


def _regions(
    benchmark: Benchmark, picture: _Picture, scene_objects, background: str, horizon: int
) -> tuple[Region, ...]:
    height, width = picture.owner.shape
    regions = [Region(GROUNDS[background], (0, horizon, width, height))]
    if horizon:
        regions.append(Region("sky", (0, 0, width, horizon)))
    for index, thing in enumerate(scene_objects):
        look = CLASSES[thing.class_index]
        noun = benchmark.classes[thing.class_index] if benchmark.class_names else look.nouns[thing.sub_category]
        adjective = body_look(thing.class_index, thing.sub_category).adjective
        regions.append(Region(noun, thing.box, (adjective,), index))
    least = max(3, height * width // 3000)
    sizes = np.bincount(picture.piece.ravel(), minlength=len(picture.pieces) + 1)
    for number, (noun, owner) in enumerate(picture.pieces, start=1):
        if sizes[number] >= least:
            regions.append(Region(noun, _box_of(picture.piece == number), (), owner - 1 if owner else None))
    return tuple(regions)


def _scatter_plants(rng: Generator, picture: _Picture, background: str, horizon: int) -> None:
    """Up to three plants on the ground, behind all objects."""
    height, width = picture.owner.shape
    for _ in range(_choice(rng, (0, 1, 2, 3))):
        noun = _choice(rng, PLANTS[background], (0.6, 0.25, 0.15))
        stamp = paint_plant(rng, noun, unit=min(height, width) * (0.06 + 0.07 * rng.random()))
        plant = Placed(stamp, int(horizon + 0.7 * (height - horizon) * rng.random()), int(width * rng.random()))
        if plant.locate(height, width):
            picture.lay(plant, 0)


def _cover(rng: Generator, picture: _Picture, items: list[Placed], background: str, occlusion: float, unit: float):
    """Plants before some of the objects, where enough of every object stays in sight."""
    for item in items:
        if rng.random() < occlusion:
            plant = plant_before(rng, item, _choice(rng, COVERS[background]), unit)
            if plant.locate(*picture.owner.shape) and spares(plant, picture.owner, picture.part, len(items)):
                picture.lay(plant, 0)


def make_scene(benchmark: Benchmark, split: str, index: int) -> Scene:
    """Scene number ``index`` of a split ("train_aug", "val" or "test"); the same at any time, alone or in a set."""
    rng = Generator(PCG64([benchmark.seed, VERSION, SPLITS.index(split), index]))
    height, width = _image_size(rng, benchmark)
    even = benchmark.even_test and split == "test"
    classes, background = _draw_classes(rng, benchmark, index % benchmark.num_classes, even)
    colors, horizon = paint_background(rng, height, width, background)
    picture = _Picture(colors)
    _scatter_plants(rng, picture, background, horizon)

    unit = min(height, width) * _choice(rng, UNITS[len(classes)]) * (0.9 + 0.2 * rng.random())
    items = [_draw_object(rng, benchmark, class_index, unit) for class_index in classes]
    items = place(rng, items, height, width, horizon, overlap=rng.random() < benchmark.occlusion)
    for number, item in enumerate(items, start=1):
        _shadow(picture.colors, item, unit)
        picture.lay(item, number)
    _cover(rng, picture, items, background, benchmark.occlusion, 0.5 * unit)

    objects = _objects(picture, items)
    class_of = np.array([0, *(item.class_index + 1 for item in items)], dtype=np.uint8)
    return Scene(
        image=_finish(rng, benchmark, picture.colors),
        class_map=class_of[picture.owner],
        instance_map=picture.owner,
        objects=objects,
        regions=_regions(benchmark, picture, objects, background, horizon),
        background=background,
    )


def make_scenes(benchmark: Benchmark) -> Iterator[Scene]:
    """All scenes of "train_aug", "val" and "test", in this order ("train" is the beginning of "train_aug").

    On Linux two processes draw a larger benchmark; every scene has its own random numbers, so they draw the same.
    """
    counts = {"train_aug": benchmark.num_train_aug, "val": benchmark.num_val, "test": benchmark.num_test}
    jobs = [(split, index) for split in SPLITS for index in range(counts[split])]
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2 or len(jobs) * benchmark.side**2 < WORTH_A_PROCESS:
        yield from (make_scene(benchmark, split, index) for split, index in jobs)
        return
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as processes:
        with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads; the children only use numpy
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            scenes = processes.map(make_scene, repeat(benchmark), *zip(*jobs, strict=True), chunksize=16)
        yield from scenes
