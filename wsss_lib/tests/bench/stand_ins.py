"""One small stand-in of VOC 2012 under the names and in the layouts of every data set that a paper file reads."""

import csv
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsss_lib.data.synthetic import write_stand_in
from wsss_lib.data.words import WordVectors, write_glove

DIMENSIONS = 300  # of the word vectors
SPLITS_2014 = {"train2014": "train_aug", "val2014": "val"}
PARTS_2014 = {"train2014_train_split": "train_aug", "train2014_val_split": "val"}  # of train2014, by NN-Explainer


def write_stand_ins(root: Path) -> Path:
    """Write VOC 2007 and 2012, COCO 2014 and 2017, Visual Genome, Waterbirds, CUB boxes and GloVe below ``root``."""
    voc = write_stand_in(root, "voc2012")
    link(voc, root / "VOCdevkit" / "VOC2007")
    link(voc, root / "waterbird_1.0_forest2water2")
    link(voc / "bounding_boxes.txt", root / "cub" / "CUB_200_2011" / "bounding_boxes.txt")
    for name in ("VG_100K", "objects.json", "attributes.json", "image_data.json"):
        link(voc / name, root / "visual_genome" / name)
    write_coco(voc, root / "coco2014", SPLITS_2014)
    for name, split in PARTS_2014.items():
        link(voc / "annotations" / f"instances_{split}.json", root / "coco2014" / "annotations" / f"{name}.json")
    write_coco(voc, root / "coco2017", {"train2017": "train_aug", "val2017": "val"})
    write_coco_masks(voc, root / "coco2014")
    write_vectors(voc, root / "glove" / f"glove.6B.{DIMENSIONS}d.txt")
    return root


def link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def write_coco(voc: Path, folder: Path, splits: dict[str, str]) -> None:
    """Instances of each split, and its photographs."""
    for name, split in splits.items():
        link(voc / "annotations" / f"instances_{split}.json", folder / "annotations" / f"instances_{name}.json")
        link(voc / "JPEGImages", folder / name)


def write_coco_masks(voc: Path, folder: Path) -> None:
    """COCO's masks in the layout of VOC, as ``wsss_lib.data.coco_masks`` writes them; pseudo labels beside them."""
    for name in ("JPEGImages", "Annotations", "classes.txt"):
        link(voc / name, folder / "voc" / name)
    link(voc / "SegmentationClassAug", folder / "voc" / "SegmentationClass")
    for name, split in SPLITS_2014.items():
        lists = folder / "voc" / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(voc / "ImageSets" / "Segmentation" / f"{split}.txt", lists / f"{name}.txt")
    link(voc / "SegmentationClassAug", folder / "sem_seg")
    (folder / "mask_irn").mkdir()
    for path in (voc / "SegmentationClassAug").iterdir():
        sure = np.asarray(Image.open(path)) > 0
        Image.fromarray((255 * sure).astype(np.uint8)).save(folder / "mask_irn" / path.name)


def write_vectors(voc: Path, path: Path) -> None:
    """Random vectors, in the text format of GloVe, of every word of the stand-in."""
    with open(voc / "nouns.csv", newline="", encoding="utf-8") as stream:
        names = [row["noun"] for row in csv.DictReader(stream)]
    names += (voc / "classes.txt").read_text(encoding="utf-8").split()
    words = sorted({word for name in names for word in (*name.split(), name.replace(" ", ""))})
    vectors = torch.randn(len(words), DIMENSIONS, generator=torch.Generator().manual_seed(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_glove(path, WordVectors(tuple(words), vectors))
