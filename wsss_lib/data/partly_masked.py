"""A data set in which few images have a mask, and one of all images that a split does not name."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsss_lib.data.batch import Dataset, Sample
from wsss_lib.data.reading import IMAGE_SUFFIXES, files_by_stem
from wsss_lib.data.voc import ImageFolder, VocDataset, benchmark_root, named_folder, open_dataset

BACKGROUND, IGNORE = 0, 255
BOUNDARIES = ("ignore", "background")


def with_boundary(mask: np.ndarray, boundary: str = "ignore") -> np.ndarray:
    """The mask with ignored pixels (255, the boundary of the objects of VOC) as they are, or as background.

    Args:
        mask: uint8 [H, W].
        boundary: "ignore", or "background" as in the authors' code, in training and evaluation alike.

    >>> with_boundary(np.array([[0, 255, 3]], np.uint8), "background")
    array([[0, 0, 3]], dtype=uint8)
    """
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary {boundary!r} is not known; choose one of {', '.join(BOUNDARIES)}")
    return np.where(mask == IGNORE, BACKGROUND, mask).astype(mask.dtype) if boundary == "background" else mask


class PartlyMasked:
    """Images of one data set, masks of another (or the same) for some of them; all other pixels are ignored (255).

    Attributes:
        with_mask, without_mask: indices of the images with and without a mask, int64.

    Args:
        images: data set of all images; its image labels are used for those without a mask and for those with one.
        masked: data set with masks whose images are among them.
        chosen: rows of ``masked`` that keep their mask, see ``choose_labelled``; None keeps all.
        boundary: see :func:`with_boundary`.

    Raises:
        ValueError: an image with a mask is not among the images, or the classes differ.
    """

    has_masks = True

    def __init__(
        self, images: Dataset, masked: Dataset, chosen: Sequence[int] | None = None, *, boundary: str = "ignore"
    ):
        if images.classes != masked.classes:
            raise ValueError(
                f"classes differ: {', '.join(images.classes)} and, of the masks, {', '.join(masked.classes)}"
            )
        with_boundary(np.zeros(0, np.uint8), boundary)
        chosen = range(len(masked)) if chosen is None else chosen
        place = {name: row for row, name in enumerate(images.ids)}
        if strange := [masked.ids[row] for row in chosen if masked.ids[row] not in place]:
            raise ValueError(
                f"{len(strange)} images with a mask are not among the {len(images)} images, the first {strange[0]}; "
                "take the split with masks from the one of the images"
            )
        self._images, self._masked, self._boundary = images, masked, boundary
        self._row_of = {place[masked.ids[row]]: int(row) for row in chosen}
        self.classes, self.ids, self.class_labels = images.classes, images.ids, images.class_labels
        self.has_labels = images.has_labels
        self.with_mask = np.array(sorted(self._row_of), dtype=np.int64)
        self.without_mask = np.setdiff1d(np.arange(len(images)), self.with_mask)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> Sample:
        """One image with its image labels; the mask is 255 everywhere where there is none."""
        if index in self._row_of:
            sample = self._masked.read(self._row_of[index])
            mask = with_boundary(sample.mask, self._boundary)
        else:
            sample = self._images.read(index)
            mask = np.full((sample.image.height, sample.image.width), IGNORE, np.uint8)
        return replace(sample, class_labels=self.class_labels[index], mask=mask)

    def fingerprint(self) -> str:
        parts = [self._images.fingerprint(), self._masked.fingerprint(), self._boundary, *map(str, self.with_mask)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def all_but(names: Iterable[str], left_out: Iterable[str]) -> list[str]:
    """Names that are not left out, sorted.

    >>> all_but(["c", "a", "b"], ["b"])
    ['a', 'c']
    """
    return sorted(set(names).difference(left_out))


class AllButSplit(VocDataset):
    """Every image of a data set in VOC layout that a split does not name, sorted (15,676 images of VOC 2012 for val).

    Args:
        root: folder of the devkit.
        split: the list of the images to leave out.
        options: as of :class:`wsss_lib.data.voc.VocDataset`; masks are not read.
    """

    def __init__(self, root: Path | str, split: str, **options):
        super().__init__(root, split, **options | {"masks": "none"})

    def _read_split(self, lists: str, sbd: Path | str | None) -> tuple[list[str], set[str]]:
        listed, _ = super()._read_split(lists, sbd)
        return all_but(files_by_stem(self.root / "JPEGImages", IMAGE_SUFFIXES), listed), set()


def open_images(name: Path | str, split: str, **options) -> VocDataset | ImageFolder:
    """Images with their image labels, without masks.

    Args:
        name: as of :func:`wsss_lib.data.voc.open_dataset`.
        split: a list of the data set, or ``-`` and a list: every image that this list does not name (``-val``).
        options: as of :func:`wsss_lib.data.voc.open_dataset`.
    """
    options |= {"masks": "none"}
    if not split.startswith("-"):
        return open_dataset(name, split, **options)
    root = benchmark_root(None) if name == "benchmark" else named_folder(name)
    return AllButSplit(root, split[1:], **options)
