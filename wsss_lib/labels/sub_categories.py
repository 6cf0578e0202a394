"""Sub-categories: clusters of the images of each class as further labels (SC-CAM; Chang et al., CVPR 2020)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class SubCategories(NamedTuple):
    """Labels of sub-categories.

    Attributes:
        labels: float [N, S], 1 where an image is in a sub-category, else 0.
        classes: int64 [S], the class that each sub-category belongs to, ascending.
    """

    labels: Tensor
    classes: Tensor


def cluster_classes(features: Tensor, class_labels: Tensor, cluster: Callable[[Tensor], Tensor]) -> Tensor:
    """Cluster the images of every class by themselves.

    Args:
        features: [N, D], one row per image.
        class_labels: [N, K], positive where a class is present.
        cluster: rows [n, D] of the images of a class -> their clusters, int64 [n], numbered from 0.

    Returns:
        clusters, int64 [N, K]: the cluster of each image in each of its classes, -1 for classes it does not have.

    Raises:
        ValueError: not one row of features per image, or no image has any class.

    >>> halves = lambda rows: (rows[:, 0] > 0).long()
    >>> cluster_classes(torch.tensor([[-1.0], [2.0]]), torch.tensor([[1, 1], [1, 0]]), halves)
    tensor([[ 0,  0],
            [ 1, -1]])
    """
    if len(features) != len(class_labels):
        raise ValueError(f"{len(features)} rows of features for {len(class_labels)} images; give one row per image")
    clusters = torch.full(class_labels.shape, -1)
    for k, present in enumerate((class_labels > 0).T.cpu()):
        if present.any():
            clusters[present, k] = cluster(features[present.to(features.device)]).cpu()
    if (clusters < 0).all():
        raise ValueError("no image has a class, so that there is nothing to cluster; give images with class labels")
    return clusters


def sub_category_labels(clusters: Tensor) -> SubCategories:
    """One column per cluster, class by class; an image has one in each of its classes.

    There are as many columns as clusters: a class without images has none.

    Args:
        clusters: int64 [N, K], as :func:`cluster_classes` gives them.

    >>> sub_category_labels(torch.tensor([[0, 0], [1, -1]]))
    SubCategories(labels=tensor([[1., 0., 1.],
            [0., 1., 0.]]), classes=tensor([0, 0, 1]))
    """
    counts = clusters.amax(0) + 1
    first_columns = counts.cumsum(0) - counts
    images, classes = (clusters >= 0).nonzero(as_tuple=True)
    labels = torch.zeros(len(clusters), int(counts.sum()))
    labels[images, first_columns[classes] + clusters[images, classes]] = 1
    return SubCategories(labels, torch.arange(len(counts)).repeat_interleave(counts))


def cluster_agreement(clusters: Tensor, others: Tensor) -> Tensor:
    """Adjusted Rand index of two clusterings of the same images, for each class.

    Args:
        clusters, others: int64 [N, K], -1 where an image does not have the class; both in the same places.

    Returns:
        float [K]: 1 for the same clusters under any numbers, about 0 for unrelated ones, NaN without an image.

    >>> cluster_agreement(torch.tensor([[0], [0], [1]]), torch.tensor([[5], [5], [2]]))
    tensor([1.])
    """
    from sklearn.metrics import adjusted_rand_score  # takes a second to import

    present = clusters >= 0
    if clusters.shape != others.shape or not torch.equal(present, others >= 0):
        raise ValueError("the clusterings are of different images or classes; compare those of the same class labels")
    pairs = [(clusters[of_class, k], others[of_class, k]) for k, of_class in enumerate(present.T)]
    return torch.tensor([adjusted_rand_score(*pair) if len(pair[0]) else torch.nan for pair in pairs]).float()


def normalize_sub_maps(sub_maps: Tensor, classes: Tensor, num_classes: int, eps: float = 1e-5) -> Tensor:
    """Divide the maps of sub-categories by the largest value of all maps of their class (SC-CAM, authors' code).

    Args:
        sub_maps: raw, [B, S, h, w], non-negative.
        classes: class of each sub-category, [S].
        num_classes: K.
        eps: guard added to the largest value, in units of the maps.
    """
    largest = merge_sub_maps(sub_maps, classes, num_classes).amax((2, 3))
    return sub_maps / (largest[:, classes.to(sub_maps.device), None, None] + eps)


def merge_sub_maps(sub_maps: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """The largest of the maps of a class's sub-categories at each pixel.

    To merge normalized maps is to normalize the merged map: all maps of a class share one maximum.

    Args:
        sub_maps: [B, S, h, w], non-negative.
        classes: class of each sub-category, int64 [S].
        num_classes: K.

    Returns:
        maps, [B, K, h, w]; zero for a class without sub-categories.

    >>> sub_maps = torch.tensor([1.0, 3.0, 2.0]).view(1, 3, 1, 1)
    >>> merge_sub_maps(sub_maps, torch.tensor([0, 0, 2]), 3).flatten()
    tensor([3., 0., 2.])
    """
    if len(classes) != sub_maps.shape[1] or (len(classes) and int(classes.max()) >= num_classes):
        raise ValueError(
            f"{sub_maps.shape[1]} maps of sub-categories with {len(classes)} classes of {num_classes}; give the "
            "classes that sub_category_labels returned with the labels the network was trained on"
        )
    merged = sub_maps.new_zeros(len(sub_maps), num_classes, *sub_maps.shape[2:])
    places = classes.to(sub_maps.device)[None, :, None, None].expand_as(sub_maps)
    return merged.scatter_reduce(1, places, sub_maps, "amax")


def entropy_map(sub_maps: Tensor, eps: float = 1e-5) -> Tensor:
    """How evenly the sub-categories of one class share a pixel (SC-CAM, authors' code).

    Args:
        sub_maps: raw maps of k sub-categories of a class, [..., k, h, w], non-negative.
        eps: guard of the shares and of their logarithm.

    Returns:
        [..., h, w]: the entropy in units of log k: 1 where all are equal, 0 where there is only one, or none at all.

    >>> entropy_map(torch.tensor([[1.0, 0.0], [1.0, 5.0]]).view(2, 1, 2), eps=1e-12)
    tensor([[1., -0.]])
    """
    number = sub_maps.shape[-3]
    shares = sub_maps / (sub_maps.sum(-3, keepdim=True) + eps)
    entropy = -(shares * (shares + eps).log()).sum(-3)
    return entropy / torch.tensor(float(max(number, 2))).log()


def classes_by_vote(
    sub_probabilities: Tensor, classes: Tensor, num_classes: int, *, num_votes: int = 10, least: float = 0.5
) -> Tensor:
    """Classes of the most likely sub-categories whose probabilities add up to enough (SC-CAM, authors' code).

    Args:
        sub_probabilities: [B, S], in [0, 1].
        classes: class of each sub-category, [S].
        num_votes: how many sub-categories of an image vote.
        least: smallest sum of the votes of a class.

    Returns:
        bool [B, K].

    >>> classes_by_vote(torch.tensor([[0.3, 0.4, 0.9, 0.1]]), torch.tensor([0, 0, 1, 2]), 3, num_votes=3)
    tensor([[ True,  True, False]])
    """
    votes, chosen = sub_probabilities.topk(min(num_votes, len(classes)), dim=1)
    sums = torch.zeros_like(sub_probabilities[:, :1]).repeat(1, num_classes)
    return sums.scatter_add_(1, classes.to(chosen.device)[chosen], votes) >= least


def classes_by_mean(sub_probabilities: Tensor, classes: Tensor, num_classes: int, *, threshold: float = 0.05) -> Tensor:
    """Classes whose sub-categories are likely on average (SC-CAM, authors' code, where each class has ten of them).

    Args:
        sub_probabilities: [B, S], in [0, 1].
        classes: class of each sub-category, [S].
        threshold: the mean must be greater.

    Returns:
        bool [B, K].

    >>> classes_by_mean(torch.tensor([[0.3, 0.4, 0.0]]), torch.tensor([0, 0, 1]), 2)
    tensor([[ True, False]])
    """
    classes = classes.to(sub_probabilities.device)
    sums = sub_probabilities.new_zeros(len(sub_probabilities), num_classes).index_add_(1, classes, sub_probabilities)
    return sums / torch.bincount(classes, minlength=num_classes).clamp(min=1) > threshold
