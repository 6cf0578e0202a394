"""AffinityNet and its random walk against the code of their authors."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.scored_crop import ScoredCrop
from wsss_lib.labels.affinity_labels import PairLabels, label_map_at_stride, pair_labels, pool_scores
from wsss_lib.labels.pixel_pairs import pair_affinities, pair_displacements, pair_indices
from wsss_lib.labels.random_walk import random_walk, transition_matrix
from wsss_lib.losses.affinity import affinity_loss, affinity_terms
from wsss_lib.networks.affinitynet import affinitynet_from_authors, psa_affinitynet
from wsss_lib.networks.base import IMAGENET
from wsss_lib.networks.vgg import PSAVGG16
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names, resnet38_network


def displacements_of(golden, number):
    """Displacements of the radius that gives as many as are stored."""
    return next(found for found in map(pair_displacements, range(2, 12)) if len(found) == number)


@conforms("mva_wsss/affinity_pairs")
def test_affinity_pairs(golden):
    sizes = golden.series("in_size")
    assert len(sizes) > 0
    for case, size in enumerate(sizes):
        displacements = pair_displacements(int(golden[f"in_radius_{case}"]))
        sources, destinations = pair_indices(*size.tolist(), displacements)
        golden.check(f"out_from_{case}", sources)
        golden.check(f"out_to_{case}", destinations)


@conforms("mva_wsss/affinity_labels")
def test_affinity_labels(golden):
    label_maps = golden.series("in_label")
    assert len(label_maps) > 0
    for case, label_map in enumerate(label_maps):
        displacements = pair_displacements(int(golden[f"in_radius_{case}"]))
        labels = pair_labels(torch.from_numpy(label_map)[None].long(), displacements)
        for key, pairs in zip(("bg", "fg", "neg"), labels, strict=True):
            golden.check(f"out_{key}_{case}", pairs[0])


@conforms("mva_wsss/affinity_dataset")
def test_affinity_dataset(golden):
    scores = torch.stack([golden.tensor("in_la"), golden.tensor("in_ha")])
    crop = golden.params["crop"]
    stride = crop // len(golden["out_label"])
    labels_of = partial(label_map_at_stride, stride=stride)
    transform = ScoredCrop(IMAGENET, crop, Path(), lambda path: (scores, None), labels_of, jitter=False)
    sample = Sample("image", Image.fromarray(golden["in_image"]), torch.ones(1), None)
    image, label_map = transform(sample, Draws(int(golden["in_seed"])))
    step = crop // golden["out_image"].shape[-1]
    golden.check("out_image", image[:, ::step, ::step])
    golden.check("out_label", label_map)
    labels = pair_labels(label_map[None], displacements_of(golden, len(golden["out_bg"])))
    for key, pairs in zip(("bg", "fg", "neg"), labels, strict=True):
        golden.check(f"out_{key}", pairs[0])


@conforms("mva_wsss/affinitynet_resnet38_forward")
@torch.no_grad()
def test_affinitynet_resnet38_forward(golden):
    network = resnet38_network(psa_affinitynet, golden.meta["state_dict"], affinitynet_from_authors)
    features = network(golden.tensor("in_x"))
    displacements = displacements_of(golden, golden["out_aff"].shape[1])
    affinities = pair_affinities(features, displacements)
    golden.check("out_aff", affinities)

    sources, destinations = pair_indices(*features.shape[2:], displacements)
    dense = torch.eye(len(golden["out_dense"]))
    dense[sources, destinations] = dense[destinations, sources] = affinities[0]
    golden.check("out_dense", dense)


@conforms("mva_wsss/affinitynet_vgg16_forward")
@torch.no_grad()
def test_affinitynet_vgg16_forward(golden):
    network = psa_affinitynet(PSAVGG16())
    fill_from_names(network, golden.meta["state_dict"], affinitynet_from_authors)
    displacements = displacements_of(golden, golden["out_aff"].shape[1])
    golden.check("out_aff", pair_affinities(network(golden.tensor("in_x")), displacements))


@conforms("mva_wsss/affinity_loss")
def test_affinity_loss(golden):
    affinities = golden.tensor("in_aff").requires_grad_()
    labels = PairLabels(*(golden.tensor(f"in_{key}").bool() for key in ("bg", "fg", "neg")))
    loss = affinity_loss(affinities, labels)
    golden.check("out_loss", loss)
    golden.check("out_grad", torch.autograd.grad(loss, affinities)[0])
    terms = affinity_terms(affinities, labels)
    for key, term, weight in zip(("bg", "fg", "neg"), terms.values(), (4, 4, 2), strict=True):
        golden.check(f"out_{key}_loss", weight * term)


@conforms("mva_wsss/random_walk")
def test_random_walk(golden):
    cam, size = golden.tensor("in_cam"), golden["in_size"].tolist()
    pooled_size = golden["out_pooled_cam"].shape[1:]
    stride = -(-size[0] // pooled_size[0])
    background = (1 - cam.amax(0, keepdim=True)) ** int(golden["in_alpha"])
    pooled = pool_scores(torch.cat([background, cam]), stride)
    rows = [0, *(golden["in_keys"] + 1)]
    assert not np.delete(golden["out_pooled_cam"], rows, axis=0).any(), "rows of absent classes are zero"
    every_row = torch.zeros(golden["out_pooled_cam"].shape)
    every_row[rows] = pooled
    golden.check("out_pooled_cam", every_row)

    dense = golden.tensor("in_aff_mat")
    displacements = pair_displacements(5)
    sources, destinations = pair_indices(*pooled_size, displacements)
    beta, steps = float(golden["in_beta"]), 2 ** int(golden["in_logt"])
    transition = transition_matrix(dense[sources, destinations], tuple(pooled_size), displacements, beta)
    one_step = transition.to_dense().T.double()
    golden.check("out_trans_mat", torch.linalg.matrix_power(one_step, steps))
    walked = random_walk(pooled, transition, steps)
    every_row[rows] = walked
    golden.check("out_rw_small", every_row)

    scores = F.interpolate(walked[None], scale_factor=stride, mode="bilinear")[0, :, : size[0], : size[1]]
    labels = torch.tensor(rows)[scores.argmax(0)]
    assert (labels.numpy() == golden["out_labels"]).mean() >= 0.999 and len(np.unique(golden["out_labels"])) > 1
