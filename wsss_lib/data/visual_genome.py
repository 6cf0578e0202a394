"""Visual Genome: objects with boxes, their names cleaned to single words, one data set of regions."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wsss_lib.data.reading import files_by_stem, read_image
from wsss_lib.data.regions import RegionSample, boxes_to_masks

FOLDERS = ("VG_100K", "VG_100K_2")
Box = dict[str, int]
Cleaned = list[dict[str, Any]]  # {"image_id": 1, "objects": {"tree": [{"x", "y", "h", "w"}, ...]}}


def synset_word(synset: str) -> str:
    """The first word of a synset.

    >>> synset_word("traffic_light.n.01")
    'traffic'
    """
    return synset.partition(".")[0].partition("_")[0]


def clean_objects(
    entries: Iterable[Mapping[str, Any]],
    known_words: Collection[str],
    *,
    min_count: int = 100,
    aliases: Mapping[str, str] | None = None,
) -> Cleaned:
    """Objects of every image by word; words without a vector and rare words are dropped, images left empty too.

    Args:
        entries: content of ``objects.json``.
        known_words: words that have a vector.
        min_count: boxes that a word needs over all images (100 in the papers).
        aliases: name -> name that stands for it, used for objects without a synset (``object_alias.txt``).

    Raises:
        ValueError: an entry lacks a part.
    """
    found: list[tuple[int, list[tuple[str, Box]]]] = []
    for entry in entries:
        try:
            boxes = [
                (word, {side: thing[side] for side in ("x", "y", "h", "w")})
                for thing in entry["objects"]
                for word in _words(thing, aliases or {})
            ]
            found.append((entry["image_id"], [(word, box) for word, box in boxes if word in known_words]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"an entry of objects.json lacks {error}; each needs image_id and objects, an object "
                             "x, y, w, h and synsets or names") from error  # fmt: skip
    counts = Counter(word for _, boxes in found for word, _ in boxes)
    cleaned = []
    for image_id, boxes in found:
        objects: dict[str, list[Box]] = {}
        for word, box in boxes:
            if counts[word] >= min_count:
                objects.setdefault(word, []).append(box)
        if objects:
            cleaned.append({"image_id": image_id, "objects": objects})
    return cleaned


def _words(thing: Mapping[str, Any], aliases: Mapping[str, str]) -> list[str]:
    """A word for each synset of an object; without synsets the alias of its name, if there is one."""
    if thing.get("synsets"):
        return [synset_word(synset) for synset in thing["synsets"]]
    names = (name.strip().lower() for name in thing.get("names", ()))
    return [aliases[name].partition(" ")[0] for name in names if name in aliases][:1]


def read_aliases(path: Path) -> dict[str, str]:
    """Alias list of Visual Genome: one group a line, names joined by commas; the first stands for the others."""
    groups = (line.strip().split(",") for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.strip(): group[0].strip() for group in groups for name in group}


class GenomeRegions:
    """Objects of Visual Genome as regions with one word each.

    Attributes:
        ids: names of the images, their numbers as text, in the order of the file.
        words: per image, the word of each box, as one-word tuples.
    """

    def __init__(
        self,
        cleaned: Cleaned,
        root: Path | str,
        *,
        known_words: Collection[str] | None = None,
        keep: Iterable[str] | None = None,
        merge: bool = False,
        form: str = "paper",
    ):
        """Args:
            cleaned: from :func:`clean_objects`.
            root: folder that holds ``VG_100K`` (and ``VG_100K_2``).
            known_words: words to keep; all by default.
            keep: ids of images to keep.
            merge: one region a word, the union of its boxes (paper and authors), instead of one a box.
            form: ``paper``: masks [n, H, W]; ``official``: the authors' canvas [n, W, H], transposed and thus cut.

        Raises:
            ValueError: no image is left.
        """
        if form not in ("paper", "official"):
            raise ValueError(f"form {form!r} is not known; choose official or paper")
        self.root, self.merge, self.form = Path(root), merge, form
        wanted = None if keep is None else set(keep)
        self._boxes: list[list[tuple[str, list[Box]]]] = []
        self.ids: list[str] = []
        for entry in cleaned:
            objects = [(w, boxes) for w, boxes in entry["objects"].items() if known_words is None or w in known_words]
            regions = objects if merge else [(word, [box]) for word, boxes in objects for box in boxes]
            if regions and (wanted is None or str(entry["image_id"]) in wanted):
                self.ids.append(str(entry["image_id"]))
                self._boxes.append(regions)
        if not self.ids:
            raise ValueError("no image with a known word is left of Visual Genome; are these the right word vectors?")
        self.words = [[(word,) for word, _ in regions] for regions in self._boxes]
        self._files: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> RegionSample:
        """One image with the masks of its boxes.

        Raises:
            FileNotFoundError: there is no photograph of that number.
        """
        if not self._files:
            folders = [self.root / name for name in FOLDERS if (self.root / name).is_dir()]
            self._files = {stem: entry.path for folder in folders for stem, entry in files_by_stem(folder).items()}
        if self.ids[index] not in self._files:
            raise FileNotFoundError(f"no photograph {self.ids[index]} in {' or '.join(FOLDERS)} of {self.root}; "
                                    "`python -m wsss_lib.data.download visual_genome` fetches them")  # fmt: skip
        image = read_image(Path(self._files[self.ids[index]]))
        return RegionSample(self.ids[index], image, self.words[index], self.masks(index, image.height, image.width))

    def masks(self, index: int, height: int, width: int) -> np.ndarray:
        """Masks of the regions of one image, uint8 [n, height, width] (official form: [n, width, height])."""
        size = (height, width) if self.form == "paper" else (width, height)
        boxes = [[tuple(box[side] for side in "xywh") for box in boxes] for _, boxes in self._boxes[index]]
        return np.stack([boxes_to_masks(region, size).max(0) for region in boxes])

    def fingerprint(self) -> str:
        description = [self.form, self.merge, self.ids, self._boxes]
        return hashlib.sha256(json.dumps(description).encode()).hexdigest()[:16]
