"""Losses, scores and box data of model guidance against the authors' code."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.data.batch import Draws
from wsss_lib.data.box_masks import pair_masks, scale_boxes
from wsss_lib.data.coco_boxes import CocoDetection
from wsss_lib.data.limited_boxes import annotated_indices, dilate_boxes
from wsss_lib.data.random_targets import random_positive_classes
from wsss_lib.data.transforms import Squash
from wsss_lib.data.voc import VOC_CLASSES, VocDataset
from wsss_lib.losses.localization import LOCALIZATION_LOSSES
from wsss_lib.maps.gradients import attributions, explained, prepare_attributions
from wsss_lib.networks.bcos import PLAIN_RGB, BcosBasicBlock, BcosClassifier, BcosResNet, bcos_from_authors
from wsss_lib.scores.localization import box_iou, energy_pointing_game, within_size
from wsss_lib.scores.multilabel import DecisionCounts
from wsss_lib.scores.pareto import pareto_front, rounded_to_bins
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names

COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # ids of 2014 that no category has


def as_boxes(rows):
    """Rows (x0, y0, x1, y1) as boxes of class 0."""
    return [(0, tuple(row)) for row in np.asarray(rows).tolist()]


def corners(boxes):
    return np.array([box for _, box in boxes])


@conforms("model_guidance/localization_losses")
def test_localization_losses(golden):
    size = golden.params["H"], golden.params["W"]
    for case, values in enumerate(golden.series("in_attr")):
        masks = pair_masks([as_boxes(golden[f"in_boxes_{case}"])], [0], [0], size)
        for name, loss in LOCALIZATION_LOSSES.items():
            assert list(loss[1:]) == golden.params["flags"][name]
            raw = torch.from_numpy(values)[None].requires_grad_()
            maps = prepare_attributions(
                raw, None, only_positive=loss.only_positive, divide_by_maximum=loss.divide_by_maximum
            )
            if f"out_norm_{name}_{case}" in golden:
                golden.check(f"out_norm_{name}_{case}", maps[0])
            value = loss.function(maps, masks)
            (gradient,) = torch.autograd.grad(value, raw)
            if np.isfinite(golden[f"out_{name}_{case}"]):
                golden.check(f"out_{name}_{case}", value)
            else:
                assert name == "PPCE" and not masks.any() and value == 0
            if np.isfinite(golden[f"out_{name}_grad_{case}"]).all():
                golden.check(f"out_{name}_grad_{case}", gradient[0])
            assert gradient.isfinite().all()


def means(golden, key, fractions, defined):
    """Compare the fractions of a metric, which of them are defined, and their mean."""
    golden.check(f"out_{key}_fractions", fractions / 100)
    assert torch.nonzero(defined).flatten().tolist() == golden[f"out_{key}_defined"].tolist()
    counted = fractions if "defonly" not in key and key != "iou_sized" else fractions[defined]
    golden.check(f"out_{key}_mean", (counted / 100).mean())


@conforms("model_guidance/localization_metrics")
def test_localization_metrics(golden):
    maps = golden.tensor("in_maps")
    rows = golden["in_boxes"]
    boxes = [as_boxes(rows[rows[:, 0] == number, 1:]) for number in range(len(maps))]
    masks = pair_masks(boxes, range(len(maps)), [0] * len(maps), maps.shape[1:])
    sized = within_size(masks, golden.params["min_box_size"], golden.params["max_box_size"])
    energy = energy_pointing_game(maps, masks)
    defined = ~energy_pointing_game(maps, masks, undefined=float("nan")).isnan()
    means(golden, "epg", energy, defined)
    means(golden, "epg_defonly", energy, defined)
    means(golden, "epg_sized", energy[sized], defined[sized])
    for key, threshold in (("iou", "iou_threshold"), ("iou_thr", "iou_thr_threshold")):
        iou = box_iou(maps, masks, golden.params[threshold])
        means(golden, key, iou, torch.ones(len(maps), dtype=torch.bool))
    iou = box_iou(maps, masks, golden.params["iou_threshold"])[sized]
    means(golden, "iou_sized", iou, torch.ones(len(iou), dtype=torch.bool))


@conforms("model_guidance/multilabel_f1")
def test_multilabel_f1(golden):
    for case, threshold in enumerate(golden.params["thresholds"]):
        counts = DecisionCounts.of(golden.tensor(f"in_logits_{case}"), golden.tensor(f"in_labels_{case}"), threshold)
        rates = np.array([counts.accuracy, counts.precision, counts.recall, counts.f1]) / 100
        golden.check(f"out_values_{case}", np.array([*rates, *counts.as_tuple()]))


@conforms("model_guidance/pareto_selection")
def test_pareto_selection(golden):
    points, width = golden["in_points"].astype(np.float64), golden.params["bin_width"]
    history = np.full(golden["out_front_epochs_history"].shape, -1)
    for epoch in range(len(points)):
        front = pareto_front(points[: epoch + 1], width)
        history[epoch, : len(front)] = front + 1
    golden.check("out_front_epochs_history", history)
    golden.check("out_front_final_epochs", front + 1)
    stored = golden["out_front_final_costs"]
    expected = points if np.allclose(stored, points[front]) else rounded_to_bins(points, width)
    golden.check("out_front_final_costs", expected[front])

    efficient = pareto_front(-golden["in_costs"])
    golden.check("out_efficient_indices", efficient)
    golden.check("out_efficient_mask", np.isin(np.arange(len(golden["in_costs"])), efficient))
    scores = golden["in_fscores"][:, None]
    golden.check("out_best_epoch_history", [pareto_front(scores[: n + 1]).item() for n in range(len(scores))])


@conforms("model_guidance/boxes")
def test_boxes(golden):
    boxes = as_boxes(golden["in_boxes"])
    for case, share in enumerate(golden.params["percentages"]):
        golden.check(f"out_dilated_{case}", corners(dilate_boxes(boxes, share, (224, 224))))
    labelled = [(label, tuple(box)) for label, *box in golden["in_labelled"].tolist()]
    chosen = [box for box in labelled if box[0] == 1]
    golden.check("out_filtered_class1", corners(chosen))
    of_class, of_all = (pair_masks([found], [0], [1], (224, 224)) for found in (chosen, labelled))
    assert torch.equal(of_class, of_all) and of_class.any()


@conforms("model_guidance/limited_annotations")
def test_limited_annotations(golden):
    kept = annotated_indices(int(golden["in_n"]), golden.params["annotated_fraction"], golden.params["seed"])
    golden.check("out_annotated_indices", kept)


@conforms("model_guidance/random_targets")
def test_random_targets(golden):
    class_labels, generator = golden.tensor("in_labels"), torch.Generator().manual_seed(golden.params["seed"])
    drawn = [random_positive_classes(class_labels, generator) for _ in range(golden.params["n_draws"])]
    golden.check("out_targets", drawn[0], atol=0)
    golden.check("out_frequencies", F.one_hot(torch.stack(drawn), class_labels.shape[1]).float().mean(0))


def voc_folder(root, golden):
    """The annotations of the file as a data set in VOC layout."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number, annotation in enumerate(golden.params["voc_annotations"]):
        Image.fromarray(golden[f"in_image_{number}"]).save(root / f"JPEGImages/{number}.png")
        tree = ET.Element("annotation")
        for found in annotation["object"]:
            element = ET.SubElement(tree, "object")
            ET.SubElement(element, "name").text = found["name"]
            box = ET.SubElement(element, "bndbox")
            for side, value in found["bndbox"].items():
                ET.SubElement(box, side).text = value
        ET.ElementTree(tree).write(root / f"Annotations/{number}.xml")
    (root / "ImageSets/Main/train.txt").write_text("".join(f"{n}\n" for n in range(number + 1)))
    return VocDataset(root, "train", masks="none", lists="Main")


