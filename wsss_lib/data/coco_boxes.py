"""MS COCO as images with class labels and boxes, from one instances file (detection, not segmentation)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from wsss_lib.data.batch import Sample
from wsss_lib.data.boxes import Box
from wsss_lib.data.coco import read_instances
from wsss_lib.data.reading import read_image
from wsss_lib.data.voc import fingerprint, number_of_images


class CocoDetection:
    """One split of COCO: every image of the file, in the order of the COCO ids, also those without an object.

    Attributes:
        classes: categories in the order of their ids, whose gaps are closed (the eighty of 2014 have ids 1 to 90).
        ids: file names without suffix.
        class_labels: float [N, K]; crowds count, as in the authors' code of model guidance.
    """

    has_labels = True
    has_masks = False

    def __init__(
        self,
        annotations: Path | str,
        images: Path | str,
        *,
        classes: Sequence[str] = (),
        crowds: bool = True,
        max_images: int | None = None,
    ):
        """Read the annotations; images are read later, one by one.

        Args:
            annotations: a file such as ``annotations/instances_val2014.json``.
            images: folder of the photographs.
            classes: names of the categories to keep, in this order; none named means all of them.
            crowds: keep the boxes of crowds.
            max_images: only so many images, the first ones; 0 or None means all.

        Raises:
            FileNotFoundError: no such file or folder.
            ValueError: the file lacks a part, names an unknown category or class, or a box is incomplete.
        """
        self.path, self.folder = Path(annotations), Path(images)
        content = read_instances(self.path)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder {self.folder} with the photographs of {self.path.name}")
        names = {entry["id"]: entry["name"] for entry in sorted(content["categories"], key=lambda entry: entry["id"])}
        self.classes = tuple(classes or names.values())
        if unknown := [name for name in self.classes if name not in names.values()]:
            raise ValueError(
                f"no category {', '.join(unknown)} in {self.path.name}; it has {', '.join(names.values())}"
            )
        columns = {number: self.classes.index(name) for number, name in names.items() if name in self.classes}
        listed = sorted(content["images"], key=lambda entry: entry["id"])[: number_of_images(max_images)]
        self._files = [entry["file_name"] for entry in listed]
        self.ids = [Path(name).stem for name in self._files]
        rows = {entry["id"]: row for row, entry in enumerate(listed)}
        self._boxes: list[list[Box]] = [[] for _ in listed]
        self.class_labels = torch.zeros(len(listed), len(self.classes))
        for entry in content["annotations"]:
            if (number := entry["category_id"]) not in names:
                raise ValueError(f"annotation {entry.get('id')} of {self.path.name} has the unknown category {number}")
            row, usable = rows.get(entry["image_id"]), crowds or not entry.get("iscrowd")
            if row is not None and number in columns and usable:
                self._boxes[row].append((columns[number], self._corners(entry)))
                self.class_labels[row, columns[number]] = 1

    def _corners(self, entry: dict) -> tuple[float, float, float, float]:
        try:
            left, top, width, height = map(float, entry["bbox"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"annotation {entry.get('id')} of {self.path.name} has the box {entry.get('bbox')}; it should be left, "
                "top, width and height"
            ) from None
        return left, top, left + width, top + height

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        return self.folder / self._files[index]

    def read(self, index: int) -> Sample:
        """One image with its labels; it has no mask."""
        return Sample(self.ids[index], read_image(self.image_path(index)), self.class_labels[index], None)

    def read_boxes(self, index: int) -> list[Box]:
        """Boxes of the chosen classes in one image, in the order of the file."""
        return self._boxes[index]

    def fingerprint(self) -> str:
        description = {"file": self.path.name, "classes": self.classes, "ids": self.ids, "boxes": self._boxes}
        return fingerprint(description, self.class_labels, [self.image_path(index) for index in range(len(self))])
