"""Words against regions: slow twins, known answers, empty cases."""

import math

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.scores.words import (
    common_words,
    count_words,
    frequent_truth,
    group_differences,
    mean_recall,
    nearest_words,
    region_ious,
    region_words,
    top_k_accuracy,
    word_precision,
    word_recall,
)


def test_nearest_words_are_the_sorted_cosines():
    embeddings, vectors = torch.randn(9, 5), torch.randn(30, 5) * torch.rand(30, 1)
    words, cosines = nearest_words(embeddings, F.normalize(vectors, dim=1), 4, chunk=2)
    for row, (found, values) in enumerate(zip(words.tolist(), cosines, strict=True)):
        all_cosines = F.cosine_similarity(embeddings[row][None], vectors)
        assert found == all_cosines.argsort(descending=True)[:4].tolist()
        assert torch.allclose(values, all_cosines[found], atol=1e-5)
    assert nearest_words(torch.zeros(0, 5), vectors, 4)[0].shape == (0, 4)
    assert nearest_words(torch.zeros(1, 5), vectors, 4)[1].isfinite().all(), "a dead filter gives no NaN"


def test_vocabularies_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="of a vocabulary of 3"):
        nearest_words(torch.zeros(1, 2), torch.zeros(3, 2), 4)
    with pytest.raises(ValueError, match="other word vectors"):
        nearest_words(torch.zeros(1, 3), torch.zeros(5, 2), 4)


def test_top_k_accuracy_is_that_of_loops():
    cosines, targets = torch.rand(20, 6), (torch.rand(20, 6) > 0.7).float()
    for k, found in zip((1, 3, 6, 20), top_k_accuracy(cosines, targets, (1, 3, 6, 20)), strict=True):
        hits = [targets[i, cosines[i].argsort(descending=True)[:k]].any().item() for i in range(20)]
        assert found == pytest.approx(100 * sum(hits) / 20)


@pytest.mark.parametrize("size", [(56, 56), (50, 61), (7, 7)])
def test_overlap_is_that_of_enlarged_masks(size):
    for share in (0.9, 0.4, 0.0):
        region, masks = torch.rand(size) < share, (torch.rand(6, 7, 7) > 0.5).float()
        masks[0] = 0
        large = F.interpolate(masks[:, None], size, mode="nearest")[:, 0] > 0
        union = (large | region).sum((1, 2))
        slow = torch.where(union > 0, (large & region).sum((1, 2)) / union.clamp(min=1), 0.0)
        assert torch.allclose(region_ious(region, masks), slow, atol=1e-6)


def test_words_of_a_region():
    region = torch.tensor([[True, False], [False, False]])
    masks = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1 / 255]]])
    words = [("hot", "dog"), ("sky",), ("tree",)]
    assert region_words(region, masks, words, 0.2) == {"hot", "dog", "sky"}
    assert region_words(region, masks, words, 0.25) == {"hot", "dog"}, "the threshold itself does not count"
    assert region_words(region, torch.zeros(0, 2, 2), [], 0.04) == set(), "an image without instances"


def test_recall_and_precision_by_hand():
    assert word_recall({"a", "b", "c"}, ["c", "x", "a"]) == pytest.approx(200 / 3)
    assert word_recall({"a", "b"}, ["a"], only={"b"}) == 0 and math.isnan(word_recall(set(), ["a"]))
    assert mean_recall([100.0, math.nan, 0.0]) == 50 and math.isnan(mean_recall([math.nan]))
    assert word_precision(["a", "b", "c"], {"a", "c"}, 1) == 100
    assert word_precision(["a", "b", "c"], {"a", "c"}, 5) == pytest.approx(40), "words that are missing are wrong"
    assert word_precision(["cow"], {"bull"}, 1) == 0
    assert word_precision(["cow"], {"bull"}, 1, {"cow": ["bull"]}) == 100
    assert math.isnan(word_precision(["a"], set(), 1))
    assert frequent_truth([{"a", "b"}, {"a"}, {"c"}, {"a"}]) == {"a"} and frequent_truth([]) == set()


def test_counts_and_their_order():
    words, maxima = [["a", "b"], ["b", "c"], ["d", "e"]], [2.5, 0.4, -1.0]
    assert count_words(words, maxima) == [("b", 2), ("a", 1), ("c", 1)]
    assert count_words(words, maxima, votes="ceil") == [("b", 4), ("a", 3), ("c", 1)]
    assert count_words(words, maxima, votes="floor") == [("a", 2), ("b", 2)], "the authors ignore weak images"
    cosines = torch.tensor([[0.1, 0.2], [0.2, 0.9], [0.0, 0.0]])
    assert count_words(words, maxima, cosines=cosines) == [("b", 2), ("c", 1), ("a", 1)]
    assert count_words(words, [0.0, 0.0, 0.0]) == [], "a filter that never fires has no words"
    with pytest.raises(ValueError, match="choose one of one, ceil, floor"):
        count_words(words, maxima, votes="two")


def test_words_that_look_at_no_image():
    assert common_words([[("a",), ("b", "c")], [("b",)]], 2) == ["b", "a"] and common_words([], 3) == []


def test_groups():
    maxima = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    first = torch.tensor([True, True, False, False])
    assert group_differences(maxima, torch.tensor([0.5, 0.5]), first, ~first).tolist() == [100.0, 0.0]
    with pytest.raises(ValueError, match="each needs at least one"):
        group_differences(maxima, torch.zeros(2), first & False, first)
