"""Data sets in the layout of the PASCAL VOC devkit, and a folder of a user's own photographs."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wsss_lib import paths
from wsss_lib.data.batch import Sample
from wsss_lib.data.boxes import Box, boxes_from_xml
from wsss_lib.data.image_labels import (
    labels_from_lists,
    labels_from_masks,
    labels_from_npy,
    labels_from_table,
    labels_from_xml,
)
from wsss_lib.data.reading import (
    IMAGE_SUFFIXES,
    DamagedFile,
    check_decodes,
    files_by_stem,
    read_ids,
    read_image,
    read_mask,
)
from wsss_lib.data.sbd import sbd_categories, sbd_folder, sbd_ids, sbd_mask

if TYPE_CHECKING:
    from wsss_lib.data.synthetic import Benchmark

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
BACKGROUND, IGNORE = 0, 255
OTHER_CLASSES = {"background": BACKGROUND, "ignore": IGNORE}
LIST_NAMES = {"train_aug": ("train_aug", "trainaug")}  # both spellings are in use
FETCH = "python -m wsss_lib.data.download"


def own_classes(root: Path) -> tuple[str, ...]:
    """Foreground classes of a data set: its ``classes.txt`` (line 1 is the background), else the twenty of VOC.

    Raises:
        ValueError: line 1 is not ``background``, a class stands there twice, or there are too many for a mask.
    """
    path = root / "classes.txt"
    if not path.exists():
        return VOC_CLASSES
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if names[:1] != ["background"]:
        raise ValueError(f"line 1 of {path} should read background; the classes follow, one a line")
    if len(set(names)) < len(names) or not 2 <= len(names) <= IGNORE:
        raise ValueError(f"{path} should name 1 to {IGNORE - 1} classes, each once, after the line background")
    return tuple(names[1:])


def number_of_images(max_images: int | None) -> int | None:
    """Where to cut a list of images; None keeps all.

    Raises:
        ValueError: a negative number.
    """
    if max_images and max_images < 0:
        raise ValueError(f"max_images {max_images} should be a number of images, or 0 for all")
    return max_images or None


def fetch_hint(root: Path) -> str:
    """The command that brings a data set, guessed from the name of its folder."""
    known = {"VOC2007": "voc2007", "VOC2012": "voc2012"}
    name = next((known[part] for part in reversed(root.parts) if part in known), "--list")
    return f"`{FETCH} {name}` " + ("names what can be fetched" if name == "--list" else "fetches it")


def keep_decodable(ids: Sequence[str], check: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Ids whose files decode, and those whose files do not; a warning counts and names the latter.

    Args:
        ids: images in order.
        check: raises ``DamagedFile`` for a damaged image; called from threads.
    """

    def damaged(name: str) -> bool:
        try:
            check(name)
        except DamagedFile:
            return True
        return False

    with ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads())) as threads:
        flags = list(threads.map(damaged, ids))
    kept = [name for name, flag in zip(ids, flags, strict=True) if not flag]
    left_out = [name for name, flag in zip(ids, flags, strict=True) if flag]
    if left_out:
        warnings.warn(
            f"skipped {len(left_out)} of {len(ids)} images, corrupt or truncated: {', '.join(left_out[:10])}"
            + (" ..." if len(left_out) > 10 else ""),
            stacklevel=3,
        )
    return kept, left_out


