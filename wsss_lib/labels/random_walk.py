"""Random walk over pixels: scores spread to what looks alike (AffinityNet, Ahn and Kwak, CVPR 2018; IRN, CVPR 2019)."""

import warnings
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.labels.affinity_labels import pool_scores
from wsss_lib.labels.dense_crf import alpha_scores
from wsss_lib.labels.pixel_pairs import (
    Displacements,
    pad_for_pairs,
    pair_affinities,
    pair_indices,
    without_padding,
)


def transition_matrix(affinities: Tensor, size: tuple[int, int], displacements: Displacements, beta: float) -> Tensor:
    """Weights with which a pixel takes over the scores of its neighbours in one step.

    Affinities count in both directions and to the power of ``beta``, a pixel has affinity 1 with itself, and the
    weights of each pixel sum to one. In the authors' code, whose scores are rows, this is the transpose of T.

    Args:
        affinities: [D, n] in [0, 1], of the sources of a map of that size in reading order.
        size: height and width of the map, px.
        displacements: D of them.
        beta: exponent; the higher, the less leaks through weak affinities (8 in PSA, 10 in IRN).

    Returns:
        Sparse CSR [h * w, h * w] of the type of the affinities; row j has the weights of what j takes over.

    >>> transition_matrix(torch.tensor([[0.5]]), (1, 2), [(0, 1)], beta=1).to_dense()
    tensor([[0.6667, 0.3333], [0.3333, 0.6667]])
    """
    sources, destinations = (index.to(affinities.device) for index in pair_indices(*size, displacements))
    if affinities.shape != destinations.shape:
        raise ValueError(
            f"affinities {list(affinities.shape)} do not belong to a map of {size[0]} x {size[1]} px with "
            f"{len(displacements)} displacements, which has {list(destinations.shape)}; give the size that they are of"
        )
    kept = affinities.flatten() > 0
    here, there = sources.expand_as(destinations).flatten()[kept], destinations.flatten()[kept]
    weights = affinities.flatten()[kept] ** beta
    num_pixels = size[0] * size[1]
    pixels = torch.arange(num_pixels, device=affinities.device)
    rows, columns = torch.cat([here, there, pixels]), torch.cat([there, here, pixels])
    weights = torch.cat([weights, weights, weights.new_ones(num_pixels)])

    rows, order = rows.sort(stable=True)
    counts = torch.bincount(rows, minlength=num_pixels)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    totals = torch.segment_reduce(weights[order], "sum", lengths=counts)
    return sparse_rows(starts, columns[order], weights[order] / totals[rows], num_pixels)


def sparse_rows(starts: Tensor, columns: Tensor, weights: Tensor, num_pixels: int) -> Tensor:
    """Square CSR matrix with 32-bit indices, which MKL multiplies by without converting them in each step."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # that the layout is in beta, that checks are off
        shape = (num_pixels, num_pixels)
        return torch.sparse_csr_tensor(starts.int(), columns.int(), weights, shape, check_invariants=False)


def random_walk(scores: Tensor, transition: Tensor, steps: int) -> Tensor:
    """Apply the transition matrix ``steps`` times.

    The authors square the dense matrix log2(steps) times; applying the sparse one to a few rows of scores is the same
    up to rounding, and its cost grows with the pixels instead of with their third power.

    Args:
        scores: [R, h, w], as many rows as wanted (the background and the classes present, say).
        transition: from :func:`transition_matrix`.
        steps: 256 in PSA and IRN.

    Returns:
        [R, h, w]. The highest score never grows, the lowest never falls; a constant stays as it is.

    >>> half = transition_matrix(torch.ones(1, 1), (1, 2), [(0, 1)], beta=1)
    >>> random_walk(torch.tensor([[[1.0, 0.0]]]), half, steps=1)
    tensor([[[0.5000, 0.5000]]])
    """
    columns = scores.flatten(1).T.to(transition.dtype).contiguous()  # [h * w, R]
    for _ in range(steps):
        columns = transition @ columns
    return columns.T.reshape(scores.shape)


def walk_by_features(
    scores: Tensor,
    features: Tensor,
    displacements: Displacements,
    *,
    beta: float,
    steps: Sequence[int],
    every_source: bool = True,
) -> Iterator[Tensor]:
    """Random walks of several lengths with the affinities of one image, each going on from the one before.

    Args:
        scores: [R, h, w].
        features: of AffinityNet, [C, h, w].
        displacements: of the pairs.
        beta: exponent of the affinities.
        steps: lengths, increasing.
        every_source: all pixels have their pairs, up to the border. False: only pixels whose destinations all lie
            inside the map are sources, as in the authors' code; what is near the left, right and lower border then
            takes over less.

    Yields:
        Scores after each length, [R, h, w].

    Raises:
        ValueError: sizes that differ, decreasing lengths, or a map too small to hold a pair.
    """
    if scores.shape[1:] != features.shape[1:]:
        raise ValueError(
            f"scores of {scores.shape[1]} x {scores.shape[2]} px with features of {features.shape[1]} x "
            f"{features.shape[2]} px; pool the scores to the features"
        )
    if list(steps) != sorted(steps):
        raise ValueError(f"the lengths {list(steps)} of the walk should increase")
    if every_source:
        features = pad_for_pairs(features, displacements, torch.inf)
        scores = pad_for_pairs(scores, displacements, 0.0)
    affinities = pair_affinities(features[None], displacements)[0]
    transition = transition_matrix(affinities, scores.shape[1:], displacements, beta)
    done = 0
    for length in steps:
        scores, done = random_walk(scores, transition, length - done), length
        yield without_padding(scores, displacements) if every_source else scores


def refined_scores(
    maps: Tensor,
    features: Tensor,
    displacements: Displacements,
    *,
    stride: int,
    alphas: Sequence[float],
    beta: float,
    steps: Sequence[int],
    every_source: bool = True,
) -> Tensor:
    """Scores of one image after random walks, for several exponents of the background and several lengths.

    The walk is linear, so all background scores take part in one walk with the maps. Scores are pooled to the features
    and stretched back, as in the authors' code.

    Args:
        maps: normalized maps of the classes present alone, [K, H, W]; K may be 0.
        features: of AffinityNet, [C, h, w], with h * stride >= H and w * stride >= W.
        displacements, beta, steps, every_source: see :func:`walk_by_features`.
        stride: px of the image per pixel of the features.
        alphas: exponents of the background score (1 - highest map).

    Returns:
        [len(steps), len(alphas), K + 1, H, W], background first. The place of the highest is the label: 0 background,
        1..K the place of the class among those present.

    Raises:
        ValueError: features too small for the image, and as :func:`walk_by_features`.
    """
    (height, width), (rows, columns) = maps.shape[1:], features.shape[1:]
    if rows * stride < height or columns * stride < width:
        raise ValueError(
            f"features of {rows} x {columns} px at stride {stride} do not cover an image of {height} x {width} px; "
            "give the stride that they have"
        )
    backgrounds = [alpha_scores(maps, alpha)[:1] for alpha in alphas]
    scores = F.pad(torch.cat([*backgrounds, maps]), (0, columns * stride - width, 0, rows * stride - height))
    pooled = pool_scores(scores, stride)
    walks = walk_by_features(pooled, features, displacements, beta=beta, steps=steps, every_source=every_source)
    walked = F.interpolate(torch.stack(list(walks)), scale_factor=stride, mode="bilinear")[..., :height, :width]
    classes = walked[:, len(alphas) :]  # [S, K, H, W]
    return torch.stack([torch.cat([walked[:, place, None], classes], 1) for place in range(len(alphas))], dim=1)
