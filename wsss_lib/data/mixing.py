"""Mixed images: mixup (Zhang et al., ICLR 2018), as Mixup-CAM uses it, and FMix (Harris et al., arXiv 2002.12047).

What mixes images mixes their labels and hidden features as well, and a loss that is linear in the labels (binary
cross-entropy, the concentration loss) of mixed labels is the mix of two losses, as the papers write it.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from wsss_lib.data.batch import Draws

SPECTRA = ("official", "paper")


class MixingDraws(Draws):
    """Random numbers for one batch: ``random`` and torch as in :class:`Draws`, and numpy's, all from the same seed.

    ``MixingDraws(7)`` gives what ``random.seed(7)``, ``torch.manual_seed(7)`` and ``np.random.seed(7)`` do.

    >>> MixingDraws(7).numpy.rand() == np.random.RandomState(7).rand()
    True
    """

    @classmethod
    def of_batch(cls, seed: int, ids: Sequence[str]) -> Self:
        """The numbers that belong to these images in this order.

        A loader that shuffles gives another order in each epoch. They depend on nothing drawn before, so that a
        training that was interrupted goes on with the same ones.
        """
        text = "\n".join([str(seed), *ids])
        return cls(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"))

    @cached_property
    def numpy(self) -> np.random.RandomState:
        return np.random.RandomState(self._first_seed)


def draw_share(alpha: float, draws: MixingDraws, *, reformulate: bool = False) -> float:
    """Share of the first image, lambda of the papers, from Beta(alpha, alpha).

    Args:
        alpha: small values mix seldom, 1 mixes evenly; 0 gives a share of 1, no mixing.
        draws: the authors draw it first of all, with numpy.
        reformulate: draw from Beta(alpha + 1, alpha), for a loss that uses the first image's labels only (FMix).

    >>> draw_share(0.0, MixingDraws(0))
    1.0
    """
    if alpha < 0:
        raise ValueError(f"alpha is {alpha}; it should be positive, or 0 for no mixing")
    return float(draws.numpy.beta(alpha + reformulate, alpha)) if alpha > 0 else 1.0


def draw_partners(num_images: int, draws: Draws) -> Tensor:
    """Place of the image that each image is mixed with, a permutation, int64 [B]; an image may meet itself."""
    return torch.randperm(num_images, generator=draws.torch)


def mixup(values: Tensor, share: float, partners: Tensor) -> Tensor:
    """share * values + (1 - share) * values[partners] (Zhang et al., ICLR 2018).

    Args:
        values: images, class labels or hidden features of a batch, [B, ...].
        share: of the first image, in [0, 1].
        partners: [B], see :func:`draw_partners`.

    >>> mixup(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.75, torch.tensor([1, 0]))
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500]])
    """
    _check_shares([share])
    return share * values + (1 - share) * values[partners]


def fmix(images: Tensor, mask: Tensor, partners: Tensor) -> Tensor:
    """mask * images + (1 - mask) * images[partners] (FMix).

    Args:
        images: [B, 3, H, W].
        mask: [H, W] for the whole batch, or [B, 1, H, W]; in [0, 1].
        partners: [B], see :func:`draw_partners`.

    >>> fmix(torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([1, 0])).flatten()
    tensor([1., 4., 3., 2.])
    """
    if mask.shape[-2:] != images.shape[-2:]:
        raise ValueError(
            f"a mask of {tuple(mask.shape[-2:])} px for images of {tuple(images.shape[-2:])} px; draw it in their size"
        )
    return mask * images + (1 - mask) * images[partners]


def draw_masks(
    shares: Sequence[float],
    size: tuple[int, int],
    draws: Draws,
    *,
    decay: float = 3.0,
    max_soft: float = 0.0,
    spectrum: str = "official",
) -> Tensor:
    """FMix masks: the highest pixels of random images without high frequencies.

    Only the random numbers that the spectrum uses are drawn, by torch; the authors draw them by numpy for the whole
    plane, which :func:`low_frequency_images` takes as well.

    Args:
        shares: part of the pixels that belongs to the first image, one per mask.
        size: height and width of the images, px.
        decay: power of the frequency by which amplitudes fall; 3 in the paper.
        max_soft: see :func:`binarize`.
        spectrum: see :func:`low_frequency_images`.

    Returns:
        float32 [M, H, W], on the CPU.

    >>> draw_masks([0.25, 1.0], (6, 8), MixingDraws(0)).sum((1, 2))
    tensor([12., 48.])
    """
    height, columns = frequencies(*size).shape
    rows = 2 if spectrum == "official" else height
    masks = []
    for share in shares:  # one at a time: larger arrays leave the processor's cache
        noise = torch.randn(1, rows, columns, 2, generator=draws.torch)
        images = low_frequency_images(noise, size, decay, spectrum)
        masks.append(binarize(images, [share], [draws.random() > 0.5], max_soft))
    return torch.cat(masks)


def frequencies(height: int, width: int) -> Tensor:
    """Distance from frequency zero in the half plane of a real transform, cycles per px, float64 [H, F].

    F is W / 2 + 1; one more for an odd width, as in the authors' code.

    >>> frequencies(2, 3)
    tensor([[0.0000, 0.3333, 0.3333],
            [0.5000, 0.6009, 0.6009]], dtype=torch.float64)
    """
    half = width // 2 + 1 + width % 2
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    return (rows.square() + torch.fft.fftfreq(width, dtype=torch.float64)[:half].square()).sqrt()


@lru_cache(maxsize=16)
def amplitudes(height: int, width: int, decay: float) -> Tensor:
    """Factor on each frequency, 1 / f ** decay, float64 [H, F]; f is at least one cycle per longer side."""
    return frequencies(height, width).clamp(min=1 / max(height, width)) ** -decay


def low_frequency_images(
    noise: Tensor, size: tuple[int, int], decay: float = 3.0, spectrum: str = "official"
) -> Tensor:
    """Random images whose amplitudes fall with the frequency, stretched to [0, 1] (FMix, section 4).

    Departs from the paper in its default: the authors' code takes the first two *rows* of the random spectrum as real
    and imaginary part, instead of the two numbers of each frequency. Across the width that leaves the frequencies 0
    and 1, so that a mask is a wavy band.

    Args:
        noise: standard normal numbers, [M, H, F, 2] (see :func:`frequencies`); the official form reads two rows only.
        size: height and width, px.
        decay: see :func:`draw_masks`.
        spectrum: "official" for bands, "paper" for blobs of any form.

    Returns:
        [M, H, W].
    """
    if spectrum not in SPECTRA:
        raise ValueError(f"spectrum {spectrum!r} is not known; choose one of {', '.join(SPECTRA)}")
    if min(size) < 2:
        raise ValueError(f"FMix masks of {size[0]} x {size[1]} px; both sides should be at least 2")
    height, width = size
    factors = amplitudes(height, width, decay)[: noise.shape[1], :, None].to(noise.dtype)
    filtered = noise * factors  # [M, rows, F, 2]
    if spectrum == "official":
        swapped = torch.complex(filtered[:, 0].contiguous(), filtered[:, 1].contiguous())  # [M, F, 2]
        images = torch.fft.irfft(torch.fft.ifft(swapped, height, dim=1), width, dim=2)
    else:
        images = torch.fft.irfft2(torch.view_as_complex(filtered), size)
    images -= images.amin((1, 2), keepdim=True)
    images /= images.amax((1, 2), keepdim=True)
    return images


def binarize(images: Tensor, shares: Sequence[float], round_up: Sequence[bool], max_soft: float = 0.0) -> Tensor:
    """One where an image is highest, on a given share of its pixels, zero elsewhere (FMix, equation 4).

    Args:
        images: [M, H, W], on the CPU.
        shares: one per image, in [0, 1].
        round_up: whether the number of pixels is rounded up or down; a coin in the authors' code.
        max_soft: the largest share of pixels, on either side of the cut, that fall from one to zero by their order.

    Returns:
        Masks, [M, H, W].

    >>> binarize(torch.tensor([[[0.1, 0.9], [0.4, 0.6]]]), [0.5], [True])
    tensor([[[0., 1.],
             [0., 1.]]])
    """
    _check_shares(shares)
    num_pixels = images[0].numel()
    masks = torch.zeros_like(images)
    for image, mask, share, up in zip(images.flatten(1), masks.flatten(1), shares, round_up, strict=True):
        values, cut = image.numpy(), (math.ceil if up else math.floor)(share * num_pixels)
        soft = int(num_pixels * min(max_soft, share, 1 - share))
        first, last = num_pixels - cut - soft, num_pixels - cut + soft  # of the soft pixels, in rising order
        order = np.argpartition(values, [min(place, num_pixels - 1) for place in {first, last}])
        ramp = order[first:last]
        mask.numpy()[order[last:]] = 1
        mask.numpy()[ramp[values[ramp].argsort()]] = np.linspace(0, 1, 2 * soft)
    return masks


def _check_shares(shares: Sequence[float]) -> None:
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"a share of {share}; it should lie in [0, 1], see draw_share")
