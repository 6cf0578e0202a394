"""Images to network input: the papers' training and validation transforms, a cheap one, and image pyramids.

A transform takes a sample and its random numbers and returns (image [3, h, w], mask [h, w] or None). The input
scaling comes from the backbone as ``normalization``: its ``normalize`` turns RGB on the 0..1 scale, [3, h, w], into
what the weights expect, and its ``mean``, ``std`` and ``order`` say how.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from PIL import Image
from torch import Tensor

from wsss_lib.data.batch import Draws, Sample

IGNORE = 255
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Normalization(Protocol):
    """Input scaling of a set of weights, on the 0..1 scale and in the channel order that the network sees."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: str

    def normalize(self, images: Tensor) -> Tensor: ...


def to_pixels(image: Image.Image) -> Tensor:
    """RGB image to uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def normalized(pixels: Tensor, normalization: Normalization) -> Tensor:
    """uint8 RGB, [3, H, W], to network input, float [3, H, W]."""
    return normalization.normalize(pixels.contiguous().float() / 255)


def mask_tensor(mask: np.ndarray | None) -> Tensor | None:
    return None if mask is None else torch.tensor(mask, dtype=torch.uint8)


def resize_mask(mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    """Nearest neighbour (PIL); ``size`` is height and width, px."""
    if mask is None:
        return None
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))


def long_side_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Height and width with the longer side as given, the other in proportion, rounded.

    >>> long_side_size((375, 500), 256)
    (192, 256)
    """
    height, width = size
    if width < height:
        return long_side, round(width * long_side / height)
    return round(height * long_side / width), long_side


@dataclass(frozen=True)
class Window:
    """Where a square crop meets an image: ``image[image_slices]`` goes to ``canvas[canvas_slices]``."""

    size: int
    image_slices: tuple[slice, slice]
    canvas_slices: tuple[slice, slice]

    def cut(self, values: Tensor, fill: float) -> Tensor:
        """The crop of ``values`` [..., H, W]; ``fill`` where the image does not reach."""
        canvas = values.new_full((*values.shape[:-2], self.size, self.size), fill)
        canvas[(..., *self.canvas_slices)] = values[(..., *self.image_slices)]
        return canvas


def _window(size: int, sides: tuple[int, int], offsets: tuple[int, int]) -> Window:
    """Window whose offsets (vertical, horizontal) count in the image, or in the canvas where that is longer."""
    image_slices, canvas_slices = [], []
    for side, offset in zip(sides, offsets, strict=True):
        shifted, whole = slice(offset, offset + min(side, size)), slice(0, min(side, size))
        image_slices.append(shifted if side > size else whole)
        canvas_slices.append(whole if side > size else shifted)
    return Window(size, tuple(image_slices), tuple(canvas_slices))


def random_window(height: int, width: int, size: int, rng: random.Random) -> Window:
    """Square crop at a random place; an image shorter than the crop lies at a random place of the canvas.

    One number is drawn per side, the horizontal one first, as in the authors' code of the sub-category and KTSE seeds.
    """
    left = rng.randrange(abs(width - size) + 1)
    top = rng.randrange(abs(height - size) + 1)
    return _window(size, (height, width), (top, left))


def center_window(height: int, width: int, size: int) -> Window:
    """Square crop from the middle; an image shorter than the crop lies in the middle of the canvas.

    >>> center_window(6, 2, 4).image_slices, center_window(6, 2, 4).canvas_slices
    ((slice(1, 5, None), slice(0, 2, None)), (slice(0, 4, None), slice(1, 3, None)))
    """
    return _window(size, (height, width), (round(abs(height - size) / 2), round(abs(width - size) / 2)))


def color_jitter(
    image: Image.Image,
    rng: Draws,
    *,
    brightness: float = 0.3,
    contrast: float = 0.3,
    saturation: float = 0.3,
    hue: float = 0.1,
) -> Image.Image:
    """Random colours as torchvision's ``ColorJitter`` draws them: the order of the four changes, then their strengths.

    Strengths are drawn uniformly from [1 - s, 1 + s] (hue: [-s, s], in turns of the colour circle).
    """

    def draw(low: float, high: float) -> float:
        return torch.empty(1).uniform_(low, high, generator=rng.torch).item()

    order = torch.randperm(4, generator=rng.torch).tolist()
    changes = (
        (TF.adjust_brightness, draw(max(0.0, 1 - brightness), 1 + brightness)),
        (TF.adjust_contrast, draw(max(0.0, 1 - contrast), 1 + contrast)),
        (TF.adjust_saturation, draw(max(0.0, 1 - saturation), 1 + saturation)),
        (TF.adjust_hue, draw(-hue, hue)),
    )
    for change in order:
        adjust, strength = changes[change]
        image = adjust(image, strength)
    return image


@dataclass(frozen=True)
class WholeImage:
    """The image as it is, normalized."""

    normalization: Normalization

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        return normalized(to_pixels(sample.image), self.normalization), mask_tensor(sample.mask)


