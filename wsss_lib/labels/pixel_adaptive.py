"""Pixel-adaptive refinement (PAR): scores flow between pixels of like color (Ru et al., CVPR 2022; used by KTSE)."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 2, 4, 8, 12, 24)
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
TEMPERATURE = 0.3  # of distances, in standard deviations of the neighbours
SMALL_WEIGHT = 0.01  # of the weights by position and by edges


def neighbours(values: Tensor, dilations: Sequence[int] = DILATIONS) -> Iterator[Tensor]:
    """What stands in the eight directions at every distance; the image is continued by its border.

    Args:
        values: [..., H, W] with two leading axes.
        dilations: distances, px.

    Yields:
        One view [..., H, W] per neighbour, direction by direction of each distance in turn.

    Raises:
        ValueError: no distance, or one below 1.

    >>> [view.item() for view in neighbours(torch.arange(9.0).view(1, 1, 3, 3)[..., 1:2, 1:2], [1])] == [4.0] * 8
    True
    """
    if len(dilations) == 0 or min(dilations) < 1:
        raise ValueError(f"dilations {list(dilations)} should be one or more distances of at least 1 px")
    height, width = values.shape[-2:]
    reach = max(dilations)
    padded = F.pad(values, (reach, reach, reach, reach), mode="replicate")
    for dilation in dilations:
        for down, right in DIRECTIONS:
            top, left = reach + down * dilation, reach + right * dilation
            yield padded[..., top : top + height, left : left + width]


@torch.no_grad()
def color_weights(
    images: Tensor, dilations: Sequence[int] = DILATIONS, *, temperature: float = TEMPERATURE, eps: float = 1e-8
) -> Tensor:
    """Softmax over the neighbours of minus their squared difference in color, in units of the neighbours' deviation.

    Args:
        images: RGB on any scale, [B, 3, H, W].
        dilations: distances of the neighbours, px.
        temperature: divides the differences.
        eps: guard of the standard deviations.

    Returns:
        [B, N, H, W], N = 8 neighbours per distance; they sum to 1.
    """
    around = torch.stack(list(neighbours(images, dilations)), 1)  # [B, N, 3, H, W]
    variances = (around - around.mean(1, keepdim=True)).square_().sum(1, keepdim=True) / (around.shape[1] - 1)
    deviations = (variances.sqrt_() + eps) * temperature
    return around.sub_(images[:, None]).div_(deviations).square_().mean(2).neg_().softmax(1)


def position_weights(
    dilations: Sequence[int] = DILATIONS, *, temperature: float = TEMPERATURE, eps: float = 1e-8
) -> Tensor:
    """Softmax over the neighbours of minus their squared distance, in units of the deviation of distances, [N].

    >>> position_weights([1]).shape
    torch.Size([8])
    """
    distances = torch.tensor(
        [dilation * (down**2 + right**2) ** 0.5 for dilation in dilations for down, right in DIRECTIONS]
    )
    return (-(distances / ((distances.std() + eps) * temperature)).square()).softmax(0)


@torch.no_grad()
def edge_weights(images: Tensor, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Softmax over the neighbours of the squared color step from each of them to the next pixel right and down.

    Arguments and result as in :func:`color_weights`.
    """
    around = torch.stack(list(neighbours(images, dilations)), 1)  # [B, N, 3, H, W]
    right, down = around.diff(dim=-1), around.diff(dim=-2)
    steps = F.pad(right.square_(), (0, 1)) + F.pad(down.square_(), (0, 0, 0, 1))
    return steps.mean(2).softmax(1)


def pixel_affinities(images: Tensor, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Weights with which a pixel takes over the scores of its neighbours (PAR).

    Those of color and a hundredth of those of position. As in the authors' code they sum to 1.01, so that scores grow
    a little. Arguments and result as in :func:`color_weights`.

    >>> pixel_affinities(torch.rand(1, 3, 5, 5)).sum(1)[0, 0, 0]
    tensor(1.0100)
    """
    return color_weights(images, dilations) + SMALL_WEIGHT * position_weights(dilations).to(images)[:, None, None]


def parvar_affinities(images: Tensor, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Those of PAR, less a hundredth at edges (PARVAR, in the code of KTSE but not used there)."""
    return pixel_affinities(images, dilations) - SMALL_WEIGHT * edge_weights(images, dilations)


def varm_affinities(images: Tensor, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """Those of color at temperature 1/4, less a hundredth at edges (VARM, in the code of KTSE but not used there)."""
    return color_weights(images, dilations, temperature=0.25) - SMALL_WEIGHT * edge_weights(images, dilations)


@torch.no_grad()
def spread_scores(
    scores: Tensor, affinities: Tensor, dilations: Sequence[int] = DILATIONS, iterations: int = 10
) -> Tensor:
    """Replace every score by the weighted sum of those of its neighbours, again and again.

    Args:
        scores: [B, K, H, W].
        affinities: [B, N, H, W], for example :func:`pixel_affinities`; one computation serves any number of scores.
        dilations: those of the affinities.
        iterations: how often.

    Raises:
        ValueError: affinities of another size or number of neighbours.
    """
    batch, _, height, width = scores.shape
    if affinities.shape != (batch, 8 * len(dilations), height, width):
        raise ValueError(
            f"affinities {list(affinities.shape)} do not fit scores {list(scores.shape)} and {len(dilations)} "
            "dilations; make them from images of the size of the scores, with the same dilations"
        )
    weights = affinities[:, :, None].unbind(1)  # each [B, 1, H, W]
    for _ in range(iterations):
        spread = torch.zeros_like(scores)
        for weight, there in zip(weights, neighbours(scores, dilations), strict=True):
            spread.addcmul_(weight, there)
        scores = spread
    return scores


def refine_scores(
    scores: Tensor,
    images: Tensor,
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    affinities_of: Callable[[Tensor, Sequence[int]], Tensor] = pixel_affinities,
) -> Tensor:
    """Scores at the size of the images, moved to edges of color (PAR).

    Args:
        scores: [B, K, h, w], of background and classes, for example after a softmax; resized (corners aligned).
        images: RGB, [B, 3, H, W].
        dilations: distances of the neighbours, px.
        iterations: 10 in the papers.
        affinities_of: the affinities of one of the functions above.

    Returns:
        [B, K, H, W]; not differentiable, it serves labels.
    """
    scores = F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=True)
    return spread_scores(scores, affinities_of(images, dilations), dilations, iterations)
