"""Color augmentation of mixed images, whole batches at once, as BECO asks it of albumentations (defaults of 2.0.8).

Values of pixels are whole, 0 to 255, as that library sees them; hue is counted in 180 steps a turn, as in OpenCV.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.data.mixing import MixingDraws
from wsss_lib.data.transforms import Normalization

Augment = Callable[[Tensor], Tensor]
GRAY = (0.299, 0.587, 0.114)
SMALLEST_BLUR, LARGEST_BLUR = 3, 5


def in_eight_bits(images: Tensor, normalization: Normalization, augment: Augment) -> Tensor:
    """Normalized images to whole pixel values, truncated, through ``augment`` and back.

    Args:
        images: normalized, [B, 3, H, W].
        normalization: of the network, with ``normalize`` and ``denormalize``.
        augment: RGB of 0 to 255, float [B, 3, H, W], to the same.
    """
    pixels = (255 * normalization.denormalize(images.float())).clamp(0, 255).trunc()
    return normalization.normalize(augment(pixels) / 255).to(images.dtype)


def augment_colors(pixels: Tensor, draws: MixingDraws) -> Tensor:
    """With probability 0.8 brightness, contrast, hue, saturation and value; 0.2 gray; 0.5 blur.

    The authors swap the channels before and after, so that hue and saturation act on BGR read as RGB; that is kept.

    Args:
        pixels: RGB of 0 to 255, [B, 3, H, W].
        draws: random numbers of the batch.
    """

    def draw(low: float, high: float) -> Tensor:
        numbers = torch.rand(len(pixels), generator=draws.torch) * (high - low) + low
        return numbers.to(pixels.device)[:, None, None, None]

    pixels = pixels.flip(1)
    toned = brightness_contrast(pixels, draw(-0.2, 0.2), draw(-0.2, 0.2))
    toned = shift_hsv(toned, draw(-20, 20), draw(-30, 30), draw(-20, 20))
    pixels = torch.where(draw(0, 1) < 0.8, toned, pixels)
    pixels = torch.where(draw(0, 1) < 0.2, to_gray(pixels), pixels)
    kernel, sigma = draw(0, 1), draw(0.5, 3)
    blurred = blur(pixels, torch.where(kernel < 0.5, SMALLEST_BLUR, LARGEST_BLUR).flatten(), sigma.flatten())
    return torch.where(draw(0, 1) < 0.5, blurred, pixels).flip(1)


def whole(pixels: Tensor) -> Tensor:
    """Rounded, 0 to 255."""
    return pixels.round().clamp(0, 255)


def brightness_contrast(pixels: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """(1 + contrast) p + 255 brightness; both [B, 1, 1, 1]."""
    return whole((1 + contrast) * pixels + 255 * brightness)


def shift_hsv(pixels: Tensor, hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Add to hue (steps of 2 degrees, round), saturation and value (0 to 255, cut off); each shift is [B, 1, 1, 1].

    >>> red = torch.tensor([255.0, 0.0, 0.0]).view(1, 3, 1, 1)
    >>> shift_hsv(red, *(torch.tensor(shift).view(1, 1, 1, 1) for shift in (60.0, 0.0, 0.0))).flatten()
    tensor([  0., 255.,   0.])
    """
    high, low = pixels.amax(1, keepdim=True), pixels.amin(1, keepdim=True)
    spread = (high - low).clamp(min=1e-6)
    red, green, blue = pixels.split(1, 1)
    turn = torch.where(
        high == red,
        (green - blue) / spread,
        torch.where(high == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    turn = (turn + hue / 30) % 6  # six sectors of 60 degrees
    share = (255 * (1 - low / high.clamp(min=1e-6)) + saturation).clamp(0, 255) / 255
    high = (high + value).clamp(0, 255)
    parts = torch.tensor([5.0, 3.0, 1.0], device=pixels.device).view(1, 3, 1, 1)
    place = (parts + turn) % 6
    return whole(high * (1 - share * torch.minimum(place, 4 - place).clamp(0, 1)))


def to_gray(pixels: Tensor) -> Tensor:
    """Weighted mean of the channels, the same in all three."""
    weights = torch.tensor(GRAY, device=pixels.device).view(1, 3, 1, 1)
    return whole((pixels * weights).sum(1, keepdim=True)).expand_as(pixels)


def blur(pixels: Tensor, kernels: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur, each image with a kernel and a standard deviation of its own; the border is reflected.

    Args:
        pixels: [B, 3, H, W], sides of at least 3 px.
        kernels: side of the kernel, 3 or 5 px, [B].
        sigmas: px, [B].
    """
    radius = LARGEST_BLUR // 2
    offsets = torch.arange(-radius, radius + 1, device=pixels.device)
    weights = torch.exp(-(offsets**2) / (2 * sigmas[:, None] ** 2))
    weights = weights * (offsets.abs() <= kernels[:, None] // 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(3, 0)  # [3 B, 5]
    padded = F.pad(pixels, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    across = F.conv2d(padded, weights[:, None, None, :], groups=len(weights))
    return whole(F.conv2d(across, weights[:, None, :, None], groups=len(weights))[0].view_as(pixels))
