"""The tree of the VOC test server, written as the notebooks write it."""

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.batch import Sample
from wsss_lib.data.voc_results import check_voc_results, voc_result_path
from wsss_lib.figures.overlays import voc_palette
from wsss_lib.store import save_label_map

LABELS = np.array([[0, 1, 20], [20, 5, 0]])


class TwoImages:
    ids = ("2008_000006", "2008_000011")

    def __len__(self):
        return 2

    def read(self, index):
        return Sample(self.ids[index], Image.new("RGB", (3, 2)), torch.zeros(20), None)


@pytest.fixture
def tree(tmp_path):
    for image_id in TwoImages.ids:
        save_label_map(tmp_path / voc_result_path(image_id), LABELS, voc_palette())
    return tmp_path


def test_tree_and_palette(tree):
    check_voc_results(tree, TwoImages(), 21)
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.png"))
    assert files == [f"results/VOC2012/Segmentation/comp6_test_cls/{image_id}.png" for image_id in TwoImages.ids]
    with Image.open(tree / files[0]) as prediction:
        assert prediction.mode == "P" and prediction.size == (3, 2)
        assert np.array_equal(np.asarray(prediction), LABELS)
        palette = np.array(prediction.getpalette()).reshape(-1, 3)
    colors = {0: (0, 0, 0), 1: (128, 0, 0), 5: (128, 0, 128), 15: (192, 128, 128), 20: (0, 64, 128)}  # of the devkit
    for label, color in colors.items():
        assert tuple(palette[label]) == color


def test_other_years_and_competitions():
    path = voc_result_path("000001", year=2007, competition="comp5", split="val")
    assert str(path) == "results/VOC2007/Segmentation/comp5_val_cls/000001.png"


def spoil(tree, image_id, label_map, mode="P"):
    path = tree / voc_result_path(image_id)
    if mode == "P":
        save_label_map(path, label_map, voc_palette())
    else:
        Image.fromarray(label_map.astype(np.uint8)).convert(mode).save(path)


@pytest.mark.parametrize(
    "image_id, label_map, mode, message",
    [
        ("2008_000011", LABELS.T, "P", r"is \(2, 3\) px, its image \(3, 2\)"),
        ("2008_000011", LABELS + 1, "P", "holds the label 21; the server knows 0 to 20"),
        ("2008_000011", LABELS, "RGB", "has mode RGB"),
        ("2010_000001", LABELS, "P", "1 predictions of other images, the first 2010_000001"),
    ],
)
def test_what_the_server_would_refuse(tree, image_id, label_map, mode, message):
    spoil(tree, image_id, label_map, mode)
    with pytest.raises(ValueError, match=message):
        check_voc_results(tree, TwoImages(), 21)


def test_missing_predictions(tree, tmp_path):
    (tree / voc_result_path("2008_000006")).unlink()
    with pytest.raises(ValueError, match="lacks 1 of 2 predictions, the first 2008_000006"):
        check_voc_results(tree, TwoImages(), 21)
    with pytest.raises(ValueError, match="lacks 2 of 2"):
        check_voc_results(tmp_path / "nowhere", TwoImages(), 21)
