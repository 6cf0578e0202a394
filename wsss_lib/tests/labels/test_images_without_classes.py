"""An image without any class goes through all of IRN: background everywhere, no instance, no error."""

import torch
import torch.nn.functional as F

from wsss_lib.labels.affinity_labels import label_numbers
from wsss_lib.labels.boundary_walk import block_means, stretched_scores, walk_by_boundaries
from wsss_lib.labels.confidence import confidence_mask
from wsss_lib.labels.dense_crf import alpha_scores, dense_crf
from wsss_lib.labels.instances import cluster_centroids, detect_instances, find_centroids, instance_maps
from wsss_lib.labels.pair_paths import path_displacements
from wsss_lib.labels.relation_labels import agreed_labels, crf_label_maps, place_labels

SIZE, STRIDE = (13, 15), 4
MAPS, NUMBERS = torch.zeros(0, *SIZE), label_numbers(torch.zeros(3))
CRF = {"gaussian": (3.0, 3.0), "bilateral": (50.0, 5.0, 10.0), "iterations": 2}


def image() -> torch.Tensor:
    return torch.randint(0, 256, (*SIZE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_labels_to_learn_are_background():
    both = NUMBERS[crf_label_maps(image(), place_labels(MAPS, [0.3, 0.1]), 1, confidence=0.7, **CRF)]
    assert agreed_labels(*both).tolist() == torch.zeros(SIZE).tolist()


def test_the_crf_alone_is_certain_of_background():
    scores = torch.stack([alpha_scores(MAPS, alpha) for alpha in (1.0, 2.0)])
    assert torch.equal(dense_crf(image(), scores, **CRF), torch.ones(2, 1, *SIZE))


def test_the_walk_leaves_background_that_is_trusted():
    pooled = block_means(MAPS, STRIDE)
    (walked,) = walk_by_boundaries(pooled, torch.rand(4, 4), path_displacements(5), beta=10, steps=[4])
    scores = F.pad(stretched_scores(walked, STRIDE, SIZE), (0, 0, 0, 0, 1, 0), value=0.3)
    assert scores.shape == (1, *SIZE) and confidence_mask(scores, fraction=0.5).all()


def test_no_instance_is_found():
    field = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    cut = instance_maps(block_means(MAPS, STRIDE), cluster_centroids(find_centroids(field, 10), field, 2.5))
    walk = walk_by_boundaries(cut.flatten(0, 1), torch.rand(4, 4), path_displacements(5), beta=10, steps=[4])
    scores = stretched_scores(next(walk), STRIDE, SIZE).view(*cut.shape[:2], *SIZE)
    assert detect_instances(scores, 0.3, 2.0).masks.shape == (0, *SIZE)
