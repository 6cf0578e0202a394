import numpy as np
import pytest
import torch
import torchvision.transforms as torchvision_transforms
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import (
    FlipZoom,
    LongSideCrop,
    RandomScaledCrop,
    Squash,
    WholeImage,
    center_window,
    color_jitter,
    image_pyramid,
    long_side_size,
    normalized,
    random_window,
    to_pixels,
)
from wsss_lib.networks.base import CAFFE, IMAGENET, Normalization

PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def checkered(height: int, width: int) -> Sample:
    """An image whose left, right, upper and lower halves have other colours, with the mask of the same squares."""
    rows, columns = np.mgrid[:height, :width]
    labels = (2 * (rows >= height / 2) + (columns >= width / 2)).astype(np.uint8)
    colors = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]], dtype=np.uint8)
    return Sample("checkered", Image.fromarray(colors[labels]), torch.ones(1), labels)


def labels_of_colors(image: torch.Tensor) -> torch.Tensor:
    """The label that each pixel of a checkered image shows, on the 0..1 scale."""
    colors = torch.tensor([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]]) / 255
    return ((image.permute(1, 2, 0)[..., None, :] - colors) ** 2).sum(-1).argmin(-1)


@pytest.mark.parametrize("normalization", [IMAGENET, CAFFE])
def test_normalized_pixel_by_pixel(normalization):
    pixels = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    result = normalized(pixels, normalization)
    for channel in range(3):
        source = channel if normalization.order == "rgb" else 2 - channel
        for row in range(4):
            for column in range(5):
                value = pixels[source, row, column].item() / 255
                expected = (value - normalization.mean[channel]) / normalization.std[channel]
                assert result[channel, row, column].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (80, 80), (3, 1000)])
def test_long_side_keeps_the_proportion(size):
    height, width = long_side_size(size, 321)
    assert max(height, width) == 321
    assert min(height, width) == pytest.approx(min(size) * 321 / max(size), abs=0.5)


@pytest.mark.parametrize("height, width, size", [(9, 7, 4), (3, 7, 5), (9, 2, 5), (2, 3, 6), (5, 5, 5)])
def test_windows_place_each_pixel_once(height, width, size):
    values = torch.arange(1, 1 + height * width).view(1, height, width)
    windows = [random_window(height, width, size, Draws(seed)) for seed in range(30)]
    windows.append(center_window(height, width, size))
    seen = set()
    for window in windows:
        crop = window.cut(values, 0)
        assert crop.shape == (1, size, size)
        inside = crop[crop > 0]
        assert inside.numel() == min(height, size) * min(width, size)
        rows, columns = (inside - 1) // width, (inside - 1) % width
        assert rows.max() - rows.min() == min(height, size) - 1
        assert columns.max() - columns.min() == min(width, size) - 1
        seen.add(crop.flatten().argmax().item() * 1000 + inside.min().item())
    places = (abs(height - size) + 1) * (abs(width - size) + 1)
    assert len(seen) > 1 or places == 1


def test_color_jitter_is_that_of_torchvision():
    image = checkered(8, 9).image
    torch.manual_seed(3)
    expected = torchvision_transforms.ColorJitter(0.3, 0.3, 0.3, 0.1)(image)
    assert np.array_equal(np.asarray(color_jitter(image, Draws(3))), np.asarray(expected))
    assert not np.array_equal(np.asarray(color_jitter(image, Draws(4))), np.asarray(expected))


@pytest.mark.parametrize(
    "transform",
    [
        WholeImage(PLAIN),
        Squash(PLAIN, 20),
        LongSideCrop(PLAIN, crop=32, long_side=(20, 60), jitter=False),
        FlipZoom(PLAIN, 0.5),
        RandomScaledCrop(PLAIN, crop=32),
    ],
)
@pytest.mark.parametrize("size", [(24, 40), (41, 30)])
def test_image_and_mask_stay_together(transform, size):
    sample = checkered(*size)
    for seed in range(12):
        image, mask = transform(sample, Draws(seed))
        assert mask.shape == image.shape[1:]
        shown, known = labels_of_colors(image), mask != 255
        assert (shown == mask)[known].float().mean() > 0.9  # but for the seams
        if not known.all():
            assert image[:, ~known].abs().max() == 0  # the canvas
        without, no_mask = transform(Sample("", sample.image, sample.class_labels, None), Draws(seed))
        assert no_mask is None
        assert torch.equal(without, image)


