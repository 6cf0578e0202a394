"""The benchmark as a folder: devkit of VOC, instances of COCO, regions of Visual Genome, groups as of Waterbirds."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from wsss_lib.data.scenes.annotations import coco_instances, genome_entries, palette_image, voc_masks, voc_xml
from wsss_lib.data.scenes.compose import SPLITS, Scene, make_scenes
from wsss_lib.data.scenes.dials import VERSION, Benchmark
from wsss_lib.data.scenes.looks import CLASSES
from wsss_lib.data.scenes.sentences import nouns, scene_sentences
from wsss_lib.data.scenes.textures import FAMILIES, WATER

PART_NAMES = {"beast": "head", "bird": "head", "vehicle": "cab", "vessel": "rig"}


class Digest:
    """Hash of scenes before they are encoded."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(f"version {VERSION}".encode())

    def add(self, scene: Scene) -> None:
        for pixels in (scene.image, scene.class_map, scene.instance_map):
            self._hash.update(str(pixels.shape).encode() + pixels.tobytes())
        facts = [[vars(thing) for thing in scene.objects], [vars(region) for region in scene.regions]]
        self._hash.update(json.dumps([facts, scene.background]).encode())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def image_id(number: int) -> str:
    """Name of image ``number``, counted from 1 over all splits, in the style of VOC 2012.

    >>> image_id(17)
    '2012_000017'
    """
    return f"2012_{number:06d}"


