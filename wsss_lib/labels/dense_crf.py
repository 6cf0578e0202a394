"""Fully connected CRF by mean field (Krähenbühl and Koltun, NIPS 2011), and the class scores that are handed to it.

``dense_crf`` gives what the compiled package pydensecrf gives, since it filters on the same permutohedral lattice: the
exact sums over all pixel pairs are another answer. Most images agree to 1e-5. Where a color lies on the border of a
cell, rounding decides which vertices exist: around such pixels marginals can differ by some 1e-2, more often the
narrower the kernel.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from wsss_lib.labels.permutohedral import PermutohedralLattice, permutohedral_lattice


@dataclass(frozen=True)
class CrfLattices:
    """Both pairwise kernels of one image, symmetrically normalized, with the standard deviations they were made for."""

    gaussian_std: float
    bilateral_std: tuple[float, float]
    size: tuple[int, int]
    gaussian: PermutohedralLattice
    bilateral: PermutohedralLattice

    @property
    def device(self) -> torch.device:
        return self.bilateral.weights.device


def crf_lattices(
    image: ArrayLike | Tensor, gaussian_std: float = 3.0, bilateral_std: tuple[float, float] = (80.0, 13.0)
) -> CrfLattices:
    """What :func:`dense_crf` computes from the image alone, for several calls with the same image.

    Args:
        image: RGB, uint8 [H, W, 3]; the lattices lie on its device.
        gaussian_std: of the position, px.
        bilateral_std: of the position, px, and of the color, in units of 0 to 255.
    """
    image = torch.as_tensor(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != torch.uint8:
        raise ValueError(
            f"the image must be RGB, uint8 [H, W, 3] with values 0 to 255, not {image.dtype} {list(image.shape)}; "
            "convert a normalized [3, H, W] tensor back first"
        )
    if min(gaussian_std, *bilateral_std) <= 0:
        raise ValueError(
            f"standard deviations must be positive, not {gaussian_std} and {bilateral_std}; "
            "a weight of 0 switches a kernel off"
        )
    height, width = image.shape[:2]
    position_std, color_std = bilateral_std
    colors = image.reshape(-1, 3).double() / color_std
    positions = _positions(height, width, image.device) / position_std
    bilateral = permutohedral_lattice(torch.cat((positions, colors), 1)).normalized()
    gaussian = _gaussian_lattice(height, width, float(gaussian_std), image.device)
    return CrfLattices(gaussian_std, tuple(bilateral_std), (height, width), gaussian, bilateral)


@lru_cache(maxsize=8)  # about 10 MB for a photograph of VOC; a data set has few sizes
def _gaussian_lattice(height: int, width: int, std: float, device: torch.device) -> PermutohedralLattice:
    return permutohedral_lattice(_positions(height, width, device) / std).normalized()


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    """Column and row of each pixel, float64 [H W, 2]."""
    rows = torch.arange(height, dtype=torch.float64, device=device)
    columns = torch.arange(width, dtype=torch.float64, device=device)
    return torch.cartesian_prod(rows, columns).flip(1)


def dense_crf(
    image: ArrayLike | Tensor,
    probabilities: Tensor,
    *,
    gaussian: tuple[float, float] = (3.0, 3.0),
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0),
    iterations: int = 10,
    clip: float = 1e-5,
    lattices: CrfLattices | None = None,
) -> Tensor:
    """Marginals of the fully connected CRF with Potts labels, after some steps of mean field.

    Each step is ``Q = softmax(log p + sum over both kernels of weight * D^-1/2 K D^-1/2 Q)``, starting without the sum;
    K includes the pixel itself and D holds the sums of its rows. Every label given takes part: hand over the rows
    of the classes present in the image, background first, and none of the others.

    Args:
        image: RGB, uint8 [H, W, 3].
        probabilities: float [L, H, W], or [U, L, H, W] for several unaries of one image, which cost less together; they
            need not sum to 1. Gradients flow through them.
        gaussian: standard deviation (px) and weight of the position kernel.
        bilateral: standard deviations of position (px) and color (0 to 255), and weight, of the second kernel.
        iterations: steps of mean field.
        clip: lower bound of the probabilities; the upper one is 1.
        lattices: of this image, from :func:`crf_lattices`, to save their computation.

    Returns:
        Marginals, float32, shape and device of ``probabilities``; they sum to 1 over the labels.

    >>> image = torch.zeros(4, 6, 3, dtype=torch.uint8)
    >>> image[:, 3:] = 255
    >>> left = torch.full((4, 6), 0.6)
    >>> left[:, 3:], left[0, 0] = 0.4, 0.4  # one pixel of the dark half in doubt
    >>> dense_crf(image, torch.stack((left, 1 - left))).argmax(0)[0]
    tensor([0, 0, 0, 1, 1, 1])
    """
    (gaussian_std, gaussian_weight), (position_std, color_std, bilateral_weight) = gaussian, bilateral
    if probabilities.ndim not in (3, 4):
        raise ValueError(f"probabilities must be [L, H, W] or [U, L, H, W], not {list(probabilities.shape)}")
    if not probabilities.isfinite().all():
        raise ValueError("probabilities hold NaN or infinity; look at the maps they were made from")
    size, image_size = tuple(probabilities.shape[-2:]), tuple(torch.as_tensor(image).shape[:2])
    if size != image_size:
        remedy = "height and width are swapped, transpose one" if size == image_size[::-1] else "resize them first"
        raise ValueError(f"the image has {image_size} px, the probabilities have {size}: {remedy}")
    if lattices is None:
        lattices = crf_lattices(
            torch.as_tensor(image).to(probabilities.device), gaussian_std, (position_std, color_std)
        )
    _check_lattices(lattices, gaussian_std, (position_std, color_std), size, probabilities.device)

    labels = probabilities.shape[-3]
    unaries = probabilities.float().reshape(-1, labels, size[0] * size[1]).clamp(clip, 1).log()
    log_scores = unaries.permute(2, 0, 1).contiguous()  # [N, U, L]
    marginals = _softmax(log_scores)
    for _ in range(iterations):
        values = marginals.flatten(1)
        near = lattices.gaussian.filter(values).view_as(log_scores)
        alike = lattices.bilateral.filter(values).view_as(log_scores)
        marginals = _softmax(log_scores.add(near, alpha=gaussian_weight).add(alike, alpha=bilateral_weight))
    return marginals.permute(1, 2, 0).reshape(probabilities.shape)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis; torch's own is several times slower for a few labels and many rows."""
    exponentials = (scores - scores.detach().amax(-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _check_lattices(
    lattices: CrfLattices,
    gaussian_std: float,
    bilateral_std: tuple[float, float],
    size: tuple[int, int],
    device: torch.device,
) -> None:
    made_for = lattices.gaussian_std, lattices.bilateral_std, lattices.size
    if made_for != (gaussian_std, bilateral_std, size):
        raise ValueError(
            f"the lattices were made for standard deviations {made_for[:2]} and {made_for[2]} px, asked for are "
            f"{(gaussian_std, bilateral_std)} and {size} px; make them anew with crf_lattices"
        )
    if lattices.device != device:
        raise ValueError(
            f"the lattices lie on {lattices.device}, the probabilities on {device}; "
            "give crf_lattices an image tensor on that device"
        )


def alpha_scores(maps: Tensor, alpha: float) -> Tensor:
    """Background score (1 - max of the maps)^alpha in front of the maps of the classes present (PSA, section 3.2).

    A small alpha makes background strong, a large one weak. The scores do not sum to 1.

    Args:
        maps: normalized maps of the classes present alone, [..., K, H, W], in [0, 1]; K may be 0.
        alpha: exponent.

    Returns:
        Scores, [..., K + 1, H, W], background first.

    >>> alpha_scores(torch.tensor([0.5, 0.25]).view(2, 1, 1), 2).flatten()
    tensor([0.2500, 0.5000, 0.2500])
    """
    highest = F.pad(maps, (0, 0, 0, 0, 1, 0)).amax(-3, keepdim=True)
    return torch.cat(((1 - highest) ** alpha, maps), -3)


def label_scores(label_map: Tensor, num_labels: int, confidence: float) -> Tensor:
    """Scores of a label map that may be wrong: ``confidence`` for its label, the rest shared by all others (IRN).

    Args:
        label_map: int64 [..., H, W], 0 to ``num_labels`` - 1.
        num_labels: of the image, background included; at least 2.
        confidence: probability that a label is right, 0.7 in IRN.

    Returns:
        Scores that sum to 1, [..., num_labels, H, W].

    >>> label_scores(torch.tensor([[0, 2]]), 3, 0.7)[:, 0]
    tensor([[0.7000, 0.1500],
            [0.1500, 0.1500],
            [0.1500, 0.7000]])
    """
    if num_labels < 2:
        raise ValueError(f"{num_labels} label leaves none to doubt; scores need at least two labels")
    if not ((label_map >= 0) & (label_map < num_labels)).all():
        raise ValueError(f"labels must be numbered without ignore; give every pixel a label below {num_labels}")
    labels = torch.arange(num_labels, device=label_map.device)[:, None, None]
    return torch.where(label_map.unsqueeze(-3) == labels, confidence, (1 - confidence) / (num_labels - 1))
