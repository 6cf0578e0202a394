"""The door to data sets of regions: COCO instances or Visual Genome objects, whole or one split of their images."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from wsss_lib.data.coco import CocoRegions
from wsss_lib.data.reading import read_ids
from wsss_lib.data.regions import RegionDataset
from wsss_lib.data.visual_genome import GenomeRegions, clean_objects, read_aliases

REFERENCES = ("coco", "visual_genome")


def open_regions(
    root: Path,
    reference: str,
    split: str,
    *,
    known_words: Collection[str],
    max_images: int = 0,
    min_count: int = 100,
    train_share: float = 0.9,
    seed: int = 0,
) -> RegionDataset:
    """One split of a data set of regions.

    COCO has a file for each split. Visual Genome has lists in ``ImageSets/Segmentation`` (the embedded benchmark), or
    is split at random by images: no image gives boxes to both ``train`` and ``val``, unlike in the published code.

    Args:
        root: folder of the data set.
        reference: ``coco`` or ``visual_genome``.
        split: such as ``train2017`` (COCO), ``train``, ``val``, or a list's name (Visual Genome).
        known_words: words that have a vector.
        max_images: only so many images, the first; 0 takes all.
        min_count: boxes that a word of Visual Genome needs over all images.
        train_share: share of the images of Visual Genome in ``train`` where there are no lists.
        seed: of that split.

    Raises:
        FileNotFoundError, ValueError: as the data sets; the message names the remedy.
    """
    if reference not in REFERENCES:
        raise ValueError(f"reference {reference!r} is not known; choose one of {', '.join(REFERENCES)}")
    if reference == "coco":
        photographs = next((root / name for name in ("JPEGImages", split, "images") if (root / name).is_dir()), root)
        annotations = root / "annotations" / f"instances_{split}.json"
        everything = CocoRegions(annotations, photographs, known_words=known_words)
        if not max_images or len(everything) <= max_images:
            return everything
        return CocoRegions(annotations, photographs, known_words=known_words, keep=everything.ids[:max_images])
    path = root / "objects.json"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; `python -m wsss_lib.data.download visual_genome` fetches Visual Genome")
    aliases = read_aliases(root / "object_alias.txt") if (root / "object_alias.txt").is_file() else {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    cleaned = clean_objects(entries, known_words, min_count=min_count, aliases=aliases)
    kept = split_of_images(root, [str(entry["image_id"]) for entry in cleaned], split, train_share, seed)
    return GenomeRegions(cleaned, root, keep=kept[: max_images or None])


def split_of_images(root: Path, ids: list[str], split: str, train_share: float, seed: int) -> list[str]:
    """Images of one split of Visual Genome.

    Raises:
        ValueError: there is no such split.
    """
    lists = root / "ImageSets" / "Segmentation"
    if lists.is_dir():
        if not (lists / f"{split}.txt").is_file():
            raise ValueError(
                f"no split {split!r}; {lists} has {', '.join(sorted(p.stem for p in lists.glob('*.txt')))}"
            )
        listed = {str(int(name.rpartition("_")[2])) for name in read_ids(lists / f"{split}.txt")}
        return [name for name in ids if name in listed]
    if split not in ("train", "val"):
        raise ValueError(f"no split {split!r} of Visual Genome; its images are split at random into train and val")
    order = np.random.default_rng(seed).permutation(len(ids))
    number = round(train_share * len(ids))
    chosen = order[:number] if split == "train" else order[number:]
    return [ids[place] for place in sorted(chosen.tolist())]