def _split_lists(benchmark: Benchmark) -> dict[str, list[int]]:
    """Numbers of the images of every split."""
    numbers = range(1, benchmark.num_images + 1)
    train_aug = list(numbers[: benchmark.num_train_aug])
    val = list(numbers[benchmark.num_train_aug : benchmark.num_train_aug + benchmark.num_val])
    train = train_aug[: benchmark.num_train]
    test = list(numbers[benchmark.num_train_aug + benchmark.num_val :])
    return {"train": train, "train_aug": train_aug, "val": val, "trainval": train + val, "test": test}


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _write_table(path: Path, header: str, rows: Iterable[Iterable]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows(rows)


def _link(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_folder(root: Path, benchmark: Benchmark) -> None:
    """Write everything below ``root``, which exists and is empty; ``benchmark.json`` comes last."""
    for folder in (
        "JPEGImages",
        "SegmentationClass",
        "SegmentationClassAug",
        "SegmentationObject",
        "Annotations",
        "VG_100K",
    ):
        (root / folder).mkdir()
    lists = _split_lists(benchmark)
    with_masks = {*lists["train"], *lists["val"], *lists["test"]}
    part_names = tuple(PART_NAMES[look.body] for look in CLASSES)
    digest, facts = Digest(), _Facts(benchmark)
    for number, scene in enumerate(make_scenes(benchmark), start=1):
        name = image_id(number)
        digest.add(scene)
        facts.add(number, scene)
        photograph = root / "JPEGImages" / f"{name}.jpg"
        Image.fromarray(scene.image).save(photograph, quality=95, subsampling=0)
        _link(photograph, root / "VG_100K" / f"{number}.jpg")
        xml = voc_xml(scene, name, benchmark.classes, part_names, number in with_masks)
        (root / "Annotations" / f"{name}.xml").write_text(xml, encoding="utf-8")
        augmented = root / "SegmentationClassAug" / f"{name}.png"
        if number in with_masks:
            class_mask, object_mask = voc_masks(scene)
            palette_image(class_mask).save(root / "SegmentationClass" / f"{name}.png")
            palette_image(object_mask).save(root / "SegmentationObject" / f"{name}.png")
            _link(root / "SegmentationClass" / f"{name}.png", augmented)
        else:
            palette_image(scene.class_map).save(augmented)
    facts.write(root, lists)
    summary = {
        "version": VERSION,
        "dials": asdict(benchmark),
        "hash": digest.hexdigest(),
        "classes": benchmark.classes,
        "homes": {name: look.home for name, look in zip(benchmark.classes, CLASSES, strict=False)},
        "families": FAMILIES,
        "sub_categories": {
            name: look.nouns[: benchmark.sub_categories] for name, look in zip(benchmark.classes, CLASSES, strict=False)
        },
    }
    (root / "benchmark.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


class _Facts:
    """What is gathered over all images and written at the end."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark
        self.images: list[dict] = []
        self.instances: dict[int, list[dict]] = {}
        self.present: dict[int, set[int]] = {}
        self.genome: tuple[list[dict], list[dict], list[dict]] = ([], [], [])
        self.groups: list[tuple] = []
        self.birds: list[tuple] = []
        self.num_instances = self.num_regions = 0

    def add(self, number: int, scene: Scene) -> None:
        height, width = scene.class_map.shape
        self.images.append({"id": number, "file_name": f"{image_id(number)}.jpg", "width": width, "height": height})
        self.instances[number] = coco_instances(scene, number, self.num_instances + 1)
        self.num_instances += len(scene.objects)
        self.present[number] = {thing.class_index for thing in scene.objects}
        for entries, entry in zip(self.genome, genome_entries(scene, number, self.num_regions + 1), strict=True):
            entries.append(entry)
        self.num_regions += len(scene.regions)
        self._add_groups(number, scene)

    def _split(self, number: int) -> int:
        """Index in ``SPLITS``, which is also the number that Waterbirds gives to train, val and test."""
        after = number - self.benchmark.num_train_aug
        return 0 if after <= 0 else 1 if after <= self.benchmark.num_val else 2

    def _add_groups(self, number: int, scene: Scene) -> None:
        split, place = self._split(number), int(scene.background in WATER)
        habitats = {k: int(CLASSES[k].home in WATER) for k in self.present[number]}
        for k, habitat in sorted(habitats.items()):
            row = (image_id(number), self.benchmark.classes[k], scene.background, SPLITS[split])
            self.groups.append((*row, habitat, place, 2 * habitat + place))
        if len(set(habitats.values())) == 1:
            largest = max(scene.objects, key=lambda thing: thing.area)
            left, top, right, bottom = largest.box
            box = (float(left), float(top), float(right - left), float(bottom - top))
            self.birds.append((number, next(iter(habitats.values())), split, place, scene.background, box))

    def write(self, root: Path, lists: dict[str, list[int]]) -> None:
        """Lists, tables and JSON files."""
        classes = self.benchmark.classes
        _write_lines(root / "classes.txt", ["background", *classes])
        for split, numbers in lists.items():
            _write_lines(root / "ImageSets" / "Segmentation" / f"{split}.txt", map(image_id, numbers))
            _write_lines(root / "ImageSets" / "Main" / f"{split}.txt", map(image_id, numbers))
            for k, name in enumerate(classes):
                signs = (f"{image_id(n)} {'1' if k in self.present[n] else '-1':>2}" for n in numbers)
                _write_lines(root / "ImageSets" / "Main" / f"{name}_{split}.txt", signs)
            if split != "trainval":
                self._write_instances(root / "annotations" / f"instances_{split}.json", numbers)
        for name, entries in zip(("objects", "attributes", "region_descriptions"), self.genome, strict=True):
            _write_json(root / f"{name}.json", entries)
        sizes = [{"image_id": image["id"], "width": image["width"], "height": image["height"]} for image in self.images]
        _write_json(root / "image_data.json", sizes)
        _write_table(root / "groups.csv", "image_id class background split y place group", self.groups)
        self._write_birds(root)
        rows = ((noun, group) for group, names in nouns(self.benchmark).items() for noun in names)
        _write_table(root / "nouns.csv", "noun group", rows)
        _write_lines(root / "scenes.txt", scene_sentences(self.benchmark))

    def _write_instances(self, path: Path, numbers: list[int]) -> None:
        content = {
            "info": {"description": f"embedded benchmark {self.benchmark.name}", "version": str(VERSION)},
            "licenses": [],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(self.benchmark.classes)],
            "images": [self.images[number - 1] for number in numbers],
            "annotations": [entry for number in numbers for entry in self.instances[number]],
        }
        _write_json(path, content)

    def _write_birds(self, root: Path) -> None:
        """Images whose classes have one habitat, in the files of Waterbirds and CUB (ids, names, boxes x y w h)."""
        files = {number: f"JPEGImages/{image_id(number)}.jpg" for number, *_ in self.birds}
        rows = [(number, files[number], y, split, place, family) for number, y, split, place, family, _ in self.birds]
        _write_table(root / "metadata.csv", "img_id img_filename y split place place_filename", rows)
        _write_lines(root / "images.txt", (f"{number} {file}" for number, file in files.items()))
        boxes = (f"{number} {' '.join(map(str, box))}" for number, *_, box in self.birds)
        _write_lines(root / "bounding_boxes.txt", boxes)
