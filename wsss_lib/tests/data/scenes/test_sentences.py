"""The text teaches what belongs together, and shares no word with the labels but the labels."""

from collections import Counter

import numpy as np

from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.scenes.sentences import SYNONYMS, label_free_words, nouns, plural, scene_sentences


def word_vectors(sentences, dimensions=32):
    """Positive PMI (contexts to the power 0.75) and truncated SVD; rows of unit length."""
    counts = Counter(word for sentence in sentences for word in sentence.split())
    index = {word: i for i, word in enumerate(counts)}
    pairs = np.zeros((len(index), len(index)))
    for sentence in sentences:
        words = [index[word] for word in sentence.split()]
        np.add.at(pairs, (np.repeat(words, len(words)), np.tile(words, len(words))), 1)
    np.fill_diagonal(pairs, 0)
    context = pairs.sum(0) ** 0.75 / (pairs.sum(0) ** 0.75).sum()
    chance = pairs.sum(1, keepdims=True) * context
    pmi = np.log(np.maximum(pairs, 1e-9) / np.maximum(chance, 1e-9)).clip(min=0)
    left, singular, _ = np.linalg.svd(pmi)
    vectors = left[:, :dimensions] * singular[:dimensions] ** 0.5
    return {word: vectors[i] / np.linalg.norm(vectors[i]) for word, i in index.items()}


def test_six_groups_of_at_least_36_nouns():
    groups = nouns(Benchmark())
    every = [noun for group in groups.values() for noun in group]
    assert len(groups) == 6 and len(every) >= 36 and len(set(every)) == len(every)


def test_siblings_are_alike_and_groups_are_not():
    groups = nouns(Benchmark())
    vectors = word_vectors(scene_sentences(Benchmark(), 4000))
    names = [(noun, group) for group, members in groups.items() for noun in members]
    table = np.array([vectors[noun] for noun, _ in names])
    cosines = table @ table.T
    same = np.array([[a == b for _, b in names] for _, a in names])
    others = ~np.eye(len(names), dtype=bool)
    assert cosines[same & others].mean() > 0.6
    assert abs(cosines[~same].mean()) < 0.15
    assert cosines[same & others].max() < 0.9999


def test_synonyms_stand_near_their_noun():
    vectors = word_vectors(scene_sentences(Benchmark(), 4000))
    words = list(vectors)
    table = np.array([vectors[word] for word in words])
    ranks = []
    for noun, synonyms in SYNONYMS.items():
        if noun in vectors:
            order = [words[i] for i in np.argsort(-(table @ vectors[noun]))]
            ranks += [min(order.index(word) for word in synonyms if word in vectors)]
    assert np.median(ranks) <= 12  # chance: over 100


def test_vocabulary_has_distractors():
    groups = nouns(Benchmark())
    labels = {noun for group in groups.values() for noun in group}
    written = {word for sentence in scene_sentences(Benchmark(), 4000) for word in sentence.split()}
    assert labels <= written
    assert written - labels <= label_free_words(Benchmark())
    assert len(written) >= 3 * len(labels)


def test_synonyms_and_plurals_are_never_labels():
    full = Benchmark(num_classes=24)
    labels = {noun for group in nouns(full).values() for noun in group}
    assert not {word for words in SYNONYMS.values() for word in words} & labels
    assert not {plural(noun) for noun in labels} & labels
    assert set(SYNONYMS) <= labels


def test_text_knows_nouns_and_seed_only():
    first = scene_sentences(Benchmark(), 50)
    painted_otherwise = Benchmark(side=64, background_correlation=0.1, part_to_body=0.1, occlusion=1.0, num_val=2)
    assert scene_sentences(painted_otherwise, 50) == first
    assert scene_sentences(Benchmark(seed=1), 50) != first


def test_renamed_classes_are_the_nouns():
    named = Benchmark(num_classes=3, class_names=("dog", "boat", "sofa"))
    groups = nouns(named)
    assert groups["birds"] == ("dog", "boat") and groups["beasts"] == ("sofa",)
    assert any("sofa" in sentence for sentence in scene_sentences(named, 200))