def fingerprint(description: dict, class_labels: Tensor, files: Sequence[Path]) -> str:
    """Hash of what a data set is: its description, image labels, and the sizes of its files in bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    digest.update(class_labels.numpy().tobytes())
    digest.update(np.array([file.stat().st_size for file in files], dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


class VocDataset:
    """One split of a data set in VOC devkit layout (JPEGImages, SegmentationClass, Annotations, ImageSets).

    Attributes:
        classes: foreground classes chosen, K of them; channel and label of class k are k and k + 1.
        ids: images of the split, in the order of its list.
        class_labels: float [N, K].
        has_labels, has_masks: whether image labels and masks were read.
        skipped: ids left out because a file is damaged.
    """

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        classes: Sequence[str] | None = None,
        other_classes: str = "background",
        masks: str = "SegmentationClass",
        labels: str = "xml",
        lists: str = "Segmentation",
        sbd: Path | str | None = None,
        max_images: int | None = None,
        skip_corrupt: bool = False,
        require_every_class: bool | None = None,
    ):
        """Open a split; images are read later, one by one.

        Args:
            root: folder of the devkit, for example ``VOCdevkit/VOC2012``.
            split: name of a list, for example ``train``; ``train_aug`` is also VOC ``train`` and the images of SBD that
                are not in VOC ``val``, if ``sbd`` is given and there is no such list.
            classes: the classes to keep, in this order; none named means all of them. No image is left out.
            other_classes: "background" or "ignore": what becomes of the masks of the other classes.
            masks: folder of the masks, below the root or absolute (``SegmentationClassAug``, pseudo labels), or "none".
                Images of SBD without a PNG there get their mask from SBD.
            labels: "xml" (all objects, difficult ones included; for images of SBD their instances), "masks", "main"
                (lists of ``ImageSets/Main``), "none", or a file below the root or absolute: ``cls_labels.npy`` or a
                ``.csv`` table.
            lists: folder of the split lists below ``ImageSets``: "Segmentation", or "Main" for VOC 2007.
            sbd: folder of the Semantic Boundaries Dataset.
            max_images: only so many images, the first of the list; 0 or None means all.
            skip_corrupt: read every file once now, and leave out damaged ones with one warning.
            require_every_class: refuse a class without images; by default if ``classes`` are named and the list is read
                whole.

        Raises:
            FileNotFoundError: the data set is missing or incomplete; the message says what to fetch.
            ValueError: bad lists, labels or options; the message names file and remedy.
        """
        self.root, self.split = Path(root), split
        if other_classes not in OTHER_CLASSES:
            raise ValueError(f"other_classes {other_classes!r} is not known; choose one of {', '.join(OTHER_CLASSES)}")
        self._check_folders(masks, labels, lists)
        self._all_classes = own_classes(self.root)
        self.classes = self._chosen_classes(classes)
        self._new_labels = self._label_table(OTHER_CLASSES[other_classes])
        self.has_masks, self.has_labels = masks != "none", labels != "none"

        self.ids, sbd_only = self._read_split(lists, sbd)
        self.ids = self.ids[: number_of_images(max_images)]
        self._sbd = sbd_folder(Path(sbd)) if sbd_only else None
        self._sbd_only = sbd_only.intersection(self.ids)
        self._images = self._files("JPEGImages", IMAGE_SUFFIXES)
        self._masks = self._files(masks, (".png",)) if self.has_masks else {}

        self.skipped: list[str] = []
        if skip_corrupt:
            self.ids, self.skipped = keep_decodable(self.ids, self._check_decodes)
            if not self.ids:
                raise ValueError(f"every image of split {split!r} of {self.root} is corrupt or truncated")
        table = self._read_labels(labels)
        self.class_labels = table[:, [self._all_classes.index(name) for name in self.classes]]
        if require_every_class is None:
            require_every_class = bool(classes) and not max_images
        if self.has_labels and require_every_class:
            self._check_every_class()
        self._description = {
            "classes": self.classes, "ids": self.ids, "labels": labels, "masks": masks, "other": other_classes
        }  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        return Path(self._images[self.ids[index]])

    def read(self, index: int) -> Sample:
        """One image with its labels and mask.

        Raises:
            DamagedFile: image or mask cannot be decoded.
            ValueError: the mask has another size than the image, or a label outside the class list.
        """
        image = read_image(self.image_path(index))
        mask = self._new_labels[self._read_mask(index)] if self.has_masks else None
        if mask is not None and mask.shape != (image.height, image.width):
            raise ValueError(
                f"mask {self._masks[self.ids[index]]} is {mask.shape[0]} x {mask.shape[1]} px, its image "
                f"{self.image_path(index)} is {image.height} x {image.width} px (height x width); make them equal"
            )
        return Sample(self.ids[index], image, self.class_labels[index], mask)

    def read_boxes(self, index: int) -> list[Box]:
        """Boxes of the chosen classes in one image, see :mod:`wsss_lib.data.boxes`."""
        return boxes_from_xml(self.root / "Annotations" / f"{self.ids[index]}.xml", self.classes)

    def fingerprint(self) -> str:
        files = [Path(found[name]) for found in (self._images, self._masks) for name in self.ids if found]
        return fingerprint(self._description, self.class_labels, files)

    def _check_folders(self, masks: str, labels: str, lists: str) -> None:
        needed = ["JPEGImages", f"ImageSets/{lists}"]
        needed += [masks] if masks != "none" else []
        needed += {"xml": ["Annotations"], "main": ["ImageSets/Main"], "none": [], "masks": []}.get(labels, [labels])
        missing = [name for name in needed if not (self.root / name).exists()]
        if not missing:
            return
        message = f"no data set in VOC layout at {self.root.absolute()}: it should hold {', '.join(needed)}; "
        message += f"missing: {', '.join(missing)}; {fetch_hint(self.root)}"
        inside = sorted(path.parent.name for path in self.root.glob("*/ImageSets"))
        if inside:
            message += f"; there are data sets inside: {', '.join(inside)}"
        if self.root.is_dir() and files_by_stem(self.root):
            message += "; for a folder of photographs alone, name the classes and set masks to none"
        if missing == ["Annotations"]:
            message += "; labels need no Annotations if they are read from masks, main or a file"
        if "SegmentationClassAug" in missing:
            message += "; SegmentationClassAug is not in the VOC archive: "
            message += f"`{FETCH} voc_aug`, or SegmentationClass together with SBD"
        raise FileNotFoundError(message)

    def _chosen_classes(self, classes: Sequence[str] | None) -> tuple[str, ...]:
        chosen = tuple(classes or self._all_classes)
        unknown = [name for name in chosen if name not in self._all_classes]
        if unknown or len(set(chosen)) < len(chosen):
            what = f"no class {', '.join(unknown)}" if unknown else "a class is named twice"
            raise ValueError(f"{what}; {self.root} has {', '.join(self._all_classes)}")
        return chosen

    def _label_table(self, other: int) -> np.ndarray:
        """New label of every old one, uint8 [256]."""
        table = np.full(256, other, dtype=np.uint8)
        table[BACKGROUND], table[IGNORE] = BACKGROUND, IGNORE
        for channel, name in enumerate(self.classes):
            table[self._all_classes.index(name) + 1] = channel + 1
        return table

    def _read_split(self, lists: str, sbd: Path | str | None) -> tuple[list[str], set[str]]:
        """Ids of the split, and those of them that only SBD has."""
        folder = self.root / "ImageSets" / lists
        listed = next((path for name in LIST_NAMES.get(self.split, (self.split,))
                       if (path := folder / f"{name}.txt").is_file()), None)  # fmt: skip
        if listed:
            return read_ids(listed), set()
        if self.split == "train_aug" and sbd is not None:
            train, val = read_ids(folder / "train.txt"), read_ids(folder / "val.txt")
            extra = sbd_ids(sbd_folder(Path(sbd))).difference(train, val)
            return train + sorted(extra), extra
        known = sorted(path.stem for path in folder.glob("*.txt") if not path.stem.startswith(self._class_prefixes()))
        message = f"unknown split {self.split!r}: {folder} has the lists {', '.join(known) or '(none)'}"
        if self.split == "train_aug":
            message += f"; train_aug can also be made with SBD (`{FETCH} sbd`), given as sbd"
        raise ValueError(message)

    def _class_prefixes(self) -> tuple[str, ...]:
        return tuple(f"{name}_" for name in self._all_classes)

    def _files(self, folder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
        """Path of the file of every id, of SBD where only SBD has it."""
        found = {name: entry.path for name, entry in files_by_stem(self.root / folder, suffixes).items()}
        for name in self._sbd_only:
            if folder == "JPEGImages":
                found[name] = str(self._sbd / "img" / f"{name}.jpg")
            else:
                found.setdefault(name, str(self._sbd / "cls" / f"{name}.mat"))
        missing = [name for name in self.ids if name not in found]
        missing += [name for name in self._sbd_only if not Path(found[name]).exists()]
        if missing:
            message = (
                f"{self.root / folder} lacks {len(missing)} of the {len(self.ids)} files of split {self.split!r}, "
            )
            message += f"the first {missing[0]}; {fetch_hint(self.root)}"
            if folder == "SegmentationClass":
                message += "; masks of train_aug are in SegmentationClassAug, and training on image labels needs none"
            raise FileNotFoundError(message)
        return {name: found[name] for name in self.ids}

    def _read_labels(self, source: str) -> Tensor:
        """Image labels over all classes of the data set, float [N, all]."""
        if source == "none":
            return torch.zeros(len(self.ids), len(self._all_classes))
        if source == "masks":
            if not self.has_masks:
                raise ValueError("labels from masks need masks; choose a folder of masks or other labels")
            return labels_from_masks(self.ids, self._read_mask, len(self._all_classes))
        if source == "main":
            return labels_from_lists(self.root / "ImageSets" / "Main", self.ids, self._all_classes)
        if source != "xml":
            path = self.root / source
            if path.suffix == ".csv":
                return labels_from_table(path, self.ids, self._all_classes)
            return labels_from_npy(path, self.ids, len(self._all_classes))
        of_voc = [name for name in self.ids if name not in self._sbd_only]
        annotations = [self.root / "Annotations" / f"{name}.xml" for name in of_voc]
        rows = dict(zip(of_voc, labels_from_xml(annotations, self._all_classes), strict=True))
        for name in self._sbd_only:
            rows[name] = torch.zeros(len(self._all_classes))
            rows[name][[number - 1 for number in sbd_categories(self._sbd / "inst" / f"{name}.mat")]] = 1
        return torch.stack([rows[name] for name in self.ids])

    def _read_mask(self, index: int) -> np.ndarray:
        """Labels of the data set's own list, uint8 [H, W]."""
        path = Path(self._masks[self.ids[index]])
        mask = sbd_mask(path) if path.suffix == ".mat" else read_mask(path)
        highest = int(np.where(mask == IGNORE, 0, mask).max(initial=0))
        if highest > len(self._all_classes):
            raise ValueError(
                f"mask {path} holds the label {highest}; the class list of {self.root} has 0 (background) to "
                f"{len(self._all_classes)} ({self._all_classes[-1]}), and {IGNORE} for ignored pixels"
            )
        return mask

    def _check_decodes(self, name: str) -> None:
        check_decodes(Path(self._images[name]), "image")
        if self.has_masks:
            path = Path(self._masks[name])
            sbd_mask(path) if path.suffix == ".mat" else check_decodes(path, "mask")

    def _check_every_class(self) -> None:
        absent = [name for name, count in zip(self.classes, self.class_labels.sum(0), strict=True) if not count]
        if absent:
            raise ValueError(
                f"no image of {', '.join(absent)} among the {len(self)} of split {self.split!r} of {self.root}; "
                "leave the class out, or choose another split or more images"
            )


