import numpy as np
import pytest

from wsss_lib.scores.pareto import pareto_front, rounded_to_bins


def front_slowly(scores):
    kept = []
    for i, mine in enumerate(scores):
        beaten = False
        for j, other in enumerate(scores):
            as_good = all(b >= a for a, b in zip(mine, other, strict=True))
            beaten |= as_good and (any(b > a for a, b in zip(mine, other, strict=True)) or j < i)
        if not beaten:
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed, num_scores", [(0, 2), (1, 3), (2, 4), (3, 3)])
def test_front_equals_the_definition(seed, num_scores):
    scores = np.random.default_rng(seed).integers(0, 6, (30, num_scores)).astype(float)  # with many ties
    assert pareto_front(scores).tolist() == front_slowly(scores.tolist())


def test_front_of_one_score_is_its_first_best():
    assert pareto_front([[0.5], [0.7], [0.7]]).tolist() == [1]


def test_models_below_the_front_and_their_order_do_not_matter():
    scores = np.random.default_rng(5).random((20, 3))
    front = pareto_front(scores)
    assert 1 < len(front) < 20
    assert pareto_front(scores[front]).tolist() == list(range(len(front)))
    reverse = len(scores) - 1 - pareto_front(scores[::-1])
    assert sorted(reverse) == front.tolist()


def test_differences_below_the_bin_are_noise():
    scores = [[80.0, 50.0], [80.2, 49.9], [79.0, 50.0]]
    assert pareto_front(scores).tolist() == [0, 1] and pareto_front(scores, bin_width=0.5).tolist() == [0]
    assert rounded_to_bins([0.25, 0.75], 0.5).tolist() == [0, 1]  # halves to even


def test_empty_and_wrong_tables():
    assert pareto_front(np.zeros((0, 3))).tolist() == []
    with pytest.raises(ValueError, match="without NaN"):
        pareto_front([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"\[models, scores\]"):
        pareto_front([1.0, 2.0])