def test_canvas_is_the_mean_color():
    transform = LongSideCrop(IMAGENET, crop=40, long_side=(20, 20))
    image, mask = transform(checkered(30, 30), Draws(0))
    canvas = IMAGENET.denormalize(image)[:, mask == 255]
    assert torch.allclose(canvas, torch.tensor(IMAGENET.mean)[:, None].expand_as(canvas))
    assert (mask != 255).sum() == 20 * 20


def test_both_flips_happen():
    for transform in (
        LongSideCrop(PLAIN, 32, (32, 32), jitter=False),
        FlipZoom(PLAIN, 1),
        RandomScaledCrop(PLAIN, 32, (1,)),
    ):
        corners = [transform(checkered(32, 32), Draws(seed))[1][0, 0].item() for seed in range(20)]
        assert 3 < corners.count(0) < 17
        assert corners.count(0) + corners.count(1) == 20


def test_flip_zoom_without_zoom_is_the_image_or_its_mirror():
    sample = checkered(9, 12)
    whole = WholeImage(IMAGENET)(sample, Draws(0))[0]
    images = [FlipZoom(IMAGENET, 1)(sample, Draws(seed))[0] for seed in range(8)]
    assert all(torch.allclose(image, whole) or torch.allclose(image, whole.flip(-1)) for image in images)
    with pytest.raises(ValueError, match=r"smallest window 0 is not in \(0, 1\]"):
        FlipZoom(IMAGENET, 0)


def test_flip_zoom_magnifies_within_bounds():
    shares = []
    for seed in range(40):
        mask = FlipZoom(PLAIN, 0.5)(checkered(64, 64), Draws(seed))[1]
        shares.append((mask == mask[0, 0]).float().mean().item())
    assert min(shares) < 0.15
    assert max(shares) > 0.5  # the middle of the image lies far from the middle of the window


def test_scaled_crop_takes_every_scale():
    sides = set()
    for seed in range(60):
        mask = RandomScaledCrop(PLAIN, crop=48, scales=(0.5, 1.0, 1.5))(checkered(32, 32), Draws(seed))[1]
        sides.add(int((mask != 255).sum().item() ** 0.5))
    assert sides == {16, 32, 48}


@pytest.mark.parametrize(
    "rounding, expected",
    [("round", [(6, 10), (13, 20), (20, 30)]), ("floor", [(6, 10), (13, 20), (19, 30)])],  # 6.5 and 19.5 to even
)
def test_pyramid_sizes(rounding, expected):
    pyramid = image_pyramid(checkered(13, 20).image, [0.5, 1, 1.5], IMAGENET, rounding=rounding)
    assert [tuple(images.shape) for images in pyramid] == [(1, 3, *size) for size in expected]
    assert torch.equal(pyramid[1][0], WholeImage(IMAGENET)(checkered(13, 20), Draws(0))[0])


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
def test_pyramid_resamples_as_pil_does(resample):
    image = checkered(12, 16).image
    (images,) = image_pyramid(image, [0.5], IMAGENET, resample=resample)
    resized = image.resize((8, 6), getattr(Image.Resampling, resample.upper()))
    assert torch.equal(images[0], normalized(to_pixels(resized), IMAGENET))


def test_pyramid_of_unknown_kind():
    for options in ({"resample": "cubic"}, {"rounding": "up"}):
        with pytest.raises(ValueError, match=r"'bicubic', 'bilinear', 'lanczos', 'nearest'\] and \[floor, round\]"):
            image_pyramid(checkered(4, 4).image, [1], IMAGENET, **options)
