"""Groups of alike images: FINCH (Sarfraz, Sharma and Stiefelhagen, CVPR 2019) and k-means."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

DISTANCES = ("cosine", "euclidean")
BLOCK = 2**24  # numbers of a block of rows or of a block of distances
DIGITS = 12  # of a distance; what differs less is a tie


class Links(NamedTuple):
    """Pairs of rows that FINCH joins, each in both directions.

    Attributes:
        first, second: int64 [P], the rows of each pair.
        weights: [P], 1, or 2 where two rows are each other's first neighbours.
    """

    first: Tensor
    second: Tensor
    weights: Tensor


def finch(features: Tensor, *, distance: str = "cosine", early_exit: bool = True) -> Tensor:
    """Partitions by first neighbours, from the finest to the coarsest; nobody says how many clusters there are.

    A row is joined with its nearest other row and with the rows that have the same nearest one; connected rows are the
    clusters of the first partition. The same is done with the means of the clusters until one cluster is left or their
    number falls by less than two. The step that reaches one cluster, or no fewer than before, does not count.

    Args:
        features: [N, D].
        distance: "cosine" or "euclidean".
        early_exit: cut links that are longer than the longest of the first partition, which leaves more clusters. As
            in the authors' package up to release 0.2.0, the length of a link counts twice between mutual neighbours.

    Returns:
        int64 [N, P], a column per partition; clusters are numbered by their first row.

    Raises:
        ValueError: no row, a value that is not finite, or an unknown distance.

    >>> finch(torch.tensor([[0.0], [1.0], [10.0], [11.0], [11.5]]), distance="euclidean").T
    tensor([[0, 0, 1, 1, 1]])
    """
    _check(features, distance)
    rows = means = features.double()
    partitions, longest = [], None
    while True:
        links = neighbour_links(first_neighbours(means, distance), len(means))
        lengths = link_lengths(means, links, distance) * links.weights
        if longest is not None:
            links = Links(*(part[lengths <= longest] for part in links))
        elif early_exit and len(lengths):
            longest = lengths.max()
        groups = connected(links, len(means))
        partition = groups[partitions[-1]] if partitions else groups
        before, now = len(means), int(groups.max()) + 1
        if partitions and (now == 1 or now == before):
            break
        partitions.append(partition)
        if now == 1 or (len(partitions) > 1 and before - now == 1):
            break
        means = cluster_means(rows, partition)
    return torch.stack(partitions, 1)


def finch_with(features: Tensor, num_clusters: int, *, distance: str = "cosine", early_exit: bool = True) -> Tensor:
    """Clusters of FINCH, exactly ``num_clusters`` of them.

    Of the partitions, the coarsest that has at least so many clusters is taken, and its closest means are merged, one
    pair at a time.

    Args:
        num_clusters: at most the clusters of the first partition.

    Returns:
        int64 [N].

    Raises:
        ValueError: more clusters than the first partition has (no partition can be split), or as :func:`finch`.

    >>> rows = torch.tensor([[0.0], [1.0], [10.0], [11.0], [30.0], [31.0]])
    >>> finch_with(rows, 2, distance="euclidean")
    tensor([0, 0, 0, 0, 1, 1])
    """
    partitions = finch(features, distance=distance, early_exit=early_exit)
    counts = (partitions.amax(0) + 1).tolist()
    if not 1 <= num_clusters <= counts[0]:
        raise ValueError(
            f"{num_clusters} clusters cannot be had of {len(features)} rows: FINCH starts from {counts[0]} and only "
            f"merges; ask for 1 to {counts[0]}, or use k_means"
        )
    labels = partitions[:, [place for place, count in enumerate(counts) if count >= num_clusters][-1]]
    for count in range(int(labels.max()) + 1, num_clusters, -1):
        means = cluster_means(features.double(), labels)
        nearest = first_neighbours(means, distance)
        every = torch.arange(count, device=labels.device)
        lengths = link_lengths(means, Links(every, nearest, every), distance)
        one = lengths.argmin()
        low, high = sorted((int(one), int(nearest[one])))
        labels = torch.where(labels == high, low, labels - (labels > high).long())
    return labels


def k_means(features: Tensor, num_clusters: int, *, seed: int = 0, max_iterations: int = 300) -> Tensor:
    """Clusters of scikit-learn's k-means, the best of ten starts (SC-CAM: ten clusters, seed 0, 300 iterations).

    Args:
        features: [N, D].
        num_clusters: where there are fewer distinct rows, each becomes a cluster.

    Returns:
        int64 [N], numbered by the first row of each cluster.

    Raises:
        ValueError: no row, fewer than one cluster, or a value that is not finite.

    >>> k_means(torch.tensor([[0.0], [10.0], [1.0], [11.0]]), 2)
    tensor([0, 1, 0, 1])
    """
    from sklearn.cluster import KMeans  # takes a second to import

    _check(features, "euclidean")
    if num_clusters < 1:
        raise ValueError(f"num_clusters={num_clusters} should be at least 1")
    rows = features.detach().cpu().numpy()
    distinct = len(np.unique(rows, axis=0))
    solver = KMeans(min(num_clusters, distinct), n_init=10, max_iter=max_iterations, random_state=seed)
    return numbered_by_first_row(torch.from_numpy(solver.fit_predict(rows)).long()).to(features.device)


def first_neighbours(features: Tensor, distance: str) -> Tensor:
    """The nearest other row of each row, int64 [N]; the first of equally near ones; a single row has itself.

    Distances are compared block by block, so that no N x N table is kept.

    >>> first_neighbours(torch.tensor([[0.0], [1.0], [3.0]]), "euclidean")
    tensor([1, 0, 1])
    """
    features = _directions(features, distance)
    nearest = []
    for block in torch.arange(len(features), device=features.device).split(max(1, BLOCK // max(1, len(features)))):
        if distance == "cosine":
            lengths = 1 - features[block] @ features.T
        else:
            lengths = torch.cdist(features[block], features, compute_mode="donot_use_mm_for_euclid_dist")
        lengths = lengths.round(decimals=DIGITS)
        lengths[torch.arange(len(block), device=features.device), block] = torch.inf
        nearest.append(lengths.argmin(1))
    return torch.cat(nearest)


def neighbour_links(nearest: Tensor, num_rows: int) -> Links:
    """Rows and their first neighbours, and rows that share one: the non-zero entries of (I + N)(I + N)^T off diagonal.

    Args:
        nearest: first neighbour of each row, [N].

    >>> neighbour_links(torch.tensor([1, 0, 1]), 3)
    Links(first=tensor([0, 0, 1, 1, 2, 2]), second=tensor([1, 2, 0, 2, 0, 1]), weights=tensor([2., 1., 2., 1., 1., 1.]))
    """
    ones = np.ones(num_rows)
    to_nearest = sparse.csr_array((ones, (np.arange(num_rows), nearest.cpu().numpy())), shape=(num_rows, num_rows))
    shared = to_nearest + sparse.eye_array(num_rows, format="csr")
    pairs = (shared @ shared.T).tocoo()
    kept = np.lexsort((pairs.col, pairs.row))
    kept = kept[pairs.row[kept] != pairs.col[kept]]
    parts = pairs.row[kept].astype(np.int64), pairs.col[kept].astype(np.int64), pairs.data[kept].astype(np.float32)
    return Links(*(torch.from_numpy(part).to(nearest.device) for part in parts))


def link_lengths(features: Tensor, links: Links, distance: str) -> Tensor:
    """Distance of the two rows of each link, [P]."""
    features = _directions(features, distance)
    lengths = []
    for first, second in zip(*(part.split(max(1, BLOCK // features.shape[1])) for part in links[:2]), strict=True):
        if distance == "cosine":
            lengths.append(1 - (features[first] * features[second]).sum(1))
        else:
            lengths.append((features[first] - features[second]).norm(dim=1))
    return torch.cat(lengths)


def connected(links: Links, num_rows: int) -> Tensor:
    """Connected components of the links, int64 [N], numbered by their first row."""
    first, second = links.first.cpu().numpy(), links.second.cpu().numpy()
    table = sparse.coo_array((np.ones(len(first), np.int8), (first, second)), shape=(num_rows, num_rows))
    _, components = connected_components(table, directed=False)
    return numbered_by_first_row(torch.from_numpy(components).long()).to(links.first.device)


def cluster_means(features: Tensor, labels: Tensor) -> Tensor:
    """Mean row of each cluster, [max + 1, D].

    >>> cluster_means(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1])).flatten()
    tensor([2., 7.])
    """
    sums = features.new_zeros(int(labels.max()) + 1, features.shape[1]).index_add_(0, labels, features)
    return sums / torch.bincount(labels, minlength=len(sums))[:, None]


def numbered_by_first_row(labels: Tensor) -> Tensor:
    """Clusters under new numbers, in the order in which they first occur.

    >>> numbered_by_first_row(torch.tensor([7, 2, 7, 0]))
    tensor([0, 1, 0, 2])
    """
    _, first, inverse = np.unique(labels.cpu().numpy(), return_index=True, return_inverse=True)
    return torch.from_numpy(first.argsort().argsort()[inverse]).to(labels.device)


def _directions(features: Tensor, distance: str) -> Tensor:
    """Rows of length one where only the direction counts; a row of zeros stays, at distance 1 from all others."""
    features = features.double()
    return F.normalize(features, dim=1, eps=1e-300) if distance == "cosine" else features


def _check(features: Tensor, distance: str) -> None:
    if distance not in DISTANCES:
        raise ValueError(f"distance {distance!r} is not known; choose one of {', '.join(DISTANCES)}")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"features have the shape {[*features.shape]}; give one row per image, at least one, [N, D]")
    finite = features.isfinite().all(1)
    if not finite.all():
        bad = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"features of {len(bad)} of {len(features)} rows are not finite (the first is row {bad[0]}); look at the "
            "network and the images they come from"
        )
