"""Pseudo labels, losses and the training step of KTSE, stage 1, against its authors' code."""

import numpy as np
import torch
import torch.nn.functional as F

from wsss_lib.data.batch import Batch
from wsss_lib.data.pairs import PairBatch
from wsss_lib.labels.pixel_adaptive import parvar_affinities, refine_scores, varm_affinities
from wsss_lib.labels.refined_labels import eight_bit, refined_labels
from wsss_lib.losses.erasing import alignment_terms, concatenate_pairs, erase, knowledge_transfer_loss
from wsss_lib.losses.self_training import (
    background_cross_entropy,
    foreground_cross_entropy,
    inter_class_loss,
    pair_terms,
    rectified_logits,
    self_training_loss,
    single_image_terms,
)
from wsss_lib.maps.foreground import foreground_map
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.golden_files import conforms

DIFFERING = 0.001  # share of the pixels of label maps that may differ, from the notes of the files


def check_labels(golden, key, label_maps):
    stored = golden[key]
    assert label_maps.dtype == torch.int64 and label_maps.shape == stored.shape
    assert (label_maps.numpy() != stored).mean() <= DIFFERING
    assert len(np.unique(stored)) > 1 and (stored != 0).mean() > DIFFERING, "an empty label map would pass"


@conforms("ktse/ktse_par")
def test_pixel_adaptive_refinement(golden):
    for case in golden.cases:
        params, images = golden.params[case], golden.tensor(f"in_{case}_imgs")
        scores = golden.tensor(f"in_{case}_masks")
        refined = refine_scores(scores, images, params["dilations"], params["num_iter"])
        golden.check(f"out_{case}_refined", refined)


@conforms("ktse/ktse_par_variants")
def test_variants_of_the_refinement(golden):
    for case in golden.cases:
        params, images = golden.params[case], golden.tensor(f"in_{case}_imgs")
        scores = golden.tensor(f"in_{case}_masks")
        for name, affinities_of in (("varm", varm_affinities), ("parvar", parvar_affinities)):
            refined = refine_scores(scores, images, params["dilations"], params["num_iter"], affinities_of)
            golden.check(f"out_{case}_{name}", refined)


def labels_of(images, maps, class_labels, params):
    return refined_labels(
        maps,
        class_labels,
        images,
        denormalize=IMAGENET.denormalize,
        background_scores=params["RCAM_T"],
        **{ours: params[theirs] for theirs, ours in NAMES.items() if theirs in params},
    )


NAMES = {"down_scale": "shrink", "num_iter": "iterations", "dilations": "dilations"}


@conforms("ktse/ktse_pseudo_label")
def test_pseudo_labels(golden):
    for case in golden.cases:
        images, maps = golden.tensor(f"in_{case}_img"), golden.tensor(f"in_{case}_cams")
        pixels = eight_bit(IMAGENET.denormalize(images)).flip(1)  # the authors turn RGB round on the way
        golden.check(f"out_{case}_denorm", pixels, atol=1.01 / 255)
        label_maps = labels_of(images, maps, golden.tensor(f"in_{case}_labels"), golden.params[case])
        check_labels(golden, f"out_{case}_pseudo", label_maps)


@conforms("ktse/ktse_seg_loss")
def test_self_training_of_single_images(golden):
    for case in golden.cases:
        params, logits = golden.params[case], golden.tensor(f"in_{case}_pred").requires_grad_()
        label_maps, class_labels = golden.tensor(f"in_{case}_pseudo"), golden.tensor(f"in_{case}_labels")
        single = class_labels.sum(1) == 1
        foreground = golden.tensor(f"in_{case}_cam_fg")
        inter = inter_class_loss(logits, foreground, class_labels, threshold=params["fg_thr"])
        total = self_training_loss(logits, label_maps, foreground_weight=params["w_fg"], images=single)
        total = total + params["w_inter"] * inter
        (gradient,) = torch.autograd.grad(total, logits)
        golden.check(f"out_{case}_inter", inter)
        golden.check(f"out_{case}_grad_pred", gradient)  # finite where the official loss is NaN
        if np.isnan(golden[f"out_{case}_total"]):
            assert total.isfinite(), "what is left of the official NaN"
            assert np.isnan(golden[f"out_{case}_fg"]) == (foreground_cross_entropy(logits, label_maps, single) == 0)
            continue
        golden.check(f"out_{case}_fg", foreground_cross_entropy(logits, label_maps, single))
        golden.check(f"out_{case}_total", total)


