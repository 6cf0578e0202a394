"""MS COCO instances: photographs, names and masks of the objects in them, from one JSON file."""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsss_lib.data.coco_masks import instance_pixels
from wsss_lib.data.reading import read_image
from wsss_lib.data.regions import RegionSample

NEEDED = ("images", "annotations", "categories")
OFFICIAL_VALUE = 1 / 255  # of masks in the authors' code, which divides the 0/1 bitmap as if it were a picture


def category_words(name: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    """Words of a category, in their order: each word of the name that has a vector.

    >>> category_words("traffic light"), category_words("hot dog", {"dog"})
    (('traffic', 'light'), ('dog',))
    """
    return tuple(word for word in name.split() if known is None or word in known)


class CocoRegions:
    """One split of COCO instances as regions with words.

    Attributes:
        ids: file names of the images with at least one usable object, in the order of their COCO ids.
        words: per image, the words of each object, in the order of the annotation ids.
        image_ids: COCO ids of the images.
        annotations: per image its usable annotations.
    """

    def __init__(
        self,
        annotations: Path | str,
        images: Path | str,
        *,
        known_words: Collection[str] | None = None,
        categories: Sequence[str] = (),
        crowds: bool = False,
        keep: Iterable[str] | None = None,
        form: str = "paper",
    ):
        """Read the annotations; images and masks are read later, one by one.

        Args:
            annotations: a file such as ``annotations/instances_val2017.json``.
            images: folder of the photographs.
            known_words: words that have a vector; an object none of whose words is known is left out.
            categories: names of the categories to keep; none named means all.
            crowds: keep regions of crowds (``iscrowd``), as the authors do.
            keep: file names of images to keep.
            form: ``paper``: masks of 0 and 1; ``official``: of 0 and 1/255, the slip of all published code.

        Raises:
            FileNotFoundError: no such file; the message says how to fetch it.
            ValueError: the file lacks a part, names an unknown category, or no object is left.
        """
        if form not in ("paper", "official"):
            raise ValueError(f"form {form!r} is not known; choose official or paper")
        self.path, self.folder, self.form = Path(annotations), Path(images), form
        content = read_instances(self.path)
        names = {category["id"]: category["name"] for category in content["categories"]}
        if unknown := [name for name in categories if name not in names.values()]:
            raise ValueError(
                f"no category {', '.join(unknown)} in {self.path.name}; it has {', '.join(names.values())}"
            )
        wanted = None if keep is None else set(keep)
        self._images = {image["id"]: image for image in content["images"]
                        if wanted is None or image["file_name"] in wanted}  # fmt: skip
        found: dict[int, list[tuple[dict[str, Any], tuple[str, ...]]]] = {}
        for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
            if entry["category_id"] not in names:
                raise ValueError(f"annotation {entry['id']} of {self.path.name} has the unknown category "
                                 f"{entry['category_id']}")  # fmt: skip
            name = names[entry["category_id"]]
            words = category_words(name, known_words)
            usable = words and entry["image_id"] in self._images and (crowds or not entry.get("iscrowd"))
            if usable and (not categories or name in categories):
                found.setdefault(entry["image_id"], []).append((entry, words))
        if not found:
            raise ValueError(f"no object of {self.path} is left: its categories have no word vector, or none is kept")
        self.image_ids = sorted(found)
        self.ids = [self._images[number]["file_name"] for number in self.image_ids]
        self.annotations = [[entry for entry, _ in found[number]] for number in self.image_ids]
        self.words = [[words for _, words in found[number]] for number in self.image_ids]

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> RegionSample:
        """One image with the masks of its objects.

        Raises:
            ValueError: the photograph has another size than the annotations say.
        """
        image = read_image(self.folder / self.ids[index])
        listed = self._images[self.image_ids[index]]
        if (image.height, image.width) != (listed["height"], listed["width"]):
            raise ValueError(
                f"{self.folder / self.ids[index]} is {image.height} x {image.width} px, {self.path.name} says "
                f"{listed['height']} x {listed['width']} (height x width); these annotations belong to other images"
            )
        return RegionSample(self.ids[index], image, self.words[index], self.masks(index))

    def masks(self, index: int) -> np.ndarray:
        """Masks of the objects of one image, [n, H, W]: uint8 of 0 and 1, or float of 0 and 1/255."""
        listed = self._images[self.image_ids[index]]
        size = listed["height"], listed["width"]
        pixels = [instance_pixels(entry["segmentation"], size) for entry in self.annotations[index]]
        masks = np.stack(pixels).astype(np.uint8)
        return masks * np.float32(OFFICIAL_VALUE) if self.form == "official" else masks

    def fingerprint(self) -> str:
        description = [self.path.name, self.form, self.ids, self.words]
        return hashlib.sha256(json.dumps(description).encode()).hexdigest()[:16]


def read_instances(path: Path) -> dict[str, Any]:
    """Content of an instances file.

    Raises:
        FileNotFoundError, ValueError: as :class:`CocoRegions`.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no COCO annotations at {path}; `python -m wsss_lib.data.download coco2017` fetches the data set"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); fetch it again") from error
    if missing := [part for part in NEEDED if not isinstance(content, dict) or part not in content]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it should be an instances_*.json file of COCO")
    return content