def coco_folder(root, golden):
    """The annotations of the file as COCO instances, with the categories of 2014."""
    entries = golden.params["coco"]
    for entry in entries.values():
        Image.fromarray(golden[f"in_image_{entry['idx']}"]).save(root / entry["file"])
    content = {
        "categories": [{"id": k, "name": f"category {k}"} for k in range(1, 91) if k not in COCO_GAPS],
        "images": [{"id": int(number), "file_name": entry["file"]} for number, entry in entries.items()],
        "annotations": [{"image_id": int(n)} | found for n, entry in entries.items() for found in entry["an"]],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return CocoDetection(root / "instances.json", root)


@conforms("model_guidance/preprocess")
def test_preprocess(golden, tmp_path):
    (tmp_path / "coco").mkdir()
    data = {"voc": voc_folder(tmp_path / "voc", golden), "coco": coco_folder(tmp_path / "coco", golden)}
    assert data["voc"].classes == VOC_CLASSES and len(data["coco"].classes) == golden["out_coco_labels"].shape[1]
    size, transform = (224, 224), Squash(PLAIN_RGB, 224)
    for key, dataset in data.items():
        golden.check(f"out_{key}_labels", dataset.class_labels)
        rows, images = [], []
        for index in range(len(dataset)):
            sample = dataset.read(index)
            images.append(transform(sample, Draws(0))[0])
            found = scale_boxes(dataset.read_boxes(index), sample.image.size[::-1], size, counted_from=key == "voc")
            rows += [(index, label, *box) for label, box in found]
        golden.check(f"out_{key}_bbs", np.array(rows))
        images = torch.stack(images)
        golden.check(f"out_{key}_data_mean", images.mean((2, 3)))
        if key == "voc":
            golden.check("out_voc_data_sub8", images[..., ::8, ::8])


@conforms("model_guidance/eval_loop")
def test_eval_loop(golden):
    params, class_labels = golden.params, golden.tensor("in_labels")
    backbone = BcosResNet(BcosBasicBlock, tuple(params["blocks"]), width=params["bcos_inplanes"] / 64)
    network = BcosClassifier(backbone, params["num_classes"], logit_bias=params["logit_bias"])
    fill_from_names(network, golden.meta["state_dict"], bcos_from_authors)
    names = [name for name in network.state_dict() if name.endswith("running_var")]
    parts = golden.tensor("in_running_var_flat").split([len(network.state_dict()[name]) for name in names])
    network.load_state_dict(dict(zip(names, parts, strict=True)), strict=False)
    network.eval()

    images, size = golden.tensor("in_x")[:, :3], tuple(params["interpolate_dims"])  # the rest is one less these
    boxes = [
        [(label, tuple(box)) for image, label, *box in golden["in_boxes"].tolist() if image == n]
        for n in range(len(images))
    ]
    pairs = torch.nonzero(class_labels, as_tuple=True)
    masks = pair_masks(boxes, *pairs, size)
    with torch.no_grad():
        golden.check("out_logits", network(images).logits)
    for key in (key for key in golden.arrays if key.startswith("out_metrics_")):
        depth, name = key.removeprefix("out_metrics_").split("_")
        loss = LOCALIZATION_LOSSES[name]
        found = explained(network, images, depth)
        maps = attributions(network, images, found, *pairs, method="BCos", depth=depth)
        maps = prepare_attributions(
            maps, size, only_positive=loss.only_positive, divide_by_maximum=loss.divide_by_maximum
        )
        counts = DecisionCounts.of(found.logits, class_labels)
        rates = [counts.accuracy, counts.precision, counts.recall, counts.f1]
        located = [energy_pointing_game(maps, masks).mean().item(), box_iou(maps, masks).mean().item()]
        batches = zip(*(part.split(params["batch_size"]) for part in (found.logits, class_labels)), strict=True)
        losses = sum(F.binary_cross_entropy_with_logits(*batch).item() for batch in batches)
        values = dict(zip(params["keys"], [rate / 100 for rate in rates] + list(counts.as_tuple()), strict=False))
        values |= {"BB-Loc": located[0] / 100, "BB-IoU": located[1] / 100}
        values["Average-Loss"] = losses / (len(images) / params["batch_size"])
        golden.check(key, np.array([values[name] for name in params["keys"]]))
