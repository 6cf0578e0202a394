"""The relation network (IRN) of the erasing pipeline's second stage against its authors' code."""

import numpy as np
import torch
import torch.nn.functional as F

import wsss_lib.labels.relation_labels
from wsss_lib.labels.affinity_labels import label_numbers, pair_labels
from wsss_lib.labels.boundary_walk import stretched_scores, walk_by_boundaries
from wsss_lib.labels.confidence import confidence_mask, score_margins
from wsss_lib.labels.instances import cluster_centroids, connected_instances, find_centroids, instance_maps
from wsss_lib.labels.pair_paths import path_affinities, path_displacements, path_points
from wsss_lib.labels.pixel_pairs import pad_for_pairs, pair_indices, pair_views, without_padding
from wsss_lib.labels.random_walk import transition_matrix
from wsss_lib.labels.relation_labels import agreed_labels, crf_label_maps, place_labels
from wsss_lib.losses.affinity import affinity_terms, attraction_loss, repulsion_loss
from wsss_lib.losses.displacement import displacement_terms
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.irnet import IRNet, boundaries_and_displacements, irnet_from_authors
from wsss_lib.schedules import poly_sgd
from wsss_lib.tests.compiled_crf import with_both_crfs
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names
from wsss_lib.tests.test_conformance_ktse_dense_crf import check_labels


@conforms("ktse/irn_path_index")
def test_paths_of_pixel_pairs(golden):
    for case in golden.cases:
        displacements, size = path_displacements(int(golden[f"in_{case}_radius"])), golden[f"in_{case}_size"].tolist()
        paths = [path_points(displacement) for displacement in displacements]
        lengths, numbers = np.unique([len(path) for path in paths], return_counts=True)
        golden.check(f"out_{case}_path_lengths", lengths)
        golden.check(f"out_{case}_n_paths", numbers)
        golden.check(f"out_{case}_search_dst", np.array(displacements))
        golden.check(f"out_{case}_search_paths", np.concatenate(paths))
        sources, destinations = pair_indices(*size, displacements)
        golden.check(f"out_{case}_src", sources)
        golden.check(f"out_{case}_dst", destinations)
        pixels = [sources + y * size[1] + x for path in paths for y, x in path]
        golden.check(f"out_{case}_path_indices", torch.cat(pixels))


@conforms("ktse/irn_affinity_labels")
def test_labels_of_pixel_pairs(golden):
    for case in golden.cases:
        label_map = golden.tensor(f"in_{case}_segmentation")[None].long()
        labels = pair_labels(label_map, path_displacements(golden.params[case]["radius"]))
        for key, pairs in zip(("bg_pos", "fg_pos", "neg"), labels, strict=True):
            golden.check(f"out_{case}_{key}", pairs[0])


def loss_of_each(affinities, loss):
    """The loss of every pair as if it were the only one."""
    of_one = torch.vmap(lambda affinity: loss(affinity, torch.ones_like(affinity, dtype=torch.bool)))
    return of_one(affinities.flatten()).view_as(affinities)


