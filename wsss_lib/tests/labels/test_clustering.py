import numpy as np
import pytest
import torch
from finch import FINCH

from wsss_lib.labels.clustering import (
    Links,
    cluster_means,
    connected,
    finch,
    finch_with,
    first_neighbours,
    k_means,
    link_lengths,
    neighbour_links,
    numbered_by_first_row,
)


def distance_of(a, b, distance):
    if distance == "euclidean":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
    lengths = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return 1 - (sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0)


def one_partition_slowly(rows, distance, longest):
    """Clusters of rows joined with their nearest row, and the longest link that was not cut."""
    number = len(rows)
    lengths = [[round(distance_of(a, b, distance), 12) for b in rows] for a in rows]
    nearest = [min((j for j in range(number) if j != i), key=lambda j: (lengths[i][j], j)) for i in range(number)]
    group, found = list(range(number)), 0.0
    for i in range(number):
        for j in range(number):
            weight = (nearest[i] == j) + (nearest[j] == i) + (nearest[i] == nearest[j])
            if i != j and weight and (longest is None or weight * lengths[i][j] <= longest):
                found = max(found, weight * lengths[i][j])
                group = [group[i] if g == group[j] else g for g in group]
    numbers = list(dict.fromkeys(group))
    return [numbers.index(g) for g in group], found


def finch_slowly(rows, distance, early_exit):
    partitions, longest, means = [], None, rows
    while True:
        groups, found = one_partition_slowly(means, distance, longest)
        longest = found if early_exit and not partitions else longest
        count = max(groups) + 1
        if partitions and (count == 1 or count >= len(means)):
            return partitions
        partitions.append([groups[g] for g in partitions[-1]] if partitions else groups)
        if count == 1 or (len(partitions) > 1 and len(means) - count == 1):
            return partitions
        members = [[row for row, g in zip(rows, partitions[-1], strict=True) if g == c] for c in range(count)]
        means = [[sum(column) / len(of_one) for column in zip(*of_one, strict=True)] for of_one in members]


@pytest.mark.parametrize("early_exit", [True, False])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed, number", [(0, 40), (1, 25), (2, 12), (3, 3)])
def test_finch_equals_the_definition(seed, number, distance, early_exit):
    features = torch.randn(number, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = finch(features, distance=distance, early_exit=early_exit)
    assert found.dtype == torch.int64
    assert found.T.tolist() == finch_slowly(features.tolist(), distance, early_exit)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_finch_equals_the_authors_package(distance):
    for seed, (number, size) in enumerate([(300, 16), (120, 4), (40, 64)]):
        features = torch.randn(number, size, generator=torch.Generator().manual_seed(seed))
        for early_exit in (True, False):
            options = {"distance": distance, "ensure_early_exit": early_exit, "verbose": False}
            partitions, counts, _ = FINCH(features.numpy(), **options)
            found = finch(features, distance=distance, early_exit=early_exit)
            assert (found.amax(0) + 1).tolist() == counts
            np.testing.assert_array_equal(found, partitions)
            between = counts[-1] + 1
            if between not in counts and between < counts[0]:
                _, _, merged = FINCH(features.numpy(), req_clust=between, **options)
                found = finch_with(features, between, distance=distance, early_exit=early_exit)
                np.testing.assert_array_equal(found, numbered_by_first_row(torch.from_numpy(merged).long()))


def test_blocks_do_not_change_neighbours_or_lengths(monkeypatch):
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    for distance in ("cosine", "euclidean"):
        nearest = first_neighbours(features, distance)
        links = neighbour_links(nearest, len(features))
        lengths = link_lengths(features, links, distance)
        monkeypatch.setattr("wsss_lib.labels.clustering.BLOCK", 120)
        assert torch.equal(first_neighbours(features, distance), nearest)
        torch.testing.assert_close(link_lengths(features, links, distance), lengths)
        monkeypatch.undo()


def test_clusters_that_lie_apart_are_found():
    centers = 10 * torch.eye(4).repeat_interleave(30, 0)
    features = centers + 0.1 * torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.arange(4).repeat_interleave(30)
    assert torch.equal(finch(features)[:, -1], truth)
    assert torch.equal(k_means(features, 4), truth)
    assert torch.equal(finch_with(features, 4), truth)


def test_partitions_are_nested_and_their_order_is_that_of_the_rows():
    features = torch.randn(80, 5, generator=torch.Generator().manual_seed(3))
    partitions = finch(features)
    assert partitions.shape[1] > 1
    for finer, coarser in zip(partitions.T, partitions.T[1:], strict=False):
        pairs = set(zip(finer.tolist(), coarser.tolist(), strict=True))
        assert len(pairs) == finer.max() + 1 > coarser.max() + 1
    order = torch.randperm(80, generator=torch.Generator().manual_seed(4))
    assert torch.equal(finch(features[order])[:, -1], numbered_by_first_row(partitions[order, -1]))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_rows_are_one_cluster(number):
    assert finch(torch.randn(number, 4)).tolist() == [[0]] * number
    assert k_means(torch.randn(number, 4), 1).tolist() == [0] * number


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3])
def test_rows_that_are_all_the_same_are_one_cluster(value):
    for distance in ("cosine", "euclidean"):
        assert finch(torch.full((9, 7), value), distance=distance).tolist() == [[0]] * 9
    assert k_means(torch.full((9, 7), value), 3).tolist() == [0] * 9


def test_duplicate_rows_share_a_cluster():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(30, 257, generator=generator).repeat(4, 1)
    first = finch(features)[:, 0]
    assert (first.view(4, 30) == first[:30]).all() and first.max() == 29
    assert (k_means(features, 5).view(4, 30) == k_means(features, 5)[:30]).all()


def test_as_many_clusters_as_asked_for():
    features = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    most = int(finch(features)[:, 0].max()) + 1
    for number in range(1, most + 1):
        labels = finch_with(features, number)
        assert labels.unique().tolist() == list(range(number))
        assert torch.equal(labels, numbered_by_first_row(labels))


@pytest.mark.parametrize("number", [0, 1000])
def test_numbers_that_finch_cannot_reach_are_refused(number):
    with pytest.raises(ValueError, match=r"FINCH starts from \d+ and only merges; ask for 1 to \d+, or use k_means"):
        finch_with(torch.randn(30, 4), number)


def test_fewer_rows_than_clusters_are_a_cluster_each():
    assert k_means(torch.tensor([[0.0], [5.0], [0.0]]), 10).tolist() == [0, 1, 0]


@pytest.mark.parametrize("cluster", [finch, lambda rows: k_means(rows, 2), lambda rows: finch_with(rows, 2)])
def test_bad_features_are_refused(cluster):
    features = torch.randn(6, 3)
    features[4, 1], features[5, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match=r"features of 2 of 6 rows are not finite \(the first is row 4\)"):
        cluster(features)
    for shape in ((0, 3), (3, 0), (3,)):
        with pytest.raises(ValueError, match="give one row per image, at least one"):
            cluster(torch.zeros(shape))


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="'manhattan' is not known; choose one of cosine, euclidean"):
        finch(torch.randn(4, 2), distance="manhattan")
    with pytest.raises(ValueError, match="num_clusters=0 should be at least 1"):
        k_means(torch.randn(4, 2), 0)


def test_components_without_links_are_the_rows():
    none = Links(*(torch.zeros(0, dtype=torch.int64) for _ in range(3)))
    assert connected(none, 3).tolist() == [0, 1, 2]
    assert cluster_means(torch.eye(3), torch.tensor([0, 1, 2])).tolist() == torch.eye(3).tolist()
