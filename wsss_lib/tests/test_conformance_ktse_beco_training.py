"""Samples, mixing, loss, multi-scale test and scores of BECO against the authors' own."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.class_mixing import Choices, boundary, chosen_pixels, mix_classes, partners, source_labels
from wsss_lib.data.color_augmentation import in_eight_bits
from wsss_lib.data.labelled_crop import LabelledCrop, draw_area_crop
from wsss_lib.data.transforms import normalized, resize_mask, to_pixels
from wsss_lib.losses.co_training import co_training_terms, online_labels
from wsss_lib.networks.base import IMAGENET
from wsss_lib.networks.deeplab import multi_scale_logits
from wsss_lib.scores.segmentation import (
    class_iou,
    class_precision,
    class_recall,
    confusion_matrix,
    frequency_weighted_iou,
    mean_iou,
    mean_precision,
    mean_recall,
    pixel_accuracy,
)
from wsss_lib.tests.golden_files import conforms

ONE_STEP = 1 / 255 / min(IMAGENET.std) + 1e-4
DIFFERING = 0.002  # share of pixels, from the note of beco_postprocess


@conforms("ktse/beco_transforms")
def test_beco_transforms(golden):
    for case in golden.cases:
        params = golden.params[case]
        image, labels = Image.fromarray(golden[f"in_{case}_img"]), golden[f"in_{case}_label"]
        areas, size = tuple(params["scale"][:2]), tuple(params["size"])
        stored = golden[f"out_{case}_draws"]
        draws = Draws(params["torch_seed"])
        crops = np.array([draw_area_crop(*labels.shape, areas, draws) for _ in stored])
        golden.check(f"out_{case}_draws", crops)
        golden.check(f"out_{case}_area_fraction", crops[:, 2] * crops[:, 3] / labels.size)
        assert crops[0].tolist() == params["crop_i_j_h_w"]
        transform = LabelledCrop(IMAGENET, size, areas=areas)
        confidence = (golden[f"in_{case}_mask"] > 0).astype(np.uint8)
        picture, masks = transform.cut(Sample("", image, torch.zeros(0), labels), confidence, tuple(crops[0]))
        golden.check(f"out_{case}_img", picture)
        golden.check(f"out_{case}_label", masks[0])
        golden.check(f"out_{case}_mask", masks[1:])
        resized = image.resize(size[::-1], Image.Resampling.BILINEAR)
        golden.check(f"out_{case}_val_img", normalized(to_pixels(resized), IMAGENET))
        golden.check(f"out_{case}_val_label", resize_mask(labels, size))


@conforms("ktse/beco_augment_roundtrip")
def test_beco_augment_roundtrip(golden):
    for case in golden.cases:
        ours = in_eight_bits(golden.tensor(f"in_{case}_img"), IMAGENET, lambda pixels: pixels)
        differences = (ours - golden.tensor(f"out_{case}_img")).abs()
        assert differences.max() <= ONE_STEP and (differences > 1e-4).float().mean() <= 0.01
        assert golden.tensor(f"out_{case}_img").std() > 0.5


@conforms("ktse/beco_boundary")
def test_beco_boundary(golden):
    for case in golden.cases:
        inside = golden.tensor(f"in_{case}_mask")[None] > 0
        outline = boundary(inside, golden.params[case]["size"]).long()
        golden.check(f"out_{case}_boundary", outline)
        varied = inside.flatten(1).any(1) & ~inside.flatten(1).all(1)
        golden.check(f"out_{case}_inside", (inside & (outline == 0) & varied[:, None, None]).long())


def mix(golden, case, online, size):
    labels, confident = (golden.tensor(f"in_{case}_{name}").squeeze(1) for name in ("label", "mask"))
    choices = Choices(*(golden.tensor(f"in_{case}_{name}") > 0 for name in ("mixed", "classes")))
    return mix_classes(golden.tensor(f"in_{case}_img"), labels, confident, choices, online=online, size=size)


def check_mixed(golden, case, result, inside):
    golden.check(f"out_{case}_img", result.images)
    golden.check(f"out_{case}_label", result.labels)
    golden.check(f"out_{case}_mask", result.confident)
    golden.check(f"out_{case}_boundary", result.boundary)
    golden.check(f"out_{case}_inside", inside)


@conforms("ktse/beco_mix_warmup")
def test_beco_mix_warmup(golden):
    for case in golden.cases:
        mixed = mix(golden, case, None, golden.params[case]["size"])
        check_mixed(golden, case, mixed, torch.zeros_like(mixed.boundary))


@conforms("ktse/beco_mix_online")
def test_beco_mix_online(golden):
    for case in golden.cases:
        online = tuple(golden.tensor(f"in_{case}_{name}_online").squeeze(1) for name in ("label", "mask"))
        mixed = mix(golden, case, online, golden.params[case]["size"])
        chosen, classes = (golden.tensor(f"in_{case}_{name}") > 0 for name in ("mixed", "classes"))
        _, pasted = partners(len(chosen))
        inside = chosen_pixels(source_labels(*online)[pasted], classes) & chosen[:, None, None]
        check_mixed(golden, case, mixed, inside & (mixed.boundary == 0))


@conforms("ktse/beco_train_step")
def test_beco_train_step(golden):
    for case in golden.cases:
        params, online = golden.params[case], None
        if params["epoch"] >= params["warm_up"]:
            logits = golden.tensor(f"in_{case}_online1").float(), golden.tensor(f"in_{case}_online2").float()
            online = online_labels(logits, params["highres_t"])
            golden.check(f"out_{case}_label_online", online[0])
            golden.check(f"out_{case}_mask_online", online[1][:, None])
        else:
            assert not any(golden[f"out_{case}_{name}_online"].any() for name in ("label", "mask")), "none before"
        mixed = mix(golden, case, online, params["bdry_size"])
        golden.check(f"out_{case}_label_mixed", mixed.labels)
        golden.check(f"out_{case}_mask_mixed", mixed.confident)
        golden.check(f"out_{case}_boundary", mixed.boundary)
        one, two = (golden.tensor(f"in_{case}_logits{k}").float().requires_grad_() for k in (1, 2))
        terms = co_training_terms(
            (one, two),
            mixed.labels,
            mixed.confident,
            mixed.boundary,
            confident_boundary=(params["bdry_whb"], params["bdry_whi"]),
            doubtful_boundary=(params["bdry_wlb"], params["bdry_wli"]),
        )
        total = sum(terms.values())
        golden.check(f"out_{case}_total", total)
        golden.check(f"out_{case}_ce1", terms["labels 1"])
        golden.check(f"out_{case}_cot1", terms["mutual 1"])
        golden.check(f"out_{case}_rest", terms["labels 2"] + terms["mutual 2"])
        total.backward()
        golden.check(f"out_{case}_grad1", one.grad)
        golden.check(f"out_{case}_grad2", two.grad)


@conforms("ktse/beco_msc_test")
def test_beco_msc_test(golden):
    for case in golden.cases:
        images, seen = golden.tensor(f"in_{case}_img"), []

        def mean_logits(inputs, case=case, seen=seen):
            seen.append(inputs)
            return sum(golden.tensor(f"in_{case}_pre{k}_{len(seen) - 1}") for k in (1, 2)) / 2

        scales = golden.params[case]["scales"]
        plain, *_, merged = multi_scale_logits(mean_logits, images, scales)
        golden.check(f"out_{case}_merged", merged)
        for number, scale in enumerate(scales, start=1):
            if scale != 1:
                golden.check(f"out_{case}_scaled_img_{number}", seen[number])
        mask = golden[f"in_{case}_label"]
        label_maps = F.interpolate(plain, mask.shape[1:], mode="bilinear").argmax(1)
        golden.check(f"out_{case}_confusion", confusion_matrix(label_maps, mask, plain.shape[1]))


@conforms("ktse/beco_postprocess")
def test_beco_postprocess(golden):
    confusion = 0
    for case in golden.cases:
        mask, stored = golden[f"in_{case}_truth"], golden[f"out_{case}_pred"]
        logits = F.interpolate(golden.tensor(f"in_{case}_logits")[None], mask.shape, mode="bilinear")
        label_map = logits.softmax(1)[0].argmax(0).numpy()
        assert (label_map != stored).mean() <= DIFFERING
        assert all((stored != label).mean() > DIFFERING for label in np.unique(stored))
        confusion = confusion + confusion_matrix(label_map, mask, logits.shape[1])
    for case in golden.cases:
        golden.check(f"out_{case}_miou_all", mean_iou(confusion, counted="true") / 100, rtol=DIFFERING)


@conforms("ktse/beco_metrics")
def test_beco_metrics(golden):
    for case in golden.cases:
        confusion = confusion_matrix(
            golden[f"in_{case}_pred"], golden[f"in_{case}_truth"], golden.params[case]["n_classes"]
        )
        golden.check(f"out_{case}_confusion", confusion)
        iou = class_iou(confusion) / 100
        golden.check(f"out_{case}_Overall_Acc", pixel_accuracy(confusion) / 100)
        golden.check(f"out_{case}_mClass_Acc", mean_recall(confusion) / 100)
        golden.check(f"out_{case}_mIoU", mean_iou(confusion, counted="true") / 100)
        golden.check(f"out_{case}_Class_Acc", np.nan_to_num(class_recall(confusion) / 100))
        golden.check(f"out_{case}_Pred_Acc", np.nan_to_num(class_precision(confusion) / 100))
        golden.check(f"out_{case}_IoU", np.nan_to_num(iou))
        golden.check(f"out_{case}_mPred_Acc", mean_precision(confusion) / 100)
        golden.check(f"out_{case}_scores_acc", pixel_accuracy(confusion) / 100)
        golden.check(f"out_{case}_scores_mean_acc", mean_recall(confusion) / 100)
        golden.check(f"out_{case}_scores_fwiou", frequency_weighted_iou(confusion) / 100)
        golden.check(f"out_{case}_scores_miou", mean_iou(confusion, counted="true") / 100)
        golden.check(f"out_{case}_scores_iou", iou)
