"""Word vectors from sentences: against a slow twin, and the demands of the specification on the scene sentences."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy import sparse

from wsss_lib.data.scene_words import positive_pmi, sentence_vectors
from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.scenes.sentences import nouns, scene_sentences

TEXT = ["a cat sat", "a dog sat", "the car drove", "the bus drove", "a cat ran", "the car stopped , stopped"]


def slow_pmi(sentences, words, smoothing):
    together = Counter(pair for s in sentences for pair in permutations(dict.fromkeys(s.split()), 2))
    total = sum(together.values())
    of_word = {w: sum(n for (a, _), n in together.items() if a == w) for w in words}
    context = {w: n**smoothing for w, n in of_word.items()}
    norm = sum(context.values())
    table = np.zeros((len(words), len(words)))
    for (a, b), n in together.items():
        value = math.log(n / total / (of_word[a] / total * context[b] / norm))
        table[words.index(a), words.index(b)] = max(0, value)
    return table


@pytest.mark.parametrize("smoothing", [0.75, 1.0])
def test_association_is_the_definition(smoothing):
    sentences = [s.replace(" ,", "").replace("stopped stopped", "stopped") for s in TEXT]
    words = sorted({word for s in sentences for word in s.split()})
    counts = np.zeros((len(words), len(words)))
    for sentence in sentences:
        for a, b in permutations(dict.fromkeys(sentence.split()), 2):
            counts[words.index(a), words.index(b)] += 1
    found = positive_pmi(sparse.coo_matrix(counts), smoothing).toarray()
    np.testing.assert_allclose(found, slow_pmi(sentences, words, smoothing), atol=1e-12)


def test_scene_words_mean_something_and_are_the_same_every_time():
    benchmark = Benchmark()
    sentences = scene_sentences(benchmark, 6000)
    words = sentence_vectors(sentences, dimension=32)
    groups = nouns(benchmark)
    labels = [noun for group in groups.values() for noun in group]
    assert len(words) > 2 * len(labels) and set(labels) <= set(words.words)
    rows = words.directions[words.rows(labels)]
    group = np.repeat(np.arange(len(groups)), [len(names) for names in groups.values()])
    same = group[:, None] == group
    cosines = (rows @ rows.T).numpy()
    within, across = cosines[same & ~np.eye(len(labels), dtype=bool)].mean(), cosines[~same].mean()
    assert within > 0.35 and across < 0.15 and cosines[~np.eye(len(labels), dtype=bool)].max() < 0.999
    norms = words.vectors.norm(dim=1)
    assert norms.min() > 0 and norms.std() > 0.1
    assert (words.vectors == sentence_vectors(sentences, dimension=32).vectors).all()


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="not enough for 32 dimensions"):
        sentence_vectors(TEXT, min_count=1)
