"""Pseudo labels, losses and the training step of KTSE, stage 1, against its authors' code."""

import numpy as np
import torch

from wsss_lib.data.batch import Batch
from wsss_lib.data.pairs import PairBatch
from wsss_lib.labels.pixel_adaptive import parvar_affinities, refine_scores, varm_affinities
from wsss_lib.labels.refined_labels import eight_bit, refined_labels
from wsss_lib.losses.self_training import (
    background_cross_entropy,
    foreground_cross_entropy,
    inter_class_loss,
    rectified_logits,
    self_training_loss,
)
from wsss_lib.maps.foreground import foreground_map
from wsss_lib.networks.base import IMAGENET
from wsss_lib.networks.resnet38 import GatedPyramidOutput
from wsss_lib.parameters import read_yaml
from wsss_lib.paths import PARAMS
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.notebook_steps import steps_of

DIFFERING = 0.001  # share of the pixels of label maps that may differ, from the notes of the files


def check_labels(stored, label_maps):
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
        check_labels(golden[f"out_{case}_pseudo"], label_maps)


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
CALLS = ("anchor", "erased", "second", "mix")  # of the network, in the order of the notebook
TERMS = {
    "cls": {"classification"},
    "kt": {"transfer"},
    "seg": {"segmentation", "inter_class"},
    "global_align": {"global"},
    "local_align": {"local"},
    "seg_two": {"pair_segmentation"},
}


class StoredNetwork:
    """Gives the stored outputs, call by call, and keeps the images that it was shown."""

    def __init__(self, outputs):
        self.outputs, self.images = outputs, {}

    def __call__(self, images):
        name = CALLS[len(self.images)]
        self.images[name] = images
        logits = self.outputs[f"camseg_{name}"][: len(images)]
        return GatedPyramidOutput(self.outputs.get(f"scores_{name}"), None, logits[:, 1:], None, logits)


def stored_labels(golden, case):
    """In the place of ``refined_labels``, with which it compares the stored label maps that it gives.

    One pixel that differs in a tie would change the gradients beside it.
    """
    keys = iter((f"out_{case}_pseudo", f"out_{case}_pseudo2"))

    def labels(maps, class_labels, images, **options):
        stored = golden.tensor(next(keys))[: len(images)]
        check_labels(stored.numpy(), refined_labels(maps, class_labels, images, **options))
        return stored

    return labels


def notebook_steps(golden, case):
    """Steps of the notebook before and after the switch, with the numbers of the paper file and those of the case."""
    params = golden.params[case]
    weight, global_weight, _ = params["W"]
    assert weight == 1, "the notebook gives the classification no weight"
    values, _ = read_yaml(PARAMS / "20_ktse/paper.yaml")
    values |= {"erase_above": params["TH"][0], "label_scores": params["RCAM_T"], "global_weight": global_weight}
    values |= {"margin": params["margin"], "num_pairs": params["num_pair"]}
    stand_ins = {"refined_labels": stored_labels(golden, case), "normalization": IMAGENET}
    return steps_of("20_ktse", values, stand_ins, settings="labels_of = partial(refined_labels")


@conforms("ktse/ktse_update")
def test_training_step(golden):
    for case in golden.cases:
        params = golden.params[case]
        given = {name: golden.tensor(f"in_{case}_{name}") for name in OUTPUTS if f"in_{case}_{name}" in golden}
        given = {name: value.requires_grad_() for name, value in given.items()}
        early, late = notebook_steps(golden, case)
        network, first = StoredNetwork(given), batch_of(golden, case, "")
        switched = params["epoch"] >= params["T"]
        terms = late(network, PairBatch(first, batch_of(golden, case, "2"))) if switched else early(network, first)
        total = sum(terms.values())
        for key, names in TERMS.items():
            found = sum((terms[name] for name in names & terms.keys()), torch.zeros(()))
            golden.check(f"out_{case}_term_{key}", found)
        golden.check(f"out_{case}_total", total)
        assert list(network.images) == list(CALLS if switched else CALLS[:1])
        inter_class, foreground = torch.zeros(()), torch.zeros(())
        if switched:
            golden.check(f"out_{case}_img_erased", network.images["erased"])
            golden.check(f"out_{case}_img_mix", network.images["mix"])
            labels, size = first.class_labels, first.images.shape[2:]
            logits = rectified_logits(given["camseg_anchor"], size)
            inter_class = inter_class_loss(logits, foreground_map(given["camseg_anchor"][:, 1:], labels, size), labels)
            foreground = foreground_cross_entropy(logits, golden.tensor(f"out_{case}_pseudo"), labels.sum(1) == 1)
        golden.check(f"out_{case}_part_inter", inter_class)
        golden.check(f"out_{case}_part_seg_fg", foreground)
        gradients = torch.autograd.grad(total, list(given.values()), allow_unused=True)
        for (name, value), gradient in zip(given.items(), gradients, strict=True):
            golden.check(f"out_{case}_grad_{name}", torch.zeros_like(value) if gradient is None else gradient)


def batch_of(golden, case, which):
    images, class_labels = golden.tensor(f"in_{case}_img{which}"), golden.tensor(f"in_{case}_labels{which}")
    return Batch(images, class_labels, None, [""] * len(images), [(0, 0)] * len(images))