@conforms("ktse/irn_losses")
def test_losses_and_mean_displacement(golden):
    for case in golden.cases:
        params = golden.params[case]
        logits, fields = (golden.tensor(f"in_{case}_{key}").requires_grad_() for key in ("edge", "dp"))
        displacements, every = path_displacements(params["radius"]), params["subsample_step"]
        labels = pair_labels(golden.tensor(f"in_{case}_segmentation").long(), displacements)
        affinities = path_affinities(logits[:, 0].sigmoid(), displacements)
        differences = torch.stack([a - b for a, b in pair_views(fields, displacements)], 2).flatten(3)
        golden.check(f"out_{case}_affinity_sub", affinities[..., ::every])
        golden.check(f"out_{case}_pair_disp_sub", differences[..., ::every])
        target = torch.tensor(displacements).T
        golden.check(f"out_{case}_disp_target", target)
        for key, loss in (("pos", attraction_loss), ("neg", repulsion_loss)):
            golden.check(f"out_{case}_{key}_map_sub", loss_of_each(affinities[..., ::every], loss))
        golden.check(f"out_{case}_dp_fg_map_sub", (differences - target[None, :, :, None]).abs()[..., ::every])

        like, apart = affinity_terms(affinities, labels), displacement_terms(fields, labels, displacements)
        golden.check(f"out_{case}_pos", 2 * (like["background"] + like["foreground"]))
        golden.check(f"out_{case}_neg", 2 * like["negative"])
        for key, term in zip(("dp_fg", "dp_bg"), apart.values(), strict=True):
            golden.check(f"out_{case}_{key}", 2 * term)
        total = sum((like | apart).values())
        golden.check(f"out_{case}_total", total)
        total.backward()
        golden.check(f"out_{case}_grad_edge", logits.grad)
        golden.check(f"out_{case}_grad_dp", fields.grad)

        rate, decay = params["learning_rate"], params["weight_decay"]
        parameter = torch.nn.Parameter(fields.detach().clone())
        parameter.grad = fields.grad
        group = {"params": [parameter], "lr": 10 * rate, "weight_decay": decay}
        poly_sgd([group], lr=rate, weight_decay=decay).step()
        golden.check(f"out_{case}_running_mean", parameter.mean((0, 2, 3)))


@conforms("ktse/irn_net")
@torch.no_grad()
def test_network(golden):
    backbone = build_backbone("resnet50", output_stride=16, dilate=False)
    network = fill_from_names(IRNet(backbone), golden.meta["state_dict"], irnet_from_authors)
    for case in golden.cases:
        images, canvas = golden.tensor(f"in_{case}_img"), golden.params[case]["crop_size"]
        padded = F.pad(images, (0, canvas - images.shape[3], 0, canvas - images.shape[2]))
        relations = network(padded)
        golden.check(f"out_{case}_raw_edge", relations.boundary_logits)
        golden.check(f"out_{case}_raw_dp", relations.displacements)
        boundaries, displacements = boundaries_and_displacements(network, images[:1], canvas)
        golden.check(f"out_{case}_edge", boundaries)
        golden.check(f"out_{case}_dp", displacements[0])


@conforms("ktse/irn_propagate")
def test_walk_held_back_by_boundaries(golden):
    for case in golden.cases:
        maps, boundaries, params = (
            golden.tensor(f"in_{case}_cam"),
            golden.tensor(f"in_{case}_edge")[0],
            golden.params[case],
        )
        displacements, steps = path_displacements(params["radius"]), 2 ** params["exp_times"]
        walk = {"beta": params["beta"], "steps": [steps]}
        (walked,) = walk_by_boundaries(maps, boundaries.double(), displacements, **walk)
        golden.check(f"out_{case}_rw", walked[:, None])

        surrounded, rows = pad_for_pairs(boundaries.double(), displacements, 1.0), params["transition_rows"]
        affinities = path_affinities(surrounded[None], displacements)[0]
        inside = without_padding(torch.arange(surrounded.numel()).view(surrounded.shape), displacements).flatten()
        sources, destinations = pair_indices(*surrounded.shape, displacements)
        dense = torch.eye(surrounded.numel(), dtype=torch.double)
        dense[sources, destinations] = dense[destinations, sources] = affinities
        golden.check(f"out_{case}_affinity_rows", dense[inside][:, inside][rows])
        matrix = transition_matrix(affinities, tuple(surrounded.shape), displacements, params["beta"]).to_dense()
        many = torch.linalg.matrix_power(matrix.T, steps)
        golden.check(f"out_{case}_transition_rows", many[inside][:, inside][rows])


