"""Words against regions: nearest words, recall, precision, and what chance and word counts alone would reach."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def nearest_words(embeddings: Tensor, directions: Tensor, count: int, *, chunk: int = 256) -> tuple[Tensor, Tensor]:
    """The words with the highest cosine to each embedding.

    Args:
        embeddings: [B, E].
        directions: word vectors of length one, [V, E]; made once, they serve all embeddings.
        count: s.
        chunk: embeddings at once, which bounds the memory at chunk times V numbers.

    Returns:
        Their rows, int64 [B, s], nearest first, and their cosines, [B, s].

    Raises:
        ValueError: the vocabulary has fewer words, or vectors of another dimension.
    """
    if not 0 < count <= len(directions):
        raise ValueError(f"{count} nearest words of a vocabulary of {len(directions)}; ask for 1 to {len(directions)}")
    if embeddings.shape[1] != directions.shape[1]:
        raise ValueError(
            f"embeddings have {embeddings.shape[1]} dimensions, word vectors {directions.shape[1]}; the explainer was "
            "trained with other word vectors"
        )
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    found = [(part @ directions.T).topk(count, dim=1) for part in unit.split(chunk)]
    if not found:
        return torch.zeros(0, count, dtype=torch.int64), torch.zeros(0, count)
    return torch.cat([top.indices for top in found]), torch.cat([top.values for top in found])


def top_k_accuracy(cosines: Tensor, targets: Tensor, ks: Sequence[int]) -> list[float]:
    """Share of rows with a right word among the k nearest of C, percent, for each k (k above C counts as C).

    Args:
        cosines, targets: [B, C].

    >>> top_k_accuracy(torch.tensor([[0.3, 0.2], [0.9, 0.1]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), [1, 2])
    [50.0, 100.0]
    """
    most = min(max(ks), cosines.shape[1])
    hits = targets.gather(1, cosines.topk(most, dim=1).indices).cumsum(1) > 0
    return [100 * hits[:, min(k, most) - 1].double().mean().item() for k in ks]


def recall_by_word(nearest: Sequence[Sequence[str]], truth: Sequence[Iterable[str]], ks: Sequence[int]) -> pd.DataFrame:
    """For every word, the share of its regions where it is among the k nearest words, percent.

    Args:
        nearest: of each region, nearest first.
        truth: words of each region.
        ks: numbers of nearest words.

    Returns:
        One row a word, one column a k.

    >>> recall_by_word([["cat", "dog"], ["dog", "cat"]], [["dog"], ["dog"]], [1, 2]).loc["dog"].tolist()
    [50.0, 100.0]
    """
    found = [
        (word, *(100.0 * (word in of_region[:k]) for k in ks))
        for of_region, words in zip(nearest, truth, strict=True)
        for word in words
    ]
    return pd.DataFrame(found, columns=["word", *ks]).groupby("word").mean()


def region_ious(region: Tensor, masks: Tensor) -> Tensor:
    """Overlap of a region of the image with masks of the grid, as if these were enlarged (nearest) to the image.

    The pixels of the region are counted once per cell, and one product gives all intersections.

    Args:
        region: bool [H, W].
        masks: nonzero inside, [n, h, w].

    Returns:
        Intersection over union, [n]; 0 where both are empty.
    """
    rows, columns, areas = cells_of_pixels(*region.shape, *masks.shape[1:])
    inside = (rows @ region.float() @ columns).flatten()
    flat = (masks.flatten(1) != 0).float()
    intersections = flat @ inside
    unions = flat @ areas + inside.sum() - intersections
    return intersections / unions.clamp(min=1)


@cache
def cells_of_pixels(height: int, width: int, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where an image shows the cells of a grid: 1 where a row of pixels shows a row of cells, float [rows, height], the
    same of columns, float [width, columns], and the pixels of each cell, [rows * columns]."""
    down = (torch.arange(height) * rows // height == torch.arange(rows)[:, None]).float()
    across = (torch.arange(width)[:, None] * columns // width == torch.arange(columns)).float()
    return down, across, torch.outer(down.sum(1), across.sum(0)).flatten()


def region_words(region: Tensor, masks: Tensor, words: Sequence[Iterable[str]], threshold: float = 0.04) -> set[str]:
    """Words of the annotated masks that a region overlaps by more than the threshold of IoU (0.04 in the paper)."""
    ious = region_ious(region, masks).tolist()
    return {word for iou, of_mask in zip(ious, words, strict=True) if iou > threshold for word in of_mask}


def word_recall(truth: Collection[str], predicted: Collection[str], only: Collection[str] | None = None) -> float:
    """Share of the true words that were predicted, percent; NaN if there is none.

    Args:
        truth, predicted: words.
        only: true words that count, such as those unseen in training.

    >>> word_recall({"dog", "tree"}, ["dog", "cat"]), word_recall({"dog"}, ["dog"], only={"cat"})
    (50.0, nan)
    """
    truth = set(truth) if only is None else set(truth) & set(only)
    return 100 * len(truth & set(predicted)) / len(truth) if truth else math.nan


def mean_recall(recalls: Iterable[float]) -> float:
    """Mean over all pairs of filter and image that have a true word; NaN if none has."""
    known = [value for value in recalls if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


VOTES = {"one": lambda maximum: 1, "ceil": math.ceil, "floor": math.floor}


def count_words(
    words: Sequence[Sequence[str]], maxima: Sequence[float], *, votes: str = "one", cosines: Tensor | None = None
) -> list[tuple[str, int]]:
    """Words of a filter with their counts over its images, most frequent first.

    Equal counts are ordered by the sum of cosines, then by the alphabet; the original leaves their order open.

    Args:
        words: of each image, nearest first.
        maxima: activation of the filter in each image; images at or below 0 do not vote.
        votes: "one" a word and image, "ceil" or "floor" of the activation (the reproduction's option; the authors).
        cosines: of the words, [images, s].

    Raises:
        ValueError: unknown votes.
    """
    if votes not in VOTES:
        raise ValueError(f"votes {votes!r} is not known; choose one of {', '.join(VOTES)}")
    counts: Counter[str] = Counter()
    nearness: Counter[str] = Counter()
    for image, (of_image, maximum) in enumerate(zip(words, maxima, strict=True)):
        weight = VOTES[votes](maximum) if maximum > 0 else 0
        for place, word in enumerate(of_image if weight else ()):
            counts[word] += weight
            nearness[word] += float(cosines[image, place]) if cosines is not None else 0.0
    return sorted(counts.items(), key=lambda item: (-item[1], -nearness[item[0]], item[0]))


def common_words(words: Iterable[Iterable[Iterable[str]]], count: int) -> list[str]:
    """The words that the most regions have, over all images: a prediction that looks at no image."""
    counts = Counter(word for image in words for region in image for word in region)
    return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:count]]


def frequent_truth(truths: Sequence[Collection[str]], share: float = 0.5) -> set[str]:
    """Words that are true in at least a share of the images of a filter."""
    counts = Counter(word for truth in truths for word in set(truth))
    return {word for word, number in counts.items() if number >= share * len(truths)}


def word_precision(
    predicted: Sequence[str], truth: Collection[str], count: int, synonyms: Mapping[str, Collection[str]] | None = None
) -> float:
    """Share of the first words of a filter that are right, percent; NaN where there is no truth.

    Args:
        predicted: most frequent first.
        truth: right words.
        count: how many of the first, 1 or 5 in the paper; missing ones are wrong.
        synonyms: word -> words that mean the same; a synonym of a right word is right (raters accept them).
    """
    if not truth:
        return math.nan
    means = synonyms or {}
    right = [word in truth or bool(set(means.get(word, ())) & set(truth)) for word in predicted[:count]]
    return 100 * sum(right) / count


def group_differences(maxima: Tensor, thresholds: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Share of qualified images (maximum above the threshold) of the first group less that of the second, points.

    Args:
        maxima: of each image and filter, [N, U].
        thresholds: [U].
        first, second: images of the groups, bool [N].

    Raises:
        ValueError: a group is empty.
    """
    if not first.any() or not second.any():
        raise ValueError(f"groups of {int(first.sum())} and {int(second.sum())} images; each needs at least one")
    qualified = (maxima > thresholds).double()
    return 100 * (qualified[first].mean(0) - qualified[second].mean(0))
