"""Labels that the relation network learns from: what stays foreground, what stays background (IRN, section 3.2)."""

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from wsss_lib.labels.affinity_labels import IGNORE
from wsss_lib.labels.dense_crf import CrfLattices, dense_crf, label_scores


def place_labels(maps: Tensor, background_scores: list[float]) -> Tensor:
    """The place of the highest map where it exceeds the background score: one label map for each background score.

    Args:
        maps: normalized maps of the classes present alone, [K, H, W]; K may be 0.
        background_scores: U of them.

    Returns:
        int64 [U, H, W]: 0 background, 1..K the place among the classes present.

    >>> place_labels(torch.tensor([[[0.2]], [[0.3]]]), [0.1, 0.4]).flatten()
    tensor([2, 0])
    """
    return torch.stack([F.pad(maps, (0, 0, 0, 0, 1, 0), value=score).max(0).indices for score in background_scores])


def crf_label_maps(
    image: ArrayLike | Tensor,
    label_maps: Tensor,
    num_labels: int,
    *,
    confidence: float = 0.7,
    gaussian: tuple[float, float] = (3.0, 3.0),
    bilateral: tuple[float, float, float] = (50.0, 5.0, 10.0),
    iterations: int = 10,
    lattices: CrfLattices | None = None,
) -> Tensor:
    """Label maps of one image after a dense CRF that takes each label as right with some probability.

    Args:
        image: RGB, uint8 [H, W, 3].
        label_maps: int64 [U, H, W], 0 to ``num_labels`` - 1.
        num_labels: of the image, background included; with one there is nothing to change.
        confidence: probability that a label is right.
        gaussian, bilateral, iterations, lattices: see :func:`wsss_lib.labels.dense_crf.dense_crf`.

    Returns:
        int64 [U, H, W].
    """
    if num_labels < 2 or iterations == 0:
        return label_maps
    unaries = label_scores(label_maps, num_labels, confidence)
    kernels = {"gaussian": gaussian, "bilateral": bilateral, "iterations": iterations, "lattices": lattices}
    return dense_crf(image, unaries, **kernels).argmax(1)


def agreed_labels(foreground: Tensor, background: Tensor) -> Tensor:
    """The foreground of one label map, the background that both share, and 255 elsewhere.

    Args:
        foreground: int64 [..., H, W], made with a high background score: what it calls an object is one.
        background: the same with a low background score: what it calls background is none.

    >>> agreed_labels(torch.tensor([3, 0, 0, 3]), torch.tensor([3, 3, 0, 0]))
    tensor([  3, 255,   0,   3])
    """
    return torch.where(foreground > 0, foreground, torch.where(background == 0, 0, IGNORE))
