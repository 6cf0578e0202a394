"""Training crop of BECO: an image, its label map and its confidence mask cut, resized and mirrored alike."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import IGNORE, Normalization, mask_tensor, normalized, resize_mask, to_pixels

FORMS = ("official", "paper")
ASPECTS = (3 / 4, 4 / 3)
TRIES = 10

Crop = tuple[int, int, int, int]  # top, left, height, width, px


def read_confidence(path: Path) -> np.ndarray:
    """Confidence mask, uint8 0 or 1 [H, W], from a grey or colored PNG of 0 and 255 (or 1).

    Raises:
        FileNotFoundError: no such file.
    """
    if not path.exists():
        raise FileNotFoundError(f"no confidence mask {path}; name the run or folder that has one for every image")
    with Image.open(path) as image:
        values = np.asarray(image)
    return ((values if values.ndim == 2 else values[..., 0]) > 0).astype(np.uint8)


def draw_area_crop(
    height: int, width: int, areas: tuple[float, float], draws: Draws, aspects: tuple[float, float] = ASPECTS
) -> Crop:
    """Random window of an area that is a share of the image's, and a log-uniform aspect ratio; as torchvision draws it.

    After ten windows that do not fit, the largest one in the middle whose aspect ratio is allowed.

    Args:
        areas: smallest and largest share of the area.
        aspects: smallest and largest width / height.
    """

    def uniform(low: float, high: float) -> float:
        return torch.empty(1).uniform_(low, high, generator=draws.torch).item()

    def place(room: int) -> int:
        return int(torch.randint(0, room + 1, (1,), generator=draws.torch))

    for _ in range(TRIES):
        area = height * width * uniform(*areas)
        aspect = math.exp(uniform(*(float(torch.log(torch.tensor(bound))) for bound in aspects)))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            return place(height - crop_height), place(width - crop_width), crop_height, crop_width
    crop_width, crop_height = width, height
    if width / height < aspects[0]:
        crop_height = round(width / aspects[0])
    elif width / height > aspects[1]:
        crop_width = round(height * aspects[1])
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def draw_scale_crop(height: int, width: int, size: tuple[int, int], scales: tuple[float, ...], draws: Draws) -> Crop:
    """Random window that fills ``size`` at one of several scales; it may reach beyond a small image."""
    scale = draws.choice(scales)
    crop_height, crop_width = max(1, round(size[0] / scale)), max(1, round(size[1] / scale))
    rooms = height - crop_height, width - crop_width
    top, left = (draws.randint(min(0, room), max(0, room)) for room in rooms)
    return top, left, crop_height, crop_width


def cut(image: Image.Image, mask: np.ndarray, crop: Crop, size: tuple[int, int], color: tuple[int, int, int]):
    """Window of an image (bilinear) and of a mask (nearest) at a new size; beyond the image ``color`` and 255."""
    top, left, height, width = crop
    box = (left, top, left + width, top + height)
    canvas = Image.new("RGB", (width, height), color)
    canvas.paste(image, (-left, -top))
    inside = Image.new("L", (width, height), IGNORE)
    inside.paste(Image.fromarray(mask), (-left, -top))
    beyond = min(left, top) < 0 or box[2] > image.width or box[3] > image.height
    window = canvas if beyond else image.crop(box)
    return window.resize(size[::-1], Image.Resampling.BILINEAR), resize_mask(np.asarray(inside), size)


@dataclass(frozen=True)
class LabelledCrop:
    """Random window, resized and mirrored half of the time; the mask of the batch is [2, h, w]: labels and confidence.

    Attributes:
        size: height and width of the result, px.
        folder: holds the confidence masks as ``<id>.png``; None trusts every pixel whose label is not 255.
        areas: form "official": shares of the image's area, the first two numbers of the authors' list of scales.
        scales: form "paper": factors, one of which is drawn, as the list was meant; beyond the image the canvas has
            the mean color, the label 255 and no confidence.
        form: "official" or "paper".
    """

    normalization: Normalization
    size: tuple[int, int]
    folder: Path | None = None
    areas: tuple[float, float] = (0.5, 0.75)
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5, 1.75, 2.0)
    form: str = "official"

    def __post_init__(self):
        if self.form not in FORMS:
            raise ValueError(f"form {self.form!r} is not known; choose one of {', '.join(FORMS)}")
        if min(*self.size, *self.areas, *self.scales) <= 0 or max(self.areas) > 1:
            raise ValueError(
                f"size {self.size}, areas {self.areas} and scales {self.scales} should be positive, areas at most 1"
            )

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor]:
        sides = sample.image.height, sample.image.width
        confidence = read_confidence(self.folder / f"{sample.id}.png") if self.folder else sample.mask != IGNORE
        if confidence.shape != sides or sample.mask.shape != sides:
            raise ValueError(
                f"{sample.id} is {sides} px, its labels {sample.mask.shape}, its confidence mask {confidence.shape}; "
                "make them from maps of this data set, at the size of the images"
            )
        crop = (
            draw_area_crop(*sides, self.areas, rng)
            if self.form == "official"
            else draw_scale_crop(*sides, self.size, self.scales, rng)
        )
        mirrored = torch.rand(1, generator=rng.torch).item() < 0.5
        image, masks = self.cut(sample, confidence.astype(np.uint8), crop)
        return (image.flip(-1), masks.flip(-1)) if mirrored else (image, masks)

    def cut(self, sample: Sample, confidence: np.ndarray, crop: Crop) -> tuple[Tensor, Tensor]:
        """The crop of image, label map and confidence, normalized, not mirrored."""
        mean = self.normalization.denormalize(torch.zeros(1, 3, 1, 1)).flatten()
        color = tuple((255 * mean).round().int().tolist())
        image, labels = cut(sample.image, sample.mask, crop, self.size, color)
        confident = cut(sample.image, confidence, crop, self.size, color)[1] == 1
        masks = torch.stack((mask_tensor(labels), torch.from_numpy(confident).to(torch.uint8)))
        return normalized(to_pixels(image), self.normalization), masks
