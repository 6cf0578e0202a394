"""Models that no other model beats in every score: the selection of Rao et al. (ICCV 2023)."""

import numpy as np
from numpy.typing import ArrayLike


def rounded_to_bins(scores: ArrayLike, bin_width: float) -> np.ndarray:
    """Scores rounded to multiples of a width, halves to the even one; a width of 0 leaves them.

    >>> rounded_to_bins([0.4, 0.75, 1.25], 0.5)
    array([0.5, 1. , 1. ])
    """
    scores = np.asarray(scores, dtype=np.float64)
    return np.round(scores / bin_width) * bin_width if bin_width else scores


def pareto_front(scores: ArrayLike, bin_width: float = 0.0) -> np.ndarray:
    """Rows that no other row beats: none is as good in every score and better in one.

    Args:
        scores: [N, M], higher is better; one row per model (epoch, weight of the loss), in the order of training.
        bin_width: differences below it are noise: scores are rounded to multiples of it first. The authors use 0.005
            for scores in [0, 1], that is 0.5 for percent.

    Returns:
        Indices of the rows in rising order, int [F]; of rows that are equal after rounding the first stays.

    Raises:
        ValueError: not a table, or a score that is NaN.

    >>> pareto_front([[80.0, 50.0], [70.0, 60.0], [75.0, 40.0]])
    array([0, 1])
    >>> pareto_front([[80.1, 50.0], [80.0, 50.1]], bin_width=0.5)
    array([0])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or np.isnan(scores).any():
        raise ValueError(f"scores {scores.shape} should be a table [models, scores] without NaN; leave such models out")
    rounded = rounded_to_bins(scores, bin_width)
    at_least, better = (compare(rounded[:, None], rounded[None]) for compare in (np.greater_equal, np.greater))
    beaten = (at_least.all(2) & better.any(2)).any(0)
    earlier = np.tri(len(rounded), k=-1, dtype=bool).T  # [i, j]: i before j
    repeated = ((rounded[:, None] == rounded[None]).all(2) & earlier).any(0)
    return np.flatnonzero(~beaten & ~repeated)
