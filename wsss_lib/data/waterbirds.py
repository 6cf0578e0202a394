"""Waterbirds: birds of two habitats on two kinds of background, with the boxes of CUB (Sagawa et al., ICLR 2020).

Waterbirds-100 (Petryk et al., CVPR 2022; Rao et al., ICCV 2023) shows every bird on its usual background in training
and validation, and on both in the test. The conventional task asks for the bird, the reversed one for the background;
the place to look at is the box of the bird, or everything outside it. The embedded benchmark writes the same files.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from wsss_lib.data.batch import Sample
from wsss_lib.data.boxes import Box
from wsss_lib.data.reading import read_image
from wsss_lib.data.voc import fingerprint, number_of_images

SPLITS = {"train": 0, "val": 1, "test": 2}
TASKS = {"bird": ("landbird", "waterbird"), "background": ("land", "water")}
GROUPS = ("landbird on land", "landbird on water", "waterbird on land", "waterbird on water")
NEEDED = ("img_id", "img_filename", "y", "split", "place")


def read_cub_boxes(path: Path) -> dict[str, tuple[float, float, float, float]]:
    """Boxes of ``bounding_boxes.txt``, lines ``id x y width height``, as corners by id.

    Raises:
        FileNotFoundError, ValueError: no such file, or a line is not that.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no boxes at {path}; `python -m wsss_lib.data.download cub` fetches them")
    boxes = {}
    for line in path.read_text().splitlines():
        try:
            number, left, top, width, height = line.split()[0], *map(float, line.split()[1:])
        except (IndexError, ValueError):
            raise ValueError(f"line {line!r} of {path} should be: id x y width height") from None
        boxes[number] = (left, top, left + width, top + height)
    return boxes


class Waterbirds:
    """One split of Waterbirds, one label of two per image.

    Attributes:
        classes: the two classes of the task.
        ids: file names without folder and suffix.
        class_labels: float [N, 2], one of them 1.
        groups: int64 [N], 2 * bird + place, see ``GROUPS``.
    """

    has_labels = True
    has_masks = False

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        task: Literal["bird", "background"] = "bird",
        boxes: Path | str | None = None,
        usual_only: bool = False,
        unusual_of: Sequence[str] = (),
        max_images: int | None = None,
    ):
        """Read the tables; images are read later, one by one.

        Args:
            root: folder of ``metadata.csv`` and the images it names.
            split: train, val or test.
            task: ``bird``: conventional; ``background``: reversed.
            boxes: ``bounding_boxes.txt`` of CUB; by default that of ``root``.
            usual_only: leave out birds on the background of the others, which makes Waterbirds-100 of any Waterbirds.
            unusual_of: other splits whose birds on unusual backgrounds are taken as well: images that a training with
                ``usual_only`` has not seen make the smallest groups of a test larger.
            max_images: only so many images of the split, and of ``unusual_of``, the first ones; 0 or None means all.

        Raises:
            FileNotFoundError: a table is missing; the message says how to fetch it.
            ValueError: unknown split or task, a table lacks a column, a bird has no box, or no image is left.
        """
        if not {split, *unusual_of} <= set(SPLITS) or task not in TASKS:
            named = ", ".join([split, *unusual_of])
            raise ValueError(f"split {named}, task {task}: choose from {', '.join(SPLITS)} and {', '.join(TASKS)}")
        self.root, self.split, self.task = Path(root), split, task
        self.classes = TASKS[task]
        first, also = number_of_images(max_images), {SPLITS[name] for name in unusual_of} - {SPLITS[split]}
        table = self._read_table()
        rows = [row for row in table if int(row["split"]) == SPLITS[split]]
        rows = [row for row in rows if not usual_only or row["y"] == row["place"]][:first]
        rows += [row for row in table if int(row["split"]) in also and row["y"] != row["place"]][:first]
        if not rows:
            raise ValueError(f"no image of split {split!r} in {self.root / 'metadata.csv'}")
        stored = read_cub_boxes(Path(boxes) if boxes else self.root / "bounding_boxes.txt")
        if missing := [row["img_id"] for row in rows if row["img_id"] not in stored]:
            raise ValueError(f"{len(missing)} images have no box, the first {missing[0]}; are the boxes those of CUB?")
        self._files = [row["img_filename"] for row in rows]
        self._boxes = [stored[row["img_id"]] for row in rows]
        self.ids = [Path(name).stem for name in self._files]
        birds, places = (torch.tensor([int(row[name]) for row in rows]) for name in ("y", "place"))
        self.groups = 2 * birds + places
        self.class_labels = torch.nn.functional.one_hot(birds if task == "bird" else places, 2).float()

    def _read_table(self) -> list[dict[str, str]]:
        path = self.root / "metadata.csv"
        if not path.is_file():
            raise FileNotFoundError(
                f"no table {path}; `python -m wsss_lib.data.download waterbirds` fetches Waterbirds"
            )
        with open(path, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if missing := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
                raise ValueError(f"{path} has no column {', '.join(missing)}")
            return list(reader)

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        return self.root / self._files[index]

    def read(self, index: int) -> Sample:
        """One image with its labels; it has no mask."""
        return Sample(self.ids[index], read_image(self.image_path(index)), self.class_labels[index], None)

    def read_boxes(self, index: int) -> list[Box]:
        """The box of the bird, with the class of the image (of either task)."""
        return [(int(self.class_labels[index].argmax()), self._boxes[index])]

    def fingerprint(self) -> str:
        description = {"split": self.split, "task": self.task, "ids": self.ids, "boxes": self._boxes}
        return fingerprint(description, self.groups.float(), [self.image_path(index) for index in range(len(self))])
