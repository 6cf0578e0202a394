import json
from dataclasses import replace

import pytest
from PIL import Image

from wsss_lib.data.batch import make_loader
from wsss_lib.data.coco_boxes import CocoDetection
from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.synthetic import write_benchmark
from wsss_lib.data.transforms import Squash
from wsss_lib.data.voc import VocDataset
from wsss_lib.networks.base import IMAGENET

CONTENT = {
    "images": [{"id": 9, "file_name": "b.png"}, {"id": 4, "file_name": "a.png"}, {"id": 11, "file_name": "c.png"}],
    "categories": [{"id": 13, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 13, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
        {"id": 2, "image_id": 4, "category_id": 2, "bbox": [0, 0, 2, 2], "iscrowd": 1},
        {"id": 3, "image_id": 9, "category_id": 2, "bbox": [5, 5, 1, 1], "iscrowd": 0},
    ],
}


@pytest.fixture
def write(tmp_path):
    for name in "abc":
        Image.new("RGB", (12, 10)).save(tmp_path / f"{name}.png")

    def write(**changes):
        (tmp_path / "instances.json").write_text(json.dumps(CONTENT | changes))
        return tmp_path / "instances.json", tmp_path

    return write


def test_images_in_the_order_of_their_ids_and_categories_without_gaps(write):
    dataset = CocoDetection(*write())
    assert dataset.ids == ["a", "b", "c"] and dataset.classes == ("cat", "dog") and len(dataset) == 3
    assert dataset.class_labels.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert dataset.read_boxes(1) == [(1, (1, 2, 4.5, 6)), (0, (5, 5, 6, 6))] and dataset.read_boxes(2) == []
    assert dataset.read(1).image.size == (12, 10) and dataset.read(1).mask is None


def test_options(write):
    dogs = CocoDetection(*write(), classes=["dog"], max_images=2)
    assert dogs.class_labels.tolist() == [[0], [1]] and dogs.read_boxes(1) == [(0, (1, 2, 4.5, 6))]
    assert CocoDetection(*write(), crowds=False).class_labels[0].tolist() == [0, 0]
    assert CocoDetection(*write(), crowds=False).fingerprint() != CocoDetection(*write()).fingerprint()


def test_a_loader_reads_it(write):
    dataset = CocoDetection(*write())
    (batch,) = make_loader(dataset, Squash(IMAGENET, 8), batch_size=3, seed=0)
    assert batch.images.shape == (3, 3, 8, 8) and batch.masks is None and batch.sizes[0] == (10, 12)


def test_the_benchmark_in_both_layouts_has_the_same_boxes(tmp_path):
    least = replace(Benchmark(), side=32, num_train=2, num_train_aug=3, num_val=8, num_test=1)
    root = write_benchmark(tmp_path, least)
    coco = CocoDetection(root / "annotations/instances_val.json", root / "JPEGImages")
    voc = VocDataset(root, "val")
    assert coco.ids == voc.ids and coco.classes == voc.classes
    assert coco.class_labels.tolist() == voc.class_labels.tolist()
    for index in range(len(voc)):
        assert sorted(coco.read_boxes(index)) == sorted(voc.read_boxes(index))


def test_what_is_wrong_is_named(write, tmp_path):
    path, folder = write()
    with pytest.raises(FileNotFoundError, match="no COCO annotations"):
        CocoDetection(tmp_path / "none.json", folder)
    with pytest.raises(FileNotFoundError, match="no folder"):
        CocoDetection(path, tmp_path / "none")
    with pytest.raises(ValueError, match=r"no category bird in instances\.json; it has cat, dog"):
        CocoDetection(path, folder, classes=["bird"])
    wrong = [CONTENT["annotations"][0] | {"bbox": [1, 2]}]
    with pytest.raises(ValueError, match=r"annotation 1 .* left, top, width and height"):
        CocoDetection(*write(annotations=wrong))
    with pytest.raises(ValueError, match="unknown category 99"):
        CocoDetection(*write(annotations=[CONTENT["annotations"][0] | {"category_id": 99}]))
    with pytest.raises(ValueError, match="lacks annotations"):
        path.write_text(json.dumps({"images": [], "categories": []}))
        CocoDetection(path, folder)
