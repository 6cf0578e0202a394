"""Masks from hand-made COCO annotations, and the data set written from them."""

import json

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.coco_masks import (
    instance_pixels,
    polygon_pixels,
    run_length_pixels,
    semantic_mask,
    uncompressed,
    write_coco_as_voc,
)
from wsss_lib.data.voc import open_dataset

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]


def compressed(counts):
    """The text form of run lengths, written from its description."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != (-1 if code & 16 else 0)
            text += chr(code + (32 if more else 0) + 48)
    return text


def annotation(category, segmentation, area=1.0, crowd=0):
    return {"image_id": 1, "category_id": category, "segmentation": segmentation, "area": area, "iscrowd": crowd}


def test_a_polygon_covers_the_pixels_between_its_corners():
    pixels = polygon_pixels([SQUARE, [0.0, 0.0, 1.0, 1.0]], (8, 9))
    inner = np.zeros((8, 9), bool)
    inner[1:5, 2:6] = True
    assert (pixels & inner).sum() == inner.sum() and (pixels & ~inner).sum() <= 9
    assert not polygon_pixels([[0.0, 0.0, 1.0, 1.0]], (4, 4)).any()


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_of_both_forms(seed):
    pixels = np.random.default_rng(seed).random((40, 30)) < 0.02 * 10**seed
    pixels[5:30, 3:20] ^= True
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    counts = [0, *counts] if flat[0] else counts
    assert uncompressed(compressed(counts)) == counts
    assert np.array_equal(run_length_pixels(counts, (40, 30)), pixels)
    assert np.array_equal(instance_pixels({"size": [40, 30], "counts": compressed(counts)}, (40, 30)), pixels)


def test_small_objects_lie_on_large_ones_and_crowds_below_all():
    big, small = [0.0, 0.0, 8.0, 0.0, 8.0, 8.0, 0.0, 8.0], SQUARE
    everywhere = {"size": [10, 9], "counts": [0, 90]}
    annotations = [annotation(3, [small], 16.0), annotation(18, [big], 64.0), annotation(3, everywhere, 900.0, 1)]
    mask = semantic_mask(annotations, (10, 9), {3: 1, 18: 2})
    assert mask[3, 4] == 1 and mask[7, 1] == 2 and mask[9, 8] == 255


def test_damaged_annotations_are_refused():
    with pytest.raises(ValueError, match="the annotation is damaged"):
        run_length_pixels([3, 4], (2, 2))
    with pytest.raises(ValueError, match="wrong annotations"):
        instance_pixels({"size": [3, 2], "counts": [6]}, (2, 3))


def test_a_data_set_is_written_and_opened(tmp_path):
    images, target = tmp_path / "train2014", tmp_path / "coco"
    images.mkdir()
    entries = []
    for number in (1, 2):
        Image.new("RGB", (9, 8), (number, 0, 0)).save(images / f"COCO_{number}.jpg")
        entries.append({"id": number, "file_name": f"COCO_{number}.jpg", "height": 8, "width": 9})
    content = {"images": entries, "annotations": [annotation(18, [SQUARE])], "categories": CATEGORIES}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    for _ in range(2):  # the second call finds all of it
        assert write_coco_as_voc(tmp_path / "instances.json", images, target, "train") == target
    dataset = open_dataset(target, "train", labels="masks")
    assert dataset.classes == ("car", "dog") and dataset.ids == ["COCO_1", "COCO_2"]
    assert dataset.class_labels.tolist() == [[0, 1], [0, 0]]
    assert set(np.unique(dataset.read(0).mask)) == {0, 2} and not dataset.read(1).mask.any()

    content["categories"] = CATEGORIES[:1]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="choose an empty folder"):
        write_coco_as_voc(tmp_path / "instances.json", images, target, "train")
    (images / "COCO_2.jpg").unlink()
    content["categories"] = CATEGORIES
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match="lacks 1 of 2 photographs, the first COCO_2"):
        write_coco_as_voc(tmp_path / "instances.json", images, target, "val")