@conforms("ktse/ktse_pair_seg_loss")
def test_self_training_of_pairs(golden):
    for case in golden.cases:
        logits, label_maps = golden.tensor(f"in_{case}_pred").requires_grad_(), golden.tensor(f"in_{case}_pseudo")
        total = self_training_loss(logits, label_maps, foreground_weight=golden.params[case]["w_fg"])
        (gradient,) = torch.autograd.grad(total, logits)
        golden.check(f"out_{case}_grad_pred", gradient)  # finite where the official loss is NaN
        if np.isnan(golden[f"out_{case}_total"]):
            assert total.isfinite(), "what is left of the official NaN"
            assert 0 in (background_cross_entropy(logits, label_maps), foreground_cross_entropy(logits, label_maps))
            continue
        golden.check(f"out_{case}_total", total)


OUTPUTS = ("camseg_anchor", "camseg_second", "camseg_erased", "camseg_mix", "scores_anchor")


@conforms("ktse/ktse_update")
def test_training_step(golden):
    for case in golden.cases:
        params = golden.params[case]
        given = {name: golden.tensor(f"in_{case}_{name}") for name in OUTPUTS if f"in_{case}_{name}" in golden}
        given = {name: value.requires_grad_() for name, value in given.items()}
        terms, made = training_step(golden, case, given)
        total = sum(terms.values())
        names = {"cls", "kt", "seg", "global_align", "local_align", "seg_two"}
        for name in names:
            golden.check(f"out_{case}_term_{name}", terms.get(name, torch.zeros(())))
        golden.check(f"out_{case}_total", total)
        assert ("img_erased" in made) == (params["epoch"] >= params["T"])
        for name in ("img_erased", "img_mix"):
            if name in made:
                golden.check(f"out_{case}_{name}", made[name])
        for name in ("pseudo", "pseudo2"):
            if name in made:
                check_labels(golden, f"out_{case}_{name}", made[name])
        for name in ("part_inter", "part_seg_fg"):
            golden.check(f"out_{case}_{name}", made.get(name, torch.zeros(())))
        gradients = torch.autograd.grad(total, list(given.values()), allow_unused=True)
        for (name, value), gradient in zip(given.items(), gradients, strict=True):
            golden.check(f"out_{case}_grad_{name}", torch.zeros_like(value) if gradient is None else gradient)


def training_step(golden, case, given):
    """Terms of the step, and what is made on the way, from the outputs of the four passes.

    The losses get the stored label maps, since one pixel that differs in a tie changes the gradients beside it.
    """
    params = golden.params[case]
    batch = PairBatch(batch_of(golden, case, ""), batch_of(golden, case, "2"))
    images, labels = batch.first.images, batch.first.class_labels
    weight, global_weight, _ = params["W"]
    terms = {"cls": weight * F.multilabel_soft_margin_loss(given["scores_anchor"], labels)}
    if params["epoch"] < params["T"]:
        return terms, {}
    maps, second_maps, erased_maps = (given[f"camseg_{name}"][:, 1:] for name in ("anchor", "second", "erased"))
    size, num_pairs, threshold, margin = images.shape[2:], params["num_pair"], params["TH"][0], params["margin"]
    foreground, pair = foreground_map(maps, labels, size), batch.concatenated(num_pairs)
    made = {
        "img_erased": erase(images, foreground, threshold),
        "img_mix": pair.images,
        "pseudo": labels_of(images, maps, labels, params),
        "pseudo2": labels_of(batch.second.images, second_maps, batch.second.class_labels, params),
    }
    label_maps, second_label_maps = (golden.tensor(f"out_{case}_{name}") for name in ("pseudo", "pseudo2"))
    kept = foreground_map(maps, labels) < threshold
    alignment = alignment_terms(maps, erased_maps, kept, labels, global_weight=global_weight, margin=margin)
    terms |= {f"{name}_align": term for name, term in alignment.items()}
    logits = rectified_logits(given["camseg_anchor"], size)
    made["part_inter"] = inter_class_loss(logits, foreground, labels)
    made["part_seg_fg"] = foreground_cross_entropy(logits, label_maps, labels.sum(1) == 1)
    terms["seg"] = sum(single_image_terms(given["camseg_anchor"], label_maps, foreground, labels).values())
    targets = concatenate_pairs(maps, second_maps, num_pairs)
    terms["kt"] = knowledge_transfer_loss(targets, given["camseg_mix"][:, 1:], pair.class_labels, margin=margin)
    pair_labels = concatenate_pairs(label_maps, second_label_maps, num_pairs)
    terms["seg_two"] = pair_terms(given["camseg_mix"], pair_labels)["pair_segmentation"]
    return terms, made


def batch_of(golden, case, which):
    images, class_labels = golden.tensor(f"in_{case}_img{which}"), golden.tensor(f"in_{case}_labels{which}")
    return Batch(images, class_labels, None, [""] * len(images), [(0, 0)] * len(images))
