import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsss_lib.data.mixing import (
    MixingDraws,
    amplitudes,
    binarize,
    draw_masks,
    draw_partners,
    draw_share,
    fmix,
    frequencies,
    low_frequency_images,
    mixup,
)

SIZES = [(8, 8), (9, 7), (6, 11), (5, 12), (2, 2), (2, 3), (3, 2)]


def test_draws_belong_to_seed_and_images():
    first = [MixingDraws.of_batch(0, ["a", "b"]) for _ in range(2)]
    others = [MixingDraws.of_batch(1, ["a", "b"]), MixingDraws.of_batch(0, ["b", "a"]), MixingDraws.of_batch(0, ["ab"])]
    numbers = [(d.random(), d.numpy.rand(), torch.rand(1, generator=d.torch).item()) for d in (*first, *others)]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4


def test_draws_leave_the_global_generators_alone():
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    draws = MixingDraws.of_batch(3, ["a"])
    draw_share(1.0, draws), draw_partners(5, draws), draw_masks([0.5], (8, 8), draws)
    assert torch.equal(state, torch.get_rng_state()) and (numpy_state == np.random.get_state()[1]).all()


@pytest.mark.parametrize("alpha, reformulate, mean", [(0.2, False, 0.5), (1.0, False, 0.5), (1.0, True, 2 / 3)])
def test_shares_have_the_mean_of_their_distribution(alpha, reformulate, mean):
    draws = MixingDraws(0)
    shares = np.array([draw_share(alpha, draws, reformulate=reformulate) for _ in range(4000)])
    assert abs(shares.mean() - mean) < 0.03
    variance = mean * (1 - mean) / (2 * alpha + reformulate + 1)
    assert abs(shares.var() - variance) < 0.02


def test_no_alpha_no_mixing():
    assert draw_share(0, MixingDraws(0)) == 1
    with pytest.raises(ValueError, match="alpha is -1"):
        draw_share(-1, MixingDraws(0))


