import math

import pytest
import torch

from wsss_lib.labels.clustering import finch, k_means
from wsss_lib.labels.sub_categories import (
    classes_by_mean,
    classes_by_vote,
    cluster_agreement,
    cluster_classes,
    entropy_map,
    merge_sub_maps,
    normalize_sub_maps,
    sub_category_labels,
)


def random_clusters(seed, num_images=30, num_classes=4, most=5):
    generator = torch.Generator().manual_seed(seed)
    clusters = torch.randint(-1, most, (num_images, num_classes), generator=generator)
    clusters[:, 2] = -1  # a class without images
    return clusters


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_equal_the_list_pair_by_pair(seed):
    clusters = random_clusters(seed)
    columns = [(k, j) for k in range(4) for j in range(int(clusters[:, k].max()) + 1)]
    expected = [[float(int(image[k]) == j) for k, j in columns] for image in clusters]
    labels, classes = sub_category_labels(clusters)
    assert labels.tolist() == expected and labels.dtype == torch.float32
    assert classes.tolist() == [k for k, _ in columns]
    assert torch.equal(labels.sum(1), (clusters >= 0).sum(1).float()), "an image has one sub-category in each class"


def test_classes_are_clustered_one_by_one():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator)
    class_labels = (torch.rand(40, 3, generator=generator) > 0.5).float()
    clusters = cluster_classes(features, class_labels, lambda rows: finch(rows)[:, 0])
    assert torch.equal(clusters >= 0, class_labels > 0) and clusters.max() > 1
    for k in range(3):
        present = class_labels[:, k] > 0
        assert torch.equal(clusters[present, k], finch(features[present])[:, 0])


@pytest.mark.parametrize("cluster", [lambda rows: finch(rows)[:, -1], lambda rows: k_means(rows, 10)])
def test_small_and_empty_classes(cluster):
    features = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    class_labels = torch.tensor([[1, 0, 0], [1, 0, 1], [1, 0, 0]])
    labels, classes = sub_category_labels(cluster_classes(features, class_labels, cluster))
    assert (classes != 1).all() and (classes == 2).sum() == 1 and 1 <= (classes == 0).sum() <= 3
    assert labels.sum(1).tolist() == [1, 2, 1]
    alone = cluster_classes(features[:1], class_labels[:1], cluster)
    assert alone.tolist() == [[0, -1, -1]]


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="no image has a class"):
        cluster_classes(torch.randn(3, 4), torch.zeros(3, 2), finch)
    with pytest.raises(ValueError, match="2 rows of features for 3 images"):
        cluster_classes(torch.randn(2, 4), torch.ones(3, 2), finch)


def test_features_that_are_not_finite_are_refused():
    features = torch.randn(5, 4)
    features[3] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        cluster_classes(features, torch.ones(5, 1), lambda rows: finch(rows)[:, -1])


def test_agreement_does_not_ask_for_numbers():
    clusters = random_clusters(0, num_images=200)
    renamed = torch.where(clusters >= 0, (clusters + 3) % 5, -1)
    same = cluster_agreement(clusters, renamed)
    assert same[[0, 1, 3]].tolist() == [1, 1, 1] and same[2].isnan()
    shuffled = clusters.clone()
    present = clusters[:, 0] >= 0
    order = torch.randperm(int(present.sum()), generator=torch.Generator().manual_seed(0))
    shuffled[present, 0] = clusters[present, 0][order]
    assert abs(cluster_agreement(clusters, shuffled)[0]) < 0.1


def test_agreement_of_other_images_is_refused():
    with pytest.raises(ValueError, match="compare those of the same class labels"):
        cluster_agreement(torch.tensor([[0], [1]]), torch.tensor([[0], [-1]]))


def merged_slowly(sub_maps, classes, num_classes):
    merged = torch.zeros(len(sub_maps), num_classes, *sub_maps.shape[2:])
    for s, k in enumerate(classes.tolist()):
        for b in range(len(sub_maps)):
            merged[b, k] = torch.maximum(merged[b, k], sub_maps[b, s])
    return merged


@pytest.mark.parametrize("seed", [0, 1])
def test_merged_maps_are_the_largest_of_each_class(seed):
    sub_maps = torch.rand(2, 6, 5, 7, generator=torch.Generator().manual_seed(seed))
    classes = torch.tensor([0, 0, 1, 3, 3, 3])
    merged = merge_sub_maps(sub_maps, classes, 4)
    assert torch.equal(merged, merged_slowly(sub_maps, classes, 4)) and (merged[:, 2] == 0).all()
    normalized = merge_sub_maps(normalize_sub_maps(sub_maps, classes, 4, eps=0.0), classes, 4)
    torch.testing.assert_close(normalized[:, [0, 1, 3]].amax((2, 3)), torch.ones(2, 3))
    torch.testing.assert_close(normalized[:, 3], merged[:, 3] / merged[:, 3].amax((1, 2), keepdim=True))


def test_maps_of_another_network_are_refused():
    with pytest.raises(ValueError, match="3 maps of sub-categories with 2 classes of 2"):
        merge_sub_maps(torch.rand(1, 3, 2, 2), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="3 maps of sub-categories with 3 classes of 2"):
        merge_sub_maps(torch.rand(1, 3, 2, 2), torch.tensor([0, 1, 2]), 2)


def test_entropy_map_lies_between_one_and_all():
    sub_maps = torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    found = entropy_map(sub_maps, eps=1e-9)
    for b in range(2):
        for y in range(3):
            for x in range(3):
                shares = [v / sub_maps[b, :, y, x].sum().item() for v in sub_maps[b, :, y, x].tolist()]
                entropy = -sum(p * math.log(p, 4) for p in shares)
                assert found[b, y, x].item() == pytest.approx(entropy, abs=1e-5)
    assert found.min() > 0.5 and found.max() < 1
    torch.testing.assert_close(entropy_map(torch.ones(1, 4, 2, 2), eps=1e-9), torch.ones(1, 2, 2))
    assert (
        entropy_map(torch.zeros(1, 4, 2, 2)).abs().max() == 0 and entropy_map(torch.ones(1, 1, 2, 2)).abs().max() < 1e-4
    )


def test_votes_equal_the_count_one_by_one():
    probabilities = torch.rand(5, 12, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0] * 3 + [1] * 4 + [3] * 5)
    by_vote = classes_by_vote(probabilities, classes, 4, num_votes=4, least=0.95)
    by_mean = classes_by_mean(probabilities, classes, 4, threshold=0.5)
    for b, of_image in enumerate(probabilities.tolist()):
        voting = sorted(range(12), key=lambda s: -of_image[s])[:4]
        for k in range(4):
            own = [of_image[s] for s in range(12) if classes[s] == k]
            assert by_vote[b, k] == (sum(of_image[s] for s in voting if classes[s] == k) >= 0.95)
            assert by_mean[b, k] == (sum(own) > 0.5 * max(1, len(own)))
    assert by_vote.float().std() > 0 and by_mean.float().std() > 0
    assert classes_by_vote(probabilities[:, :3], classes[:3], 4)[:, 1:].sum() == 0, "fewer sub-categories than votes"
