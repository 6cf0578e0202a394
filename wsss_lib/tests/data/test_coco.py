"""COCO instances as regions: words, crowds, order, bad files."""

import json

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.coco import CocoRegions


def entry(number, image, category, **more):
    square = [[1, 1, 4, 1, 4, 3, 1, 3]]
    return {"id": number, "image_id": image, "category_id": category, "segmentation": square, "iscrowd": 0} | more


def content():
    crowd = {"size": [5, 6], "counts": [0, 10, 20]}
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 5, "width": 6} for n in (3, 1, 2)],
        "categories": [{"id": 1, "name": "person"}, {"id": 10, "name": "traffic light"}, {"id": 58, "name": "hot dog"}],
        "annotations": [
            entry(9, 1, 1),
            entry(4, 1, 10),
            entry(5, 3, 1, iscrowd=1, segmentation=crowd),
            entry(6, 2, 58),
        ],
    }


@pytest.fixture
def write(tmp_path):
    def to_disk(content):
        path = tmp_path / "instances_val.json"
        path.write_text(json.dumps(content))
        for number in (1, 2, 3):
            Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / f"{number}.png")
        return path, tmp_path

    return to_disk


def test_objects_become_regions_with_words(write):
    data = CocoRegions(*write(content()))
    assert data.ids == ["1.png", "2.png"] and data.words == [[("traffic", "light"), ("person",)], [("hot", "dog")]]
    sample = data.read(0)
    assert sample.masks.shape == (2, 5, 6) and set(np.unique(sample.masks)) == {0, 1}, "masks are 0 and 1"
    assert sample.words == data.words[0] and sample.image.size == (6, 5)
    assert (
        len(data.fingerprint()) == 16
        and data.fingerprint() != CocoRegions(*write(content()), crowds=True).fingerprint()
    )


def test_crowds_are_left_out_unless_asked_for(write):
    data = CocoRegions(*write(content()), crowds=True)
    assert data.ids == ["1.png", "2.png", "3.png"] and data.masks(2).sum() == 10


def test_concepts_without_a_vector_are_left_out(write):
    data = CocoRegions(*write(content()), known_words={"light", "dog"})
    assert data.words == [[("light",)], [("dog",)]]
    with pytest.raises(ValueError, match="no word vector"):
        CocoRegions(*write(content()), known_words=set())


def test_categories_and_images_can_be_chosen(write):
    data = CocoRegions(*write(content()), categories=["person"])
    assert data.words == [[("person",)]]
    assert CocoRegions(*write(content()), keep=["2.png"]).ids == ["2.png"]
    with pytest.raises(ValueError, match=r"no category zebra.*traffic light"):
        CocoRegions(*write(content()), categories=["zebra"])


def test_bad_files_are_refused_by_name(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="download coco2017"):
        CocoRegions(tmp_path / "none.json", tmp_path)
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        CocoRegions(tmp_path / "text.json", tmp_path)
    with pytest.raises(ValueError, match="lacks categories"):
        CocoRegions(*write({"images": [], "annotations": []}))
    with pytest.raises(ValueError, match="unknown category 77"):
        CocoRegions(*write(content() | {"annotations": [entry(1, 1, 77)]}))
    with pytest.raises(ValueError, match="choose official or paper"):
        CocoRegions(*write(content()), form="seed")
    images = [{"id": n, "file_name": f"{n}.png", "height": 6, "width": 5} for n in (1, 2, 3)]
    with pytest.raises(ValueError, match="belong to other images"):
        CocoRegions(*write(content() | {"images": images})).read(0)
