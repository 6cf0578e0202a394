"""Color changes against Python's own color conversion, a blur by loops, and the way through eight bits."""

import colorsys
import math

import pytest
import torch

from wsss_lib.data.color_augmentation import (
    augment_colors,
    blur,
    brightness_contrast,
    in_eight_bits,
    shift_hsv,
    to_gray,
)
from wsss_lib.data.mixing import MixingDraws
from wsss_lib.networks.base import CAFFE, IMAGENET


def pictures(num_images=2, size=(6, 7), seed=0):
    torch.manual_seed(seed)
    return torch.randint(0, 256, (num_images, 3, *size)).float()


def column(*values):
    return torch.tensor(values, dtype=torch.float)[:, None, None, None]


@pytest.mark.parametrize("shifts", [(0, 0, 0), (17, 0, 0), (-19.5, 25, -12), (0, -30, 20)])
def test_hsv_by_colorsys(shifts):
    pixels = pictures(1)
    pixels[0, :, 0, 0] = 0  # black
    pixels[0, :, 0, 1] = 128  # gray
    shifted = shift_hsv(pixels, *(column(shift) for shift in shifts))
    for y in range(6):
        for x in range(7):
            hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[0, :, y, x] / 255).tolist())
            saturation, value = (
                min(max(part + shift / 255, 0), 1) for part, shift in zip((saturation, value), shifts[1:], strict=True)
            )
            rgb = colorsys.hsv_to_rgb((hue + shifts[0] / 180) % 1, saturation, value)
            if pixels[0, :, y, x].any():  # the hue of black is open
                assert (shifted[0, :, y, x] - 255 * torch.tensor(rgb)).abs().max() <= 0.51


def test_brightness_contrast_and_gray():
    pixels = torch.tensor([0.0, 100.0, 250.0]).view(1, 3, 1, 1)
    assert brightness_contrast(pixels, column(0.1), column(0.2)).flatten().tolist() == [26, 146, 255]
    assert to_gray(pixels).flatten().tolist() == [87, 87, 87]


def test_blur_by_loops():
    pixels, kernels, sigmas = pictures(), torch.tensor([3, 5]), torch.tensor([0.8, 2.0])
    found = blur(pixels, kernels, sigmas)
    for n, (kernel, sigma) in enumerate(zip(kernels.tolist(), sigmas.tolist(), strict=True)):
        radius = kernel // 2
        weights = [math.exp(-(d**2) / (2 * sigma**2)) for d in range(-radius, radius + 1)]
        for y, x in ((0, 0), (2, 3), (5, 6), (1, 5)):
            total = 0.0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    row, col = (5 - abs(5 - abs(y + dy))), (6 - abs(6 - abs(x + dx)))
                    total += weights[dy + radius] * weights[dx + radius] * pixels[n, 0, row, col].item()
            assert abs(found[n, 0, y, x].item() - total / sum(weights) ** 2) <= 0.51


def test_shares_of_the_changes():
    pixels = pictures(1, (5, 5)).repeat(1000, 1, 1, 1)
    changed = augment_colors(pixels, MixingDraws(0))
    gray = (changed[:, 0] == changed[:, 2]).flatten(1).all(1).float().mean()
    untouched = (changed == pixels).flatten(1).all(1).float().mean()
    assert gray.item() == pytest.approx(0.2, abs=0.04) and untouched.item() == pytest.approx(0.2 * 0.8 * 0.5, abs=0.03)
    assert changed.min() >= 0 and changed.max() <= 255 and torch.equal(changed, changed.round())


def test_the_same_batch_changes_alike():
    first, second = (augment_colors(pictures(), MixingDraws.of_batch(1, ["a", "b"])) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("normalization", [IMAGENET, CAFFE])
def test_eight_bits_truncate(normalization):
    pixels = torch.rand(2, 3, 4, 5) * 255
    images = in_eight_bits(normalization.normalize(pixels / 255), normalization, lambda pixels: pixels)
    back = 255 * normalization.denormalize(images)
    assert torch.allclose(back, pixels.trunc(), atol=0.01)