@conforms("ktse/irn_sem_seg")
def test_pseudo_labels(golden):
    for case in golden.cases:
        params, present = golden.params[case], torch.zeros(20)
        present[golden[f"in_{case}_keys"]] = 1
        boundaries, displacements = golden.tensor(f"in_{case}_edge")[0], path_displacements(params["radius"])
        walk = {"beta": params["beta"], "steps": [2 ** params["exp_times"]]}
        (walked,) = walk_by_boundaries(golden.tensor(f"in_{case}_cam"), boundaries, displacements, **walk)
        scores = stretched_scores(walked, 4, tuple(params["size"]))
        golden.check(f"out_{case}_score", F.pad(scores, (0, 0, 0, 0, 1, 0), value=params["bg_thres"]))
        golden.check(f"out_{case}_keys", label_numbers(present))
        stored = golden[f"out_{case}_pred"]
        label_map = label_numbers(present)[place_labels(scores, [params["bg_thres"]])[0]]
        assert (label_map.numpy() != stored).mean() <= 0.002 and len(np.unique(stored)) > 1


@conforms("ktse/irn_instances")
def test_instances(golden):
    for case in golden.cases:
        params, field = golden.params[case], golden.tensor(f"in_{case}_dp")
        centroids = find_centroids(field, params["iterations"])
        golden.check(f"out_{case}_centroids", centroids)
        clusters = cluster_centroids(centroids, field, params["thres"])
        golden.check(f"out_{case}_cluster", F.one_hot(clusters).permute(2, 0, 1))
        scores = golden.tensor(f"in_{case}_score")
        golden.check(f"out_{case}_instance_score", instance_maps(scores, clusters))
        masks, classes = golden.tensor(f"in_{case}_masks"), torch.tensor(params["classes"])
        found = connected_instances(scores, masks, classes, params["max_fragment_size"])
        for key, values in zip(("score", "mask", "class"), found, strict=True):
            golden.check(f"out_{case}_det_{key}", values)


def relation_label_map(golden, case, crf):
    params, present = golden.params[case], torch.zeros(20)
    present[golden[f"in_{case}_keys"]] = 1
    label_maps = place_labels(golden.tensor(f"in_{case}_high_res"), [params["conf_fg_thres"], params["conf_bg_thres"]])
    if crf:
        options = {"gaussian": params["gauss"], "bilateral": params["bilateral"], "iterations": params["t"]}
        options["confidence"] = params["gt_prob"]
        label_maps = crf_label_maps(golden[f"in_{case}_img"], label_maps, int(present.sum()) + 1, **options)
    return agreed_labels(*label_numbers(present)[label_maps])


@conforms("ktse/irn_ir_label_nocrf")
def test_relation_labels_without_crf(golden):
    for case in golden.cases:
        golden.check(f"out_{case}_label", relation_label_map(golden, case, crf=False))


@with_both_crfs
@conforms("ktse/irn_ir_label_crf")
def test_relation_labels(golden, crf, monkeypatch):
    monkeypatch.setattr(wsss_lib.labels.relation_labels, "dense_crf", crf)
    for case in golden.cases:
        check_labels(golden, f"out_{case}_label", relation_label_map(golden, case, crf=True))


@conforms("ktse/irn_gen_mask")
def test_confidence_masks(golden):
    """The same number of pixels of each label, and the same ones but for equal margins at the end of the choice.

    The authors' sort is not stable: which of several equal margins it takes is left to the machine.
    """
    for case in golden.cases:
        scores, label_map = (golden.tensor(f"in_{case}_{key}") for key in ("score", "pred"))
        mask = confidence_mask(scores, label_map, golden.params[case]["fraction"])
        stored, margins = golden.tensor(f"out_{case}_mask"), score_margins(scores)
        assert set(stored.unique().tolist()) == {0, 255} and mask.any() and not mask.all()
        for label in label_map.unique():
            here = label_map == label
            assert mask[here].sum() == (stored[here] == 255).sum()
            if mask[here].any():
                decided = here & (margins != margins[here & mask].min())
                assert torch.equal(mask[decided], stored[decided] == 255)