@pytest.mark.parametrize("shape", [(4, 3, 5, 7), (1, 2), (3,)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_is_the_sum(shape, share):
    values = torch.randn(shape)
    partners = draw_partners(len(values), MixingDraws(1))
    found = mixup(values, share, partners)
    for place, partner in enumerate(partners.tolist()):
        torch.testing.assert_close(found[place], share * values[place] + (1 - share) * values[partner])
    if share == 1:
        assert torch.equal(found, values)
    if share == 0:
        assert torch.equal(found, values[partners])


def test_a_batch_of_one_image_stays_as_it_is():
    images = torch.randn(1, 3, 6, 5)
    draws = MixingDraws(0)
    partners = draw_partners(1, draws)
    torch.testing.assert_close(mixup(images, draw_share(1.0, draws), partners), images)
    torch.testing.assert_close(fmix(images, draw_masks([0.4], (6, 5), draws)[0], partners), images)


def test_the_loss_of_mixed_labels_is_the_mix_of_the_losses():
    logits, labels = torch.randn(4, 5), torch.randint(0, 2, (4, 5)).float()
    partners = torch.tensor([1, 0, 3, 2])
    both = [F.multilabel_soft_margin_loss(logits, target) for target in (labels, labels[partners])]
    found = F.multilabel_soft_margin_loss(logits, mixup(labels, 0.3, partners))
    torch.testing.assert_close(found, 0.3 * both[0] + 0.7 * both[1])
    assert not torch.isclose(found, both[0])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_outside_of_zero_and_one_are_refused(share):
    with pytest.raises(ValueError, match="should lie in"):
        mixup(torch.zeros(2), share, torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="should lie in"):
        draw_masks([share], (4, 4), MixingDraws(0))


def test_fmix_takes_every_pixel_from_one_of_two_images():
    images, partners = torch.randn(3, 3, 8, 6), torch.tensor([2, 0, 1])
    draws = MixingDraws(0)
    mask = draw_masks([0.5], (8, 6), draws)[0]
    found = fmix(images, mask, partners)
    for place, partner in enumerate(partners.tolist()):
        expected = torch.where(mask.bool(), images[place], images[partner])
        torch.testing.assert_close(found[place], expected)
    own = draw_masks([0.2, 0.5, 0.9], (8, 6), draws)[:, None]  # a mask for each image
    torch.testing.assert_close(fmix(images, own, partners)[1], fmix(images, own[1, 0], partners)[1])
    with pytest.raises(ValueError, match="draw it in their size"):
        fmix(images, mask.T, partners)


@pytest.mark.parametrize("height, width", SIZES)
def test_frequencies_are_those_of_the_transform(height, width):
    found = frequencies(height, width)
    assert found.shape == (height, width // 2 + (1 if width % 2 == 0 else 2))
    for row in range(height):
        for column in range(found.shape[1]):
            across, down = (k - n if 2 * k >= n else k for k, n in ((column, width), (row, height)))
            assert found[row, column].item() == pytest.approx(math.hypot(across / width, down / height))
    assert amplitudes(height, width, 3.0).amax().item() == pytest.approx(max(height, width) ** 3)


def cosine_sum(spectrum: np.ndarray, height: int, width: int) -> np.ndarray:
    """Real image of a half-plane spectrum [rows, columns], as a sum of waves; absent entries are zero."""
    image = np.zeros((height, width))
    rows, columns = np.mgrid[:height, :width]
    for across in range(min(spectrum.shape[1], width // 2 + 1)):
        alone = across == 0 or 2 * across == width  # no mirrored partner in the other half plane
        of_column = sum(
            spectrum[down, across] * np.exp(2j * np.pi * down * rows / height)
            for down in range(min(spectrum.shape[0], height))
        )
        wave = of_column * np.exp(2j * np.pi * across * columns / width)
        image += wave.real if alone else 2 * wave.real
    return (image - image.min()) / np.ptp(image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spectrum", ["official", "paper"])
def test_low_frequency_images_are_sums_of_waves(size, spectrum):
    noise = torch.randn(2, *frequencies(*size).shape, 2, dtype=torch.float64)
    found = low_frequency_images(noise, size, 2.0, spectrum)
    assert found.amin((1, 2)).tolist() == [0, 0] and found.amax((1, 2)).tolist() == [1, 1]
    filtered = (noise * amplitudes(*size, 2.0)[..., None]).numpy()
    for image, values in zip(found, filtered, strict=True):
        # the paper pairs the two numbers of a frequency, the authors' code its first two rows
        pairs = values[..., 0] + 1j * values[..., 1] if spectrum == "paper" else values[0] + 1j * values[1]
        np.testing.assert_allclose(image.numpy(), cosine_sum(pairs, *size), atol=1e-9)


def test_official_masks_are_bands_and_those_of_the_paper_are_not():
    noise = torch.randn(1, *frequencies(64, 64).shape, 2, dtype=torch.float64)
    across = {
        spectrum: torch.fft.rfft(low_frequency_images(noise, (64, 64), 3.0, spectrum)[0]).abs().amax(0)
        for spectrum in ("official", "paper")
    }
    assert across["official"][2:].amax() < 1e-9 < across["paper"][2:].amin()


def test_small_and_unknown_spectra_are_refused():
    noise = torch.randn(1, 4, 3, 2)
    with pytest.raises(ValueError, match="choose one of official, paper"):
        low_frequency_images(noise, (4, 4), 3.0, "blobs")
    with pytest.raises(ValueError, match="choose one of official, paper"):
        draw_masks([0.5], (4, 4), MixingDraws(0), spectrum="blobs")
    for size in ((1, 4), (4, 1)):
        with pytest.raises(ValueError, match="at least 2"):
            draw_masks([0.5], size, MixingDraws(0))


def binarized_slowly(image, share, round_up, max_soft):
    """All pixels in falling order; ones, then the ramp, then zeros."""
    values = image.flatten().tolist()
    order = sorted(range(len(values)), key=lambda place: -values[place])
    cut = math.ceil(share * len(values)) if round_up else math.floor(share * len(values))
    soft = int(len(values) * min(max_soft, share, 1 - share))
    ramp = np.linspace(1, 0, 2 * soft)
    mask = torch.zeros(len(values))
    for rank, place in enumerate(order):
        inside = cut - soft <= rank < cut + soft
        mask[place] = ramp[rank - cut + soft] if inside else float(rank < cut)
    return mask.view(image.shape)


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (1, 3)])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.31, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("max_soft", [0.0, 0.1, 0.5])
def test_binarize_takes_the_highest_pixels(size, share, max_soft):
    images = torch.randperm(2 * size[0] * size[1]).view(2, *size).float()
    found = binarize(images, [share, 1 - share], [True, False], max_soft)
    torch.testing.assert_close(found[0], binarized_slowly(images[0], share, True, max_soft))
    torch.testing.assert_close(found[1], binarized_slowly(images[1], 1 - share, False, max_soft))


@pytest.mark.parametrize("spectrum", ["official", "paper"])
@pytest.mark.parametrize("size", [(32, 32), (31, 17), (20, 33)])
def test_masks_cover_their_share_to_a_pixel(size, spectrum):
    shares = [0.0, 0.2, 0.5, 1.0]
    masks = draw_masks(shares, size, MixingDraws(2), spectrum=spectrum)
    assert masks.shape == (4, *size) and set(masks.unique().tolist()) == {0.0, 1.0}
    num_pixels = size[0] * size[1]
    for mask, share in zip(masks, shares, strict=True):
        assert abs(mask.sum().item() - share * num_pixels) < 1
    assert not torch.equal(masks[1] > 0, masks[2] > 0)
    soft = draw_masks(shares, size, MixingDraws(2), max_soft=0.2, spectrum=spectrum)
    assert 0 < soft[2].unique()[1] < 0.1 and abs(soft[2].mean() - 0.5) < 0.01
