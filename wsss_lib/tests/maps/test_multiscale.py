import pytest
import torch
import torch.nn.functional as F

from wsss_lib.maps.multiscale import (
    CPU_PIXELS,
    map_pairs,
    multiscale_maps,
    rectify_pairs,
    rescaled_images,
    strided_size,
    sum_aligned,
    sum_cropped,
    sum_rectified,
)

SIZES = [(16, 32), (21, 34), (45, 62)]
SCALES = (1, 0.5, 1.5, 2)
WEIGHT = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 8


def signed_maps(images):
    return F.conv2d(images, WEIGHT, stride=8, padding=4)


def rectified_maps(images):
    return signed_maps(images).relu()


def resized(maps, size):
    return F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def passes(maps_of, images, size):
    """Sixteen half steps one after the other: maps of each scale, plain and mirrored, and whether mirrored."""
    for scale in SCALES:
        (scaled,) = rescaled_images(images, [scale])
        yield maps_of(scaled)[0], False
        yield maps_of(scaled.flip(-1))[0], True


def aligned_slowly(images, size):
    total = torch.zeros(4, *size)
    for maps, mirrored in passes(rectified_maps, images, size):
        up = resized(maps, size)
        total += up.flip(-1) if mirrored else up
    return total


def cropped_slowly(images, size):
    blocks = tuple((side + 15) // 16 * 16 for side in size)
    total = torch.zeros(4, *size)
    for maps, mirrored in passes(rectified_maps, images, size):
        up = resized(maps, blocks)[:, : size[0], : size[1]]
        total += up.flip(-1) if mirrored else up
    return total


def rectified_slowly(images, size):
    total = torch.zeros(4, *size)
    for maps, mirrored in passes(signed_maps, images, size):
        up = resized(maps, size).relu()
        total += up.flip(-1) if mirrored else up
    return total


def pair_rectified_slowly(images, size):
    total = torch.zeros(4, *size)
    blocks = tuple((side + 15) // 16 * 16 for side in size)
    results = list(passes(signed_maps, images, size))
    for (plain, _), (mirrored, _) in zip(results[::2], results[1::2], strict=True):
        total += resized((plain + mirrored.flip(-1)).relu(), blocks)[:, : size[0], : size[1]]
    return total


def rectify_then_crop(pairs, size):
    return sum_cropped(rectify_pairs(pairs), size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "maps_of, merge, slowly",
    [
        (rectified_maps, sum_aligned, aligned_slowly),
        (rectified_maps, sum_cropped, cropped_slowly),
        (signed_maps, sum_rectified, rectified_slowly),
        (signed_maps, rectify_then_crop, pair_rectified_slowly),
    ],
)
def test_merges_equal_eight_passes_one_after_the_other(size, maps_of, merge, slowly):
    images = torch.randn(2, 3, *size)
    class_labels = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]])
    found = multiscale_maps(maps_of, rescaled_images(images, SCALES), class_labels, size, merge)
    for image, labels, maps in zip(images, class_labels, found, strict=True):
        expected = slowly(image[None], size) * labels[:, None, None]
        assert expected.amax() > 0.1
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)


def test_maps_of_a_mirrored_batch_are_mirrored():
    images, class_labels = torch.randn(2, 3, 24, 33), torch.ones(2, 4)
    for merge in (sum_aligned, sum_rectified):
        maps = [
            multiscale_maps(signed_maps, rescaled_images(batch, SCALES), class_labels, (24, 33), merge)
            for batch in (images, images.flip(-1))
        ]
        torch.testing.assert_close(maps[0].flip(-1), maps[1], rtol=1e-4, atol=1e-5)


def test_cropping_displaces_maps_and_alignment_does_not():
    """A single bright column of the features stays in its place only in the aligned form."""
    maps = torch.zeros(1, 1, 1, 4)
    maps[..., 1] = 1.0
    pairs = [torch.stack([maps[:, 0], maps[:, 0]])]  # width 4 for an image 20 px wide: column 1 is pixels 5 to 9
    assert sum_aligned(pairs, (1, 20))[0, 0].argmax() in (7, 8)
    assert sum_cropped(pairs, (1, 20))[0, 0].argmax() not in range(5, 10)


def test_only_present_classes_are_resized():
    resized_channels = []

    def merge(pairs, size):
        resized_channels.append([pair.shape[1] for pair in pairs])
        return sum_aligned(pairs, size)

    pyramid = rescaled_images(torch.randn(3, 3, 16, 16), SCALES)
    maps = multiscale_maps(
        rectified_maps, pyramid, torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]]), (16, 16), merge
    )
    assert resized_channels == [[3, 3, 3, 3]]
    assert (maps.flatten(2).amax(2) > 0).tolist() == [
        [False, True, False, False],
        [False] * 4,
        [True, False, False, True],
    ]


def test_images_without_a_class_have_empty_maps():
    maps = multiscale_maps(rectified_maps, [torch.randn(2, 3, 16, 16)], torch.zeros(2, 4), (10, 12))
    assert maps.shape == (2, 4, 10, 12) and not maps.any()


def test_one_pass_serves_image_and_mirror_image_unless_they_are_large():
    batches = []

    def maps_of(images):
        batches.append(tuple(images.shape[::3]))
        return rectified_maps(images)

    side = int(CPU_PIXELS**0.5)
    pairs = map_pairs(maps_of, [torch.randn(1, 3, side, width) for width in (16, side, side + 8)])
    assert batches == [(2, 16), (2, side), (1, side + 8), (1, side + 8)]
    assert [pair.shape[:3] for pair in pairs] == [(2, 1, 4)] * 3


def test_pairs_do_not_depend_on_the_number_of_passes(monkeypatch):
    pyramid = rescaled_images(torch.randn(2, 3, 32, 24), SCALES)
    together = map_pairs(rectified_maps, pyramid)
    monkeypatch.setattr("wsss_lib.maps.multiscale.CPU_PIXELS", 0)
    for one, other in zip(together, map_pairs(rectified_maps, pyramid), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", SIZES)
def test_rescaled_sides_are_rounded_and_scale_one_is_untouched(size):
    images = torch.randn(1, 3, *size)
    pyramid = rescaled_images(images, SCALES)
    assert pyramid[0] is images
    assert [tuple(one.shape[2:]) for one in pyramid] == [(round(size[0] * s), round(size[1] * s)) for s in SCALES]


def test_shrinking_smooths():
    """A checkerboard finer than the result becomes grey instead of a pattern."""
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2).float().expand(1, 3, 32, 32)
    (small,) = rescaled_images(board, [0.5])
    torch.testing.assert_close(small[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5), atol=0.02, rtol=0)


def test_strided_size_rounds_up():
    assert [strided_size((45, 64), stride) for stride in (1, 4, 16)] == [(45, 64), (12, 16), (3, 4)]
