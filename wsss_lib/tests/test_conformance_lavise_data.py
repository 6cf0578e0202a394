"""LaViSE: readers, masks, concepts and word vectors against the code of its authors and of its reproduction."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.coco import CocoRegions
from wsss_lib.data.regions import validation_view
from wsss_lib.data.visual_genome import GenomeRegions, clean_objects
from wsss_lib.data.word_labels import coco_table_targets, concept_rows, multi_hot, supervised_concepts
from wsss_lib.data.words import read_glove
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.golden_files import conforms

VAL = {"short_side": 256, "crop": 224}


def content(golden, key):
    return json.loads(bytes(golden[key]))


def on_grid(masks, grid):
    """Masks [n, H, W] through the validation transform, [n, 1, h, w]."""
    return validation_view(*masks.shape[1:], **VAL).masks(masks, tuple(grid))[:, None]


@conforms("lavise/glove_text_loader")
def test_glove_text_loader(golden, tmp_path):
    path = tmp_path / "glove.txt"
    path.write_bytes(bytes(golden["in_text"]))
    words = read_glove(path)
    assert list(words.words) == content(golden, "out_itos_json") and words.index == content(golden, "out_stoi_json")
    golden.check("out_vectors", words.vectors)
    first = read_glove(path, max_words=golden.params["max_vectors"])
    assert list(first.words) == content(golden, "out_itos_max_json")
    golden.check("out_vectors_max", first.vectors)


@conforms("lavise/coco_concepts")
def test_coco_concepts(golden):
    index = {word: row for row, word in enumerate(content(golden, "in_vocab_json"))}
    rows = concept_rows(content(golden, "in_names_json"), index)
    assert rows == content(golden, "out_stoi_json")
    assert {str(row): word for word, row in rows.items()} == content(golden, "out_itos_json")


@conforms("lavise/category_subset")
def test_category_subset(golden):
    for case, share in enumerate(golden.params["fractions"]):
        rng = np.random.RandomState(golden.params["seed"])
        kept = supervised_concepts(golden.params["n"], share, rng)
        golden.check(f"out_kept_{case}", kept)


@conforms("lavise/coco_dataset")
def test_coco_dataset(golden, tmp_path):
    path = tmp_path / "instances_val.json"
    path.write_bytes(bytes(golden["in_annotations_json"]))
    concepts = content(golden, "in_concepts_json")
    data = CocoRegions(path, tmp_path, known_words=concepts, form="official")
    golden.check("out_image_ids", data.image_ids)
    golden.check("out_instance_ids", [entry["id"] for image in data.annotations for entry in image])

    grid, first = golden.params["grid_wh"][::-1], 0
    for index, words in enumerate(data.words):
        bitmaps = golden["in_bitmaps"][first : first + len(words)]
        first += len(words)
        drawn = data.masks(index)
        assert ((drawn > 0) == bitmaps).mean() > 0.98, "outlines may differ by a pixel"
        assert drawn.max() == np.float32(1 / 255)
        regions = zip(words, on_grid(bitmaps * np.float32(1 / 255), grid), strict=True)
        of_words = [(concepts[word], mask) for of_region, mask in regions for word in of_region]
        golden.check(f"out_targets_{index}", [row for row, _ in of_words])
        golden.check(f"out_masks_{index}", torch.stack([mask for _, mask in of_words]))
    regions = [words for image in data.words for words in image]
    golden.check("out_multihot", multi_hot(regions, sorted(concepts)))
    exact = on_grid(golden["in_bitmaps"] * np.float32(1 / 255), grid)
    golden.check("out_instance_masks", exact)


@conforms("lavise/coco_targets_original")
def test_coco_targets_original(golden):
    stoi = dict(content(golden, "in_table_stoi_json"))
    itos = dict(content(golden, "in_table_itos_json"))
    golden.check("out_targets", coco_table_targets(golden["in_category_ids"].tolist(), stoi, itos))
    grid = (golden.params["grid"],) * 2
    golden.check("out_masks", on_grid(golden["in_bitmaps"] * np.float32(1 / 255), grid))


@conforms("lavise/mask_transform")
def test_mask_transform(golden):
    height, width = golden["in_image_hw"].tolist()
    boxes = [dict(zip("xywh", box, strict=True)) for box in golden["in_boxes_xywh"].tolist()]
    cleaned = [{"image_id": 1, "objects": {f"word{place}": [box] for place, box in enumerate(boxes)}}]
    canvas = GenomeRegions(cleaned, "", form="official").masks(0, height, width)
    for case, grid in enumerate(golden.params["grids_wh"]):
        golden.check(f"out_coco_grid{case}", on_grid(golden["in_coco_bitmaps"] * np.float32(1 / 255), grid[::-1]))
        golden.check(f"out_vg_grid{case}", on_grid(canvas, grid[::-1]))


@conforms("lavise/vg_preprocess")
def test_vg_preprocess(golden):
    vocabulary = content(golden, "in_vocab_json")
    cleaned = clean_objects(content(golden, "in_samples_json"), set(vocabulary), min_count=golden.params["min_count"])
    assert cleaned == content(golden, "out_samples_json")
    kept = sorted({word for entry in cleaned for word in entry["objects"]})
    assert {word: vocabulary.index(word) for word in kept} == content(golden, "out_concepts_json")


@conforms("lavise/vg_dataset")
def test_vg_dataset(golden):
    concepts = content(golden, "in_concepts_json")
    data = GenomeRegions(content(golden, "in_samples_json"), "", known_words=concepts, form="official")
    images = [golden[f"in_image_{index}"] for index in range(len(data))]
    grid, masks, counts = golden.params["grid_wh"][::-1], [], [len(data), sum(map(len, data.words))]
    golden.check("out_len", counts)
    for index, (image, words) in enumerate(zip(images, data.words, strict=True)):
        golden.check(f"out_targets_{index}", [concepts[word] for (word,) in words])
        masks.append(on_grid(data.masks(index, *image.shape[:2]), grid))
        golden.check(f"out_masks_{index}", masks[-1])
        seen = validation_view(*image.shape[:2], **VAL).image(Image.fromarray(image), IMAGENET)
        step = seen.shape[-1] // golden[f"out_image_{index}"].shape[-1]
        golden.check(f"out_image_{index}", seen[:, ::step, ::step])
    golden.check("out_instance_masks", torch.cat(masks))
    golden.check("out_onehot", multi_hot([words for image in data.words for words in image], sorted(concepts)))


@conforms("lavise/vg_dataset_original")
def test_vg_dataset_original(golden):
    labels = content(golden, "in_labels_json")
    data = GenomeRegions(content(golden, "in_samples_json"), "", merge=True, form="official")
    for index, words in enumerate(data.words):
        golden.check(f"out_targets_{index}", multi_hot(words, list(labels)))
        masks = data.masks(index, *golden["in_image_hw"][index].tolist())
        golden.check(f"out_masks_{index}", on_grid(masks, (golden.params["grid"],) * 2))


@pytest.mark.parametrize("form", ["paper", "official"])
def test_only_the_official_forms_keep_the_slips(form):
    boxes = GenomeRegions([{"image_id": 1, "objects": {"sky": [{"x": 0, "y": 0, "w": 4, "h": 1}]}}], "", form=form)
    assert boxes.masks(0, 2, 4).shape[1:] == ((2, 4) if form == "paper" else (4, 2))
