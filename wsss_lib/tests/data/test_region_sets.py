"""The door to data sets of regions, on the embedded benchmark's files and on small ones."""

import json

import pytest

from wsss_lib.data.region_sets import open_regions, split_of_images
from wsss_lib.data.synthetic import Benchmark, write_benchmark

WORDS = {"sky", "grass", "water", "snow", "sand", "cow", "bull", "calf", "bus", "coach", "leg", "tail", "bush", "duck"}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_benchmark(
        tmp_path_factory.mktemp("data"), Benchmark(num_train=4, num_train_aug=6, num_val=4, num_test=2, side=48)
    )


def test_genome_splits_are_those_of_the_lists(benchmark):
    options = {"known_words": WORDS, "min_count": 1}
    splits = {s: set(open_regions(benchmark, "visual_genome", s, **options).ids) for s in ("train", "val", "test")}
    assert all(splits.values()) and not splits["train"] & splits["val"] and splits["val"] <= {"7", "8", "9", "10"}
    first = open_regions(benchmark, "visual_genome", "train", max_images=2, **options)
    sample = first.read(0)
    assert len(first) == 2 and sample.masks.shape[1:] == (48, 48) and len(sample.words) == len(sample.masks)
    with pytest.raises(ValueError, match=r"no split 'nowhere'.*train"):
        open_regions(benchmark, "visual_genome", "nowhere", **options)


def test_coco_instances_of_a_split(benchmark):
    known = set((benchmark / "classes.txt").read_text().split())
    data = open_regions(benchmark, "coco", "train", known_words=known, max_images=3)
    assert len(data) == 3 and data.read(0).masks.any()


def test_random_split_is_by_images_and_leaks_nothing(tmp_path):
    ids = [str(number) for number in range(50)]
    train, val = (split_of_images(tmp_path, ids, split, 0.9, 0) for split in ("train", "val"))
    assert sorted(train + val, key=int) == ids and len(train) == 45
    assert split_of_images(tmp_path, ids, "train", 0.9, 1) != train
    with pytest.raises(ValueError, match="at random into train and val"):
        split_of_images(tmp_path, ids, "test", 0.9, 0)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="choose one of coco, visual_genome"):
        open_regions(tmp_path, "voc", "train", known_words=WORDS)
    with pytest.raises(FileNotFoundError, match="download visual_genome"):
        open_regions(tmp_path, "visual_genome", "train", known_words=WORDS)
    with pytest.raises(FileNotFoundError, match="download coco2017"):
        open_regions(tmp_path, "coco", "val2017", known_words=WORDS)
    (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 1, "objects": []}]))
    with pytest.raises(ValueError, match="no image with a known word"):
        open_regions(tmp_path, "visual_genome", "train", known_words=WORDS)
