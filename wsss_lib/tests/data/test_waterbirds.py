from dataclasses import replace

import pytest
from PIL import Image

from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.synthetic import write_benchmark
from wsss_lib.data.voc import VocDataset
from wsss_lib.data.waterbirds import Waterbirds, read_cub_boxes

ROWS = """img_id,img_filename,y,split,place,place_filename
1,birds/a.jpg,0,0,0,/b
2,birds/b.jpg,1,0,1,/o
3,birds/c.jpg,1,0,0,/b
4,birds/d.jpg,0,2,1,/o
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "birds").mkdir()
    for name in "abcd":
        Image.new("RGB", (20, 10)).save(tmp_path / f"birds/{name}.jpg")
    (tmp_path / "metadata.csv").write_text(ROWS)
    (tmp_path / "bounding_boxes.txt").write_text("".join(f"{i} {i}.0 2.0 5.0 4.0\n" for i in range(1, 5)))
    return tmp_path


def test_conventional_and_reversed_task(root):
    birds, places = Waterbirds(root, "train"), Waterbirds(root, "train", task="background")
    assert birds.ids == places.ids == ["a", "b", "c"]
    assert birds.classes == ("landbird", "waterbird") and places.classes == ("land", "water")
    assert birds.class_labels.argmax(1).tolist() == [0, 1, 1] and places.class_labels.argmax(1).tolist() == [0, 1, 0]
    assert birds.groups.tolist() == places.groups.tolist() == [0, 3, 2]
    assert birds.read_boxes(2) == [(1, (3, 2, 8, 6))] and places.read_boxes(2) == [(0, (3, 2, 8, 6))]
    assert birds.read(0).image.size == (20, 10) and len(birds) == 3
    assert birds.fingerprint() != places.fingerprint()


def test_birds_on_their_usual_background_only(root):
    assert Waterbirds(root, "train", usual_only=True).ids == ["a", "b"]
    assert Waterbirds(root, "train", max_images=1).ids == ["a"]
    assert Waterbirds(root, "test").groups.tolist() == [1]
    assert Waterbirds(root, "test", unusual_of=["train", "val"]).ids == ["d", "c"]


def test_the_benchmark_has_these_files(tmp_path):
    least = Benchmark(side=32, num_train=8, num_train_aug=20, num_val=4, num_test=20, even_test=True)
    root = write_benchmark(tmp_path, replace(least, background_correlation=1.0))
    train, test = Waterbirds(root, "train"), Waterbirds(root, "test")
    assert set(train.groups.tolist()) == {0, 3}, "each on its usual background"
    assert {1, 2} & set(test.groups.tolist()), "and on the other one in the test"
    voc = VocDataset(root, "train_aug", masks="none")
    for index, name in enumerate(train.ids):
        assert train.read_boxes(index)[0][1] in [box for _, box in voc.read_boxes(voc.ids.index(name))]


def test_what_is_wrong_is_named(root, tmp_path):
    with pytest.raises(ValueError, match="choose from train, val, test and bird, background"):
        Waterbirds(root, "train", task="water")
    with pytest.raises(ValueError, match="choose from"):
        Waterbirds(root, "all")
    with pytest.raises(ValueError, match="split test, validation, task bird: choose from train, val, test"):
        Waterbirds(root, "test", unusual_of=["validation"])
    with pytest.raises(ValueError, match="no image of split 'val'"):
        Waterbirds(root, "val")
    with pytest.raises(FileNotFoundError, match="download waterbirds"):
        Waterbirds(tmp_path / "none", "train")
    with pytest.raises(FileNotFoundError, match="download cub"):
        Waterbirds(root, "train", boxes=root / "none.txt")
    (root / "bounding_boxes.txt").write_text("1 2.0 3.0 4.0 5.0\n")
    with pytest.raises(ValueError, match="2 images have no box, the first 2"):
        Waterbirds(root, "train")
    (root / "bounding_boxes.txt").write_text("1 2.0 3.0\n")
    with pytest.raises(ValueError, match=r"line '1 2.0 3.0' of .* should be: id x y width height"):
        read_cub_boxes(root / "bounding_boxes.txt")
    (root / "metadata.csv").write_text("img_id,y\n1,0\n")
    with pytest.raises(ValueError, match="no column img_filename, split, place"):
        Waterbirds(root, "train")
