"""Word vectors from sentences alone: co-occurrence, positive PMI, truncated SVD (Levy et al., TACL 2015)."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds

from wsss_lib.data.words import WordVectors, without_zero_vectors


def sentence_vectors(
    sentences: Iterable[str], *, dimension: int = 32, min_count: int = 5, smoothing: float = 0.75
) -> WordVectors:
    """Vectors of the words of a text; words of the same sentence are context of each other.

    The association of word w with context c is max(0, log(P(w, c) / (P(w) P(c)^smoothing))), and the vectors are
    U S^0.5 of its best approximation of the given rank. Nothing but the text enters.

    Args:
        sentences: words separated by blanks.
        dimension: of the vectors, E.
        min_count: words that occur less often, and signs, are left out.
        smoothing: exponent of the context distribution.

    Returns:
        The vocabulary by frequency, most frequent first.

    Raises:
        ValueError: fewer words than dimensions are left.
    """
    split = [sentence.split() for sentence in sentences]
    counts = Counter(word for words in split for word in words if word.isalpha())
    vocabulary = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    if len(vocabulary) <= dimension:
        raise ValueError(
            f"{len(vocabulary)} words occur {min_count} times or more, not enough for {dimension} dimensions; give a "
            "longer text, a lower min_count or fewer dimensions"
        )
    index = {word: row for row, word in enumerate(vocabulary)}
    rows = [[index[word] for word in dict.fromkeys(words) if word in index] for words in split]
    numbers = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.array([column for row in rows for column in row])
    present = sparse.csr_matrix((np.ones(len(columns)), (numbers, columns)), (len(rows), len(vocabulary)))
    together = (present.T @ present).tocsr()
    together.setdiag(0)
    association = positive_pmi(together.tocoo(), smoothing)
    start = np.ones(len(vocabulary)) / len(vocabulary) ** 0.5  # fixed: the same text gives the same vectors
    left, values, _ = svds(association, k=dimension, v0=start)
    order = np.argsort(-values)
    vectors = left[:, order] * np.sqrt(values[order])
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(dimension)])
    return without_zero_vectors(WordVectors(tuple(vocabulary), torch.from_numpy((vectors * signs).astype(np.float32))))


def positive_pmi(together: sparse.coo_matrix, smoothing: float) -> sparse.csr_matrix:
    """Positive pointwise mutual information of counts [words, contexts], the context distribution smoothed."""
    total = together.data.sum()
    word = np.asarray(together.sum(1)).ravel() / total
    context = np.asarray(together.sum(0)).ravel() ** smoothing
    context /= context.sum()
    expected = word[together.row] * context[together.col]
    seen = together.data > 0
    values = np.zeros(len(together.data))
    values[seen] = np.log(together.data[seen] / total / expected[seen]).clip(min=0)
    result = sparse.csr_matrix((values, (together.row, together.col)), together.shape)
    result.eliminate_zeros()
    return result