class ImageFolder:
    """Photographs of a folder, without masks and labels: ``class_labels`` is 0 and ``has_labels`` is False.

    Attributes as in :class:`VocDataset`; ids are file names, without suffix where that is unique.
    """

    has_labels = False
    has_masks = False

    def __init__(
        self,
        folder: Path | str,
        classes: Sequence[str],
        *,
        max_images: int | None = None,
        skip_corrupt: bool = False,
    ):
        """Find the photographs; sub-folders are not searched.

        Args:
            folder: where they lie.
            classes: foreground classes that the network knows.
            max_images: only so many, the first by name; 0 or None means all.
            skip_corrupt: read every file once now, and leave out damaged ones with one warning.

        Raises:
            FileNotFoundError: no such folder, or no photograph in it.
        """
        self.root, self.classes = Path(folder), tuple(classes)
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root.absolute()}; name a folder of photographs")
        found = sorted(path for path in self.root.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        found = found[: number_of_images(max_images)]
        if not found:
            raise FileNotFoundError(
                f"no photograph in {self.root.absolute()}; its files should end in {', '.join(IMAGE_SUFFIXES)}"
            )
        stems = [path.stem for path in found]
        self._images = {path.stem if stems.count(path.stem) == 1 else path.name: path for path in found}
        self.ids, self.skipped = list(self._images), []
        if skip_corrupt:
            self.ids, self.skipped = keep_decodable(self.ids, lambda name: check_decodes(self._images[name], "image"))
            if not self.ids:
                raise ValueError(f"every photograph in {self.root} is corrupt or truncated")
        self.class_labels = torch.zeros(len(self.ids), len(self.classes))

    def __len__(self) -> int:
        return len(self.ids)

    def image_path(self, index: int) -> Path:
        return self._images[self.ids[index]]

    def read(self, index: int) -> Sample:
        """One photograph, turned upright as its camera noted."""
        return Sample(self.ids[index], read_image(self.image_path(index), upright=True), self.class_labels[index], None)

    def fingerprint(self) -> str:
        description = {"classes": self.classes, "ids": self.ids}
        return fingerprint(description, self.class_labels, [self._images[name] for name in self.ids])


def open_dataset(
    name: Path | str,
    split: str,
    *,
    classes: Sequence[str] | None = None,
    other_classes: str = "background",
    masks: str = "SegmentationClass",
    labels: str = "xml",
    lists: str = "Segmentation",
    sbd: str = "sbd",
    max_images: int | None = None,
    skip_corrupt: bool = False,
    require_every_class: bool | None = None,
    benchmark: "Benchmark | None" = None,
) -> VocDataset | ImageFolder:
    """Open the data set that a parameter names.

    Args:
        name: "benchmark" (the embedded one, written when missing); a folder below ``$WSSS_DATA``; or, absolute or
            beginning with ``.`` or ``~``, any folder. A folder in VOC layout becomes a :class:`VocDataset`; one without
            ``ImageSets`` an :class:`ImageFolder`, if ``classes`` are named and ``masks`` is "none".
        split: see :class:`VocDataset`; a folder of photographs has none.
        sbd: name of the SBD folder below ``$WSSS_DATA``, looked up when ``train_aug`` has no list.
        benchmark: dials of the embedded benchmark; the demo's by default.
        classes, other_classes, masks, labels, lists, max_images, skip_corrupt, require_every_class: see
            :class:`VocDataset`.

    Raises:
        FileNotFoundError, ValueError: as :class:`VocDataset` and :class:`ImageFolder`.
    """
    root = benchmark_root(benchmark) if name == "benchmark" else named_folder(name)
    if not (root / "ImageSets").is_dir() and masks == "none" and classes:
        return ImageFolder(root, classes, max_images=max_images, skip_corrupt=skip_corrupt)
    try:
        sbd_root = named_folder(sbd) if split == "train_aug" else None
    except FileNotFoundError:
        sbd_root = None  # the list may be there; if it is not, the data set says what is missing
    return VocDataset(
        root,
        split,
        classes=classes,
        other_classes=other_classes,
        masks=masks,
        labels=labels,
        lists=lists,
        sbd=sbd_root,
        max_images=max_images,
        skip_corrupt=skip_corrupt,
        require_every_class=require_every_class,
    )


def benchmark_root(benchmark: "Benchmark | None") -> Path:
    """Folder of the embedded benchmark, which is written if it is not there."""
    from wsss_lib.data.synthetic import Benchmark, ensure_benchmark

    return ensure_benchmark(benchmark or Benchmark())


def named_folder(name: Path | str) -> Path:
    """The folder that a parameter means: below ``$WSSS_DATA`` unless absolute or beginning with ``.`` or ``~``.

    Raises:
        FileNotFoundError: nothing there.
    """
    path = Path(name).expanduser()
    if path.is_absolute() or str(name).startswith("."):
        return path
    try:
        return paths.data_path(str(name))
    except FileNotFoundError as error:
        wanted = "there should be a data set in VOC layout (JPEGImages, ImageSets, ...) or a folder of photographs"
        raise FileNotFoundError(f"{error}; {wanted}; {fetch_hint(path)}") from None