@dataclass(frozen=True)
class LongSideCrop:
    """Training transform of the sub-category seed; with ``jitter=False`` that of KTSE, stage 1.

    The longer side is resized (bicubic) to a random length, the image flipped with probability one half, its colours
    changed, normalized, and a square cut out; where the image does not reach, the canvas is 0 after normalization, that
    is the mean colour, and the mask is 255.

    Attributes:
        crop: side of the result, px.
        long_side: bounds of the random length, px, both inclusive.
        jitter: change the colours.
    """

    normalization: Normalization
    crop: int
    long_side: tuple[int, int] = (256, 512)
    jitter: bool = True

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        size = long_side_size((sample.image.height, sample.image.width), rng.randint(*self.long_side))
        image = sample.image.resize(size[::-1], Image.Resampling.BICUBIC)
        mirrored = torch.rand(1, generator=rng.torch).item() < 0.5
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.jitter:
            image = color_jitter(image, rng)
        window = random_window(*size, self.crop, rng)
        mask = mask_tensor(resize_mask(sample.mask, size))
        if mask is not None:
            mask = window.cut(mask.flip(-1) if mirrored else mask, IGNORE)
        return window.cut(normalized(to_pixels(image), self.normalization), 0), mask


@dataclass(frozen=True)
class Squash:
    """Validation transform of the sub-category seed: plain bilinear resize to a square, aspect ratio not kept.

    Attributes:
        size: side of the result, px.
    """

    normalization: Normalization
    size: int

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        image = sample.image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        mask = resize_mask(sample.mask, (self.size, self.size))
        return normalized(to_pixels(image), self.normalization), mask_tensor(mask)


@dataclass(frozen=True)
class FlipZoom:
    """Cheap training transform for small images: a random window, stretched back to the size of the image, and a flip.

    Attributes:
        smallest: smallest side of the window as a share of the image's side, in (0, 1]; 1 only flips.
    """

    normalization: Normalization
    smallest: float = 0.75

    def __post_init__(self):
        if not 0 < self.smallest <= 1:
            raise ValueError(f"smallest window {self.smallest} is not in (0, 1]; 0.75 is a moderate zoom, 1 none")

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        pixels, mask = to_pixels(sample.image), mask_tensor(sample.mask)
        height, width = pixels.shape[-2:]
        share = rng.uniform(self.smallest, 1)
        window_height, window_width = max(1, round(height * share)), max(1, round(width * share))
        top, left = rng.randint(0, height - window_height), rng.randint(0, width - window_width)
        place = (..., slice(top, top + window_height), slice(left, left + window_width))
        mirrored = rng.random() < 0.5
        window = F.interpolate(pixels[place][None], (height, width), mode="bilinear", align_corners=False)  # in 8 bit
        image = normalized(window[0], self.normalization)
        if mask is not None:
            mask = F.interpolate(mask[place][None, None], (height, width), mode="nearest-exact")[0, 0]
        if mirrored:
            image, mask = image.flip(-1), None if mask is None else mask.flip(-1)
        return image, mask


@dataclass(frozen=True)
class RandomScaledCrop:
    """Training transform of DeepLab: one of several scales, a random crop and a flip, for image and mask alike.

    The image is resized bilinearly without smoothing, the mask by nearest neighbour, to floored sides; where the result
    is smaller than the crop it is padded at the right and the bottom with the mean colour and 255.

    Attributes:
        crop: side of the result, px.
        scales: factors, one of which is drawn.
    """

    normalization: Normalization
    crop: int
    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5)

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        scale = rng.choice(self.scales)
        size = max(1, int(sample.image.height * scale)), max(1, int(sample.image.width * scale))
        image = normalized(to_pixels(sample.image), self.normalization)
        image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
        bottom, right = (max(0, self.crop - side) for side in size)
        top = rng.randint(0, size[0] + bottom - self.crop)
        left = rng.randint(0, size[1] + right - self.crop)
        mirrored = rng.random() < 0.5

        def cut(values: Tensor, fill: float) -> Tensor:
            values = F.pad(values, (0, right, 0, bottom), value=fill)
            values = values[..., top : top + self.crop, left : left + self.crop]
            return values.flip(-1) if mirrored else values

        mask = mask_tensor(resize_mask(sample.mask, size))
        return cut(image, 0), None if mask is None else cut(mask, IGNORE)


def image_pyramid(
    image: Image.Image,
    scales: Sequence[float],
    normalization: Normalization,
    *,
    resample: str = "bicubic",
    rounding: str = "round",
) -> list[Tensor]:
    """Normalized copies of one image, resized by PIL as the papers do it.

    ``wsss_lib.maps.multiscale`` adds the mirror images.

    Args:
        image: RGB.
        scales: factors above 0; 1 gives the image itself.
        normalization: see the head of this file.
        resample: one of nearest, bilinear, bicubic, lanczos.
        rounding: of the resized sides, "round" or "floor".

    Returns:
        One tensor [1, 3, h, w] per scale.

    Raises:
        ValueError: unknown ``resample`` or ``rounding``.
    """
    if resample not in RESAMPLING or rounding not in ("round", "floor"):
        raise ValueError(
            f"resample {resample!r} with rounding {rounding!r}: choose from {sorted(RESAMPLING)} and [floor, round]"
        )
    pyramid = []
    for scale in scales:
        sides = [side * scale for side in image.size]
        size = tuple(max(1, round(side) if rounding == "round" else int(side)) for side in sides)
        resized = image if size == image.size else image.resize(size, RESAMPLING[resample])
        pyramid.append(normalized(to_pixels(resized), normalization)[None])
    return pyramid
