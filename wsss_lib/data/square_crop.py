"""Square crops of the shorter side, resized: what the networks of arXiv 2407.03009 are trained and scored on."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import Normalization, color_jitter, mask_tensor, normalized, to_pixels


def square_of(values: Tensor, top: int, left: int, size: int, mode: str) -> Tensor:
    """The square of the shorter side at a place of ``values`` [C, H, W], resized to ``size`` px."""
    side = min(values.shape[-2:])
    crop = values[:, top : top + side, left : left + side].float()
    options = {"align_corners": False} if mode == "bilinear" else {}
    return F.interpolate(crop[None], (size, size), mode=mode, **options)[0]


@dataclass(frozen=True)
class CenterSquare:
    """The middle square of the shorter side, resized: bilinear, the mask by nearest neighbour.

    Attributes:
        size: side of the result, px.
    """

    normalization: Normalization
    size: int

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        pixels, mask = to_pixels(sample.image), mask_tensor(sample.mask)
        place = [(side - min(pixels.shape[-2:])) // 2 for side in pixels.shape[-2:]]
        image = square_of(pixels, *place, self.size, "bilinear").round().byte()
        if mask is not None:
            mask = square_of(mask[None], *place, self.size, "nearest")[0].byte()
        return normalized(image, self.normalization), mask


@dataclass(frozen=True)
class RandomSquare:
    """A random square of the shorter side, resized, with random colors, blur, noise and flip (by albumentations there).

    In this order: crop, resize, blur of a lens out of focus (probability one half), brightness and contrast (always),
    colors (one half), mirror image (one half), noise (one half).

    Attributes:
        size: side of the result, px.
        radius: bounds of the radius of the blur, px; both 0: none.
        brightness: largest change of brightness (share of the full scale) and contrast.
        jitter: of brightness, contrast, saturation and hue, see :func:`wsss_lib.data.transforms.color_jitter`.
        noise: bounds of the variance of the noise, in squared 8-bit values.
    """

    normalization: Normalization
    size: int
    radius: tuple[int, int] = (1, 5)
    brightness: float = 0.2
    jitter: float = 0.2
    noise: tuple[float, float] = (10.0, 50.0)

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        pixels, mask = to_pixels(sample.image), mask_tensor(sample.mask)
        side = min(pixels.shape[-2:])
        place = [rng.randint(0, length - side) for length in pixels.shape[-2:]]
        image = square_of(pixels, *place, self.size, "bilinear")
        if self.radius[1] and rng.random() < 0.5:
            image = out_of_focus(image, rng.randint(*self.radius), rng.uniform(0.1, 0.5))
        contrast, shift = (rng.uniform(-self.brightness, self.brightness) for _ in range(2))
        image = (image * (1 + contrast) + 255 * shift).clamp(0, 255).round().byte()
        if rng.random() < 0.5:
            image = self._jittered(image, rng)
        mirrored = rng.random() < 0.5
        image = image.float()
        if rng.random() < 0.5:
            deviation = rng.uniform(*self.noise) ** 0.5
            image = image + deviation * torch.randn(image.shape, generator=rng.torch)
        image = normalized(image.clamp(0, 255).round().byte(), self.normalization)
        if mask is not None:
            mask = square_of(mask[None], *place, self.size, "nearest")[0].byte()
        if mirrored:
            image, mask = image.flip(-1), None if mask is None else mask.flip(-1)
        return image, mask

    def _jittered(self, image: Tensor, rng: Draws) -> Tensor:
        from torchvision.transforms.functional import to_pil_image  # takes seconds to import

        strength = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), self.jitter)
        return to_pixels(color_jitter(to_pil_image(image), rng, **strength))


def out_of_focus(image: Tensor, radius: int, smoothing: float) -> Tensor:
    """Mean over a disk around each pixel, as a lens out of focus shows it; the border is mirrored.

    Args:
        image: float [3, H, W].
        radius: of the disk, px.
        smoothing: standard deviation of the Gaussian that softens its edge, px.
    """
    reach = radius + 1
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    disk = (axis[:, None] ** 2 + axis**2 <= radius**2).float()
    weights = torch.exp(-0.5 * (torch.arange(-1, 2) / smoothing) ** 2)
    weights = torch.outer(weights, weights) / weights.sum() ** 2
    disk = F.conv2d(disk[None, None], weights[None, None], padding=1)
    reach = min(reach, *(length - 1 for length in image.shape[-2:]))
    if reach < disk.shape[-1] // 2:
        cut = disk.shape[-1] // 2 - reach
        disk = disk[..., cut : disk.shape[-1] - cut, cut : disk.shape[-1] - cut]
    padded = F.pad(image[:, None], (reach,) * 4, mode="reflect")
    return F.conv2d(padded, disk / disk.sum())[:, 0]
