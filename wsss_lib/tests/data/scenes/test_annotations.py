"""Masks, boxes and run lengths against loops."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from wsss_lib.data.scenes.annotations import (
    border,
    coco_instances,
    genome_entries,
    palette_image,
    run_lengths,
    voc_masks,
    voc_palette,
    voc_xml,
)
from wsss_lib.data.scenes.compose import make_scene
from wsss_lib.data.scenes.dials import Benchmark


@pytest.fixture(scope="module")
def scene():
    return make_scene(Benchmark(side=64), "train_aug", 1)


def decode(counts, height, width):
    """Run lengths down the columns to a mask, one pixel after the other."""
    flat, value = [], 0
    for count in counts:
        flat += [value] * count
        value = 1 - value
    return np.array(flat, dtype=bool).reshape(width, height).T


def test_palette_of_voc():
    palette = np.frombuffer(voc_palette(), dtype=np.uint8).reshape(256, 3).tolist()
    assert palette[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette[15] == [192, 128, 128] and palette[20] == [0, 64, 128] and palette[255] == [224, 224, 192]


def test_palette_image_keeps_the_labels():
    labels = np.array([[0, 3], [255, 8]], dtype=np.uint8)
    image = palette_image(labels)
    assert image.mode == "P" and (np.array(image) == labels).all()


@pytest.mark.parametrize(("side", "reach"), [(40, 1), (240, 2)])
def test_border_is_what_lies_near_another_object(side, reach):
    instances = np.zeros((side, side), dtype=np.uint8)
    instances[side // 3 :, side // 4 :] = 1
    instances[side // 2 :, side // 2 :] = 2
    expected = np.zeros_like(instances, dtype=bool)
    for row in range(side // 3 - 4, side):
        for column in range(side):
            for down in range(-reach, reach + 1):
                for across in range(-reach + abs(down), reach + 1 - abs(down)):
                    if 0 <= row + down < side and 0 <= column + across < side:
                        expected[row, column] |= instances[row, column] != instances[row + down, column + across]
    assert (border(instances) == expected).all()


def test_masks_have_a_border_and_labels_within(scene):
    class_mask, object_mask = voc_masks(scene)
    ignored = class_mask == 255
    assert ignored.any() and (ignored == (object_mask == 255)).all()
    assert (class_mask[~ignored] == scene.class_map[~ignored]).all()
    for number, thing in enumerate(scene.objects, start=1):
        assert (class_mask[object_mask == number] == thing.class_index + 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_decode_to_the_mask(seed):
    mask = np.random.default_rng(seed).random((7, 11)) < (0.1, 0.5, 0.9, 0.0, 1.0)[seed]
    counts = run_lengths(mask)
    assert sum(counts) == 77 and (decode(counts, 7, 11) == mask).all()


def test_coco_entries(scene):
    entries = coco_instances(scene, image_number=5, first_id=40)
    assert [entry["id"] for entry in entries] == list(range(40, 40 + len(scene.objects)))
    for number, entry in enumerate(entries, start=1):
        mask = decode(entry["segmentation"]["counts"], *entry["segmentation"]["size"])
        assert (mask == (scene.instance_map == number)).all()
        rows, columns = np.nonzero(mask)
        corner = [columns.min(), rows.min()]
        assert entry["bbox"] == [*corner, columns.max() + 1 - corner[0], rows.max() + 1 - corner[1]]
        assert entry["area"] == mask.sum() and entry["iscrowd"] == 0 and entry["image_id"] == 5


def test_xml_boxes_count_from_one(scene):
    root = ET.fromstring(voc_xml(scene, "2012_000002", Benchmark().classes, ("head",) * 8, segmented=True))
    assert root.findtext("filename") == "2012_000002.jpg" and root.findtext("size/width") == "64"
    for number, (thing, node) in enumerate(zip(scene.objects, root.iterfind("object"), strict=True), start=1):
        rows, columns = np.nonzero(scene.instance_map == number)
        corners = [int(node.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
        assert corners == [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]
        assert node.findtext("name") == Benchmark().classes[thing.class_index]
        assert node.findtext("part/name") == "head" and node.findtext("pose") in ("Left", "Right")
        assert {node.findtext(name) for name in ("truncated", "occluded", "difficult")} <= {"0", "1"}


def test_xml_without_a_visible_part(scene):
    hidden = replace(scene, objects=tuple(replace(thing, part_box=None) for thing in scene.objects))
    root = ET.fromstring(voc_xml(hidden, "2012_000002", Benchmark().classes, ("head",) * 8, segmented=False))
    assert root.find("object") is not None and root.find("object/part") is None


def test_genome_entries_name_every_region(scene):
    objects, attributes, regions = genome_entries(scene, image_number=3, first_id=10)
    assert [entry["names"] for entry in objects["objects"]] == [[region.noun] for region in scene.regions]
    assert [entry["object_id"] for entry in attributes["attributes"]] == list(range(10, 10 + len(scene.regions)))
    for region, entry, phrase in zip(scene.regions, objects["objects"], regions["regions"], strict=True):
        assert (entry["x"], entry["y"], entry["x"] + entry["w"], entry["y"] + entry["h"]) == region.box
        assert region.noun in phrase["phrase"].split() and entry["synsets"] == [f"{region.noun}.n.01"]
