"""Tiny runs on a tiny data set of two classes, for the tests of the page: the same numbers each time."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsss_lib.store import save_label_map, save_maps, write_json, write_text

CLASSES = ("cat", "dog")
IMAGES = {"train": ["image_0"], "val": ["image_1", "image_2", "image_3"]}
PALETTE = np.zeros((256, 3), np.uint8)
HEIGHT, WIDTH = 24, 32
OWN_SCORE = 0.5


def mask_of(index: int) -> np.ndarray:
    """A cat on the left; a dog on the right of images of even number; one ignored row."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[6:18, 2:12] = 1
    if index % 2 == 0:
        mask[8:20, 20:30] = 2
    mask[12, 2:12] = 255
    return mask


def write_data(root: Path) -> Path:
    """A data set in VOC layout with classes of its own."""
    for folder in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    write_text(root / "classes.txt", "\n".join(["background", *CLASSES, ""]))
    for split, images in IMAGES.items():
        write_text(root / f"ImageSets/Segmentation/{split}.txt", "\n".join([*images, ""]))
        for name in images:
            mask = mask_of(int(name[-1]))
            colors = np.array([[90, 90, 90], [230, 140, 20], [40, 90, 220]], np.uint8)
            Image.fromarray(colors[np.where(mask == 255, 1, mask)]).save(root / f"JPEGImages/{name}.png")
            save_label_map(root / f"SegmentationClass/{name}.png", mask, PALETTE)
            objects = "".join(
                f"<object><name>{CLASSES[label - 1]}</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin>"
                "<xmax>9</xmax><ymax>9</ymax></bndbox></object>"
                for label in np.unique(mask[(mask > 0) & (mask < 255)])
            )
            size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
            write_text(root / f"Annotations/{name}.xml", f"<annotation>{size}{objects}</annotation>")
    return root


def maps_of(index: int, sharpness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps that fall from the middle of each object, and class labels; the sharper, the smaller."""
    mask = mask_of(index)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    centers = [(12, 7), (14, 25)]
    maps = torch.stack([(-sharpness * ((rows - r) ** 2 + (columns - c) ** 2) / 100).exp() for r, c in centers])
    present = torch.tensor([float((mask == label).any()) for label in (1, 2)])
    return maps * present[:, None, None], present


def write_run(outputs: Path, run: str, data: Path | str, kinds: dict[str, list[str]], sharpness: float = 1.0) -> None:
    """A finished run that keeps files of these images."""
    folder = outputs / run
    write_text(folder / "classes.txt", "\n".join(["background", *CLASSES, ""]))
    for kind, images in kinds.items():
        for name in images:
            if kind == "maps":
                save_maps(folder / f"maps/{name}.npz", *maps_of(int(name[-1]), sharpness))
            else:
                save_label_map(folder / kind / f"{name}.png", np.roll(mask_of(int(name[-1])), 1, 0), PALETTE)
    splits = {"choose_split": "train", "report_split": "val"}
    record = {
        "run": run,
        "title": "Made up",
        "hash": run,
        "parameters": {"data": str(data), "masks": "SegmentationClass", "other_classes": "background"} | splits,
        "scores": {"background_score": OWN_SCORE} if "maps" in kinds else {},
        "files": {f"{kind}/": {} for kind in kinds},
    }
    write_json(folder / "record.json", record)


def write_everything(root: Path) -> Path:
    """Three runs below ``root/outputs``: two with maps (the first with labels too), one with labels of val only."""
    data, outputs = write_data(root / "data"), root / "outputs"
    every, val = [*IMAGES["train"], *IMAGES["val"]], IMAGES["val"]
    write_run(outputs, "10_cam/smoke", data, {"maps": every, "labels": val})
    write_run(outputs, "13_mixup_cam/smoke", data, {"maps": every}, sharpness=2.0)
    write_run(outputs, "16_affinity/smoke", data, {"labels": val})
    return outputs
