"""Training crop of IRN: any scale of a range, a random place and a flip, for an image and its labels alike."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import (
    IGNORE,
    Normalization,
    mask_tensor,
    normalized,
    random_window,
    resize_mask,
    to_pixels,
)


@dataclass(frozen=True)
class RescaledCrop:
    """Image resized bicubically, mask by nearest neighbour; where it does not reach, mean color and 255.

    Attributes:
        crop: side of the result, px.
        scales: bounds of the scale, which is drawn uniformly; 0.5 and 1.5 in IRN.
        mask_stride: every so many-th pixel of the mask is taken, from the middle of a block on, as PIL's nearest
            neighbour does; a crop that is no multiple of it counts its last, incomplete block.
    """

    normalization: Normalization
    crop: int
    scales: tuple[float, float] = (0.5, 1.5)
    mask_stride: int = 1

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor | None]:
        scale = rng.uniform(*self.scales)
        size = max(1, round(sample.image.height * scale)), max(1, round(sample.image.width * scale))
        image = sample.image.resize(size[::-1], Image.Resampling.BICUBIC)
        window, mirrored = random_window(*size, self.crop, rng), rng.random() < 0.5
        pixels = window.cut(normalized(to_pixels(image), self.normalization), 0)
        mask = mask_tensor(resize_mask(sample.mask, size))
        if mask is not None:
            mask = window.cut(mask, IGNORE)
            mask = mask.flip(-1) if mirrored else mask
            mask = self._thinned(mask)
        return pixels.flip(-1) if mirrored else pixels, mask

    def _thinned(self, mask: Tensor) -> Tensor:
        middles = torch.arange(-(-self.crop // self.mask_stride)) * self.mask_stride + self.mask_stride // 2
        middles = middles.clamp(max=self.crop - 1)
        return mask[middles[:, None], middles]
