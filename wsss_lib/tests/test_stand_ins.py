"""Stand-ins of the papers' data sets: the real readers open each of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.coco_boxes import CocoDetection
from wsss_lib.data.region_sets import open_regions
from wsss_lib.data.voc import open_dataset
from wsss_lib.data.waterbirds import Waterbirds
from wsss_lib.data.words import read_glove
from wsss_lib.parameters import read_yaml
from wsss_lib.paths import PARAMS
from wsss_lib.tests.bench.stand_ins import DIMENSIONS, write_stand_ins


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_stand_ins(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    ("name", "split", "lists"),
    [
        ("VOCdevkit/VOC2012", "val", "Segmentation"),
        ("VOCdevkit/VOC2007", "val", "Main"),
        ("coco2014/voc", "train2014", "Segmentation"),
        ("coco2014/voc", "val2014", "Segmentation"),
    ],
)
def test_layouts_of_voc(root, monkeypatch, name, split, lists):
    monkeypatch.setenv("WSSS_DATA", str(root))
    dataset = open_dataset(name, split, lists=lists)
    assert len(dataset) == (24 if split == "train2014" else 20) and len(dataset.classes) == 20
    assert dataset.read(0).mask.max() > 0


def test_pseudo_labels_and_what_is_sure(root):
    labels, sure = (sorted((root / "coco2014" / name).iterdir()) for name in ("sem_seg", "mask_irn"))
    assert [path.name for path in labels] == [path.name for path in sure]
    assert set(np.unique(Image.open(sure[0]))) == {0, 255}


@pytest.mark.parametrize("name", ["train_split", "choose_split", "report_split"])
def test_coco_boxes(root, name):
    split = Path(read_yaml(PARAMS / "30_model_guidance/paper_coco2014.yaml")[0][name])
    folder = root / "coco2014"
    dataset = CocoDetection(folder / "annotations" / f"{split.name}.json", folder / split.parent)
    assert len(dataset) >= 20 and dataset.read_boxes(0)


def test_waterbirds_with_boxes_of_cub(root):
    boxes = root / "cub" / "CUB_200_2011" / "bounding_boxes.txt"
    dataset = Waterbirds(root / "waterbird_1.0_forest2water2", "train", boxes=boxes)
    assert len(dataset) and dataset.read_boxes(0)


@pytest.mark.parametrize(("name", "split"), [("coco2017", "val2017"), ("visual_genome", "train")])
def test_regions_and_their_words(root, name, split):
    words = read_glove(root / "glove" / f"glove.6B.{DIMENSIONS}d.txt")
    reference = "coco" if name.startswith("coco") else name
    regions = open_regions(root / name, reference, split, known_words=set(words.words), min_count=1)
    assert len(regions)
