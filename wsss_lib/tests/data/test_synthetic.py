"""The benchmark on disk: what is written, by whom it can be read, and that it is whole or absent."""

import csv
import errno
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import synthetic
from wsss_lib.data.scenes import folder as folder_module
from wsss_lib.data.scenes.compose import make_scene
from wsss_lib.data.scenes.looks import CLASSES
from wsss_lib.data.scenes.textures import WATER
from wsss_lib.data.synthetic import Benchmark, benchmark_hash, ensure_benchmark, main, write_benchmark
from wsss_lib.data.voc import VocDataset

SMALL = Benchmark(side=48, num_train=6, num_train_aug=10, num_val=8, num_test=8)
SMALL_HASH = "836111bb6dba35586cf72e2a54af483164d4cf9ba7e85688b927e14c4ef1fceb"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("benchmarks"), SMALL)


def read_lines(path):
    return path.read_text().splitlines()


def read_table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def scene_of(name):
    """The scene that was written under an image id."""
    number = int(name.split("_")[1]) - 1
    for split, count in (("train_aug", 10), ("val", 8), ("test", 8)):
        if number < count:
            return make_scene(SMALL, split, number)
        number -= count
    raise AssertionError(name)


def test_version_1_is_fixed():
    """Version 1 does not change any more: another hash needs a new version and a written reason."""
    assert synthetic.VERSION == 1
    assert benchmark_hash(SMALL) == SMALL_HASH


def test_hash_sees_everything(root):
    assert json.loads((root / "benchmark.json").read_text())["hash"] == SMALL_HASH
    assert benchmark_hash(replace(SMALL, noise=3.9)) != SMALL_HASH
    assert benchmark_hash(replace(SMALL, seed=1)) != SMALL_HASH


def test_splits(root):
    lists = {path.stem: read_lines(path) for path in (root / "ImageSets" / "Segmentation").iterdir()}
    assert {name: len(ids) for name, ids in lists.items()} == {
        "train": 6, "train_aug": 10, "val": 8, "trainval": 14, "test": 8
    }  # fmt: skip
    assert set(lists["train"]) < set(lists["train_aug"])
    assert not set(lists["train_aug"]) & set(lists["val"]) | set(lists["val"]) & set(lists["test"])
    every = {*lists["train_aug"], *lists["val"], *lists["test"]}
    assert {path.stem for path in (root / "JPEGImages").iterdir()} == every
    assert {path.stem for path in (root / "SegmentationClass").iterdir()} == every - (
        set(lists["train_aug"]) - set(lists["train"])
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_voc_reader_reads_what_was_drawn(root, split):
    dataset = VocDataset(root, split)
    assert dataset.classes == SMALL.classes
    for index, name in enumerate(dataset.ids):
        sample, scene = dataset.read(index), scene_of(name)
        kept = sample.mask != 255
        assert (sample.mask[kept] == scene.class_map[kept]).all() and 0.5 < kept.mean() < 1
        assert np.abs(np.array(sample.image).astype(int) - scene.image).mean() < 4
        present = {thing.class_index for thing in scene.objects}
        assert set(np.flatnonzero(sample.class_labels)) == present


def test_image_labels_agree_in_all_places(root):
    labels = [
        VocDataset(root, "train_aug", masks="SegmentationClassAug", labels=labels).class_labels
        for labels in ("xml", "main", "masks")
    ]
    assert (labels[0] == labels[1]).all() and (labels[0] == labels[2]).all() and labels[0].sum() >= 10


def test_aug_masks_without_border_like_sbd(root):
    dataset = VocDataset(root, "train_aug", masks="SegmentationClassAug")
    borders = [bool((dataset.read(index).mask == 255).any()) for index in range(10)]
    assert borders == [True] * 6 + [False] * 4


def test_object_masks_number_the_objects(root):
    name = read_lines(root / "ImageSets" / "Segmentation" / "val.txt")[1]
    mask, scene = np.array(Image.open(root / "SegmentationObject" / f"{name}.png")), scene_of(name)
    assert (mask[mask != 255] == scene.instance_map[mask != 255]).all()


def test_coco_instances(root):
    ids = iter(range(1, 1000))
    for split in ("train_aug", "val", "test"):
        content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
        assert [category["name"] for category in content["categories"]] == list(SMALL.classes)
        files = {image["id"]: image["file_name"] for image in content["images"]}
        assert all((root / "JPEGImages" / file).is_file() for file in files.values())
        listed = read_lines(root / "ImageSets" / "Segmentation" / f"{split}.txt")
        assert [file.removesuffix(".jpg") for file in files.values()] == listed
        counts = Counter(annotation["image_id"] for annotation in content["annotations"])
        assert [annotation["id"] for annotation in content["annotations"]] == [
            next(ids) for _ in content["annotations"]
        ]
        for number, file in files.items():
            assert counts[number] == len(scene_of(file.removesuffix(".jpg")).objects)


def test_visual_genome(root):
    objects = json.loads((root / "objects.json").read_text())
    sizes = {
        entry["image_id"]: (entry["width"], entry["height"])
        for entry in json.loads((root / "image_data.json").read_text())
    }
    assert [entry["image_id"] for entry in objects] == list(range(1, 27)) == list(sizes)
    known = {row["noun"] for row in read_table(root / "nouns.csv")}
    ids = [thing["object_id"] for entry in objects for thing in entry["objects"]]
    assert len(set(ids)) == len(ids)
    for entry in objects:
        assert Image.open(root / "VG_100K" / f"{entry['image_id']}.jpg").size == sizes[entry["image_id"]]
        assert {name for thing in entry["objects"] for name in thing["names"]} <= known
    attributes = json.loads((root / "attributes.json").read_text())
    assert [thing["object_id"] for entry in attributes for thing in entry["attributes"]] == ids
    assert len(json.loads((root / "region_descriptions.json").read_text())) == 26
    assert len(read_lines(root / "scenes.txt")) == 20_000


def test_groups(root):
    homes = {look.noun: look.home for look in CLASSES}
    rows = read_table(root / "groups.csv")
    assert {row["split"] for row in rows} == {"train_aug", "val", "test"}
    for row in rows:
        scene = scene_of(row["image_id"])
        assert row["background"] == scene.background
        assert int(row["y"]) == (homes[row["class"]] in WATER) and int(row["place"]) == (scene.background in WATER)
        assert int(row["group"]) == 2 * int(row["y"]) + int(row["place"])
    pairs = {(row["image_id"], row["class"]) for row in rows}
    assert len(pairs) == len(rows)


def test_waterbirds_files(root):
    groups = {}
    for row in read_table(root / "groups.csv"):
        groups.setdefault(row["image_id"], set()).add(row["y"])
    rows = read_table(root / "metadata.csv")
    assert {row["img_filename"] for row in rows} == {
        f"JPEGImages/{name}.jpg" for name, habitats in groups.items() if len(habitats) == 1
    }
    assert [int(row["split"]) for row in rows] == sorted(int(row["split"]) for row in rows)
    for row in rows:
        assert {row["y"]} == groups[row["img_filename"][11:-4]]
    boxes = [line.split() for line in read_lines(root / "bounding_boxes.txt")]
    assert [line[0] for line in boxes] == [row["img_id"] for row in rows]
    assert all(float(w) > 0 and float(h) > 0 and float(x) + float(w) <= 48 for _, x, _, w, h in boxes)


def test_written_once(root):
    before = (root / "benchmark.json").stat().st_mtime_ns
    assert write_benchmark(root.parent, SMALL) == root
    assert (root / "benchmark.json").stat().st_mtime_ns == before
    assert [path.name for path in root.parent.iterdir() if path.name != root.name] == [f".{root.name}.lock"]


def test_ensure_benchmark_writes_below_its_root(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(tmp_path))
    least = replace(SMALL, side=32, num_train=1, num_train_aug=2, num_val=1, num_test=1)
    assert ensure_benchmark(least) == tmp_path / ".benchmark" / least.name


def test_broken_off_writing_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(self, root, lists):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(folder_module._Facts, "write", full_disk)
        with pytest.raises(OSError, match=r"could not write the benchmark to .*: No space left on device; make room"):
            write_benchmark(tmp_path, SMALL)
    assert not list(tmp_path.glob("*v1*/*")) and not list(tmp_path.glob("*.part-*"))
    stale = tmp_path / f".{SMALL.name}.part-killed"
    (stale / "JPEGImages").mkdir(parents=True)
    assert (write_benchmark(tmp_path, SMALL) / "benchmark.json").exists() and not stale.exists()


def test_foreign_folder_is_kept(tmp_path):
    (tmp_path / SMALL.name).mkdir()
    (tmp_path / SMALL.name / "photograph.jpg").touch()
    with pytest.raises(FileExistsError, match="holds something else; remove it or choose another folder"):
        write_benchmark(tmp_path, SMALL)
    assert (tmp_path / SMALL.name / "photograph.jpg").exists()


def test_two_processes_at_once_make_it_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from wsss_lib.data.scenes import folder\n"
        "from wsss_lib.data import synthetic; real = synthetic.write_folder\n"
        "def counted(root, benchmark):\n"
        "    open(sys.argv[1] + '/times', 'a').write('x'); real(root, benchmark)\n"
        "synthetic.write_folder = counted\n"
        "least = synthetic.Benchmark(side=32, num_train=2, num_train_aug=3, num_val=2, num_test=2)\n"
        "print(synthetic.write_benchmark(Path(sys.argv[1]), least))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(said) == 1 and (tmp_path / "times").read_text() == "x"


def test_command_line(tmp_path, capsys):
    options = (
        "--side 32 --num-train 1 --num-train-aug 2 --num-val 1 --num-test 1 --num-classes 2 --even-test --aspects 1 1.5"
    )
    made = main(["--out", str(tmp_path), *options.split()])
    assert capsys.readouterr().out.strip() == str(made)
    dials = json.loads((made / "benchmark.json").read_text())["dials"]
    assert (dials["side"], dials["even_test"], dials["aspects"]) == (32, True, [1.0, 1.5])
    assert read_lines(made / "classes.txt") == ["background", "duck", "hen"]


@pytest.mark.parametrize(
    ("options", "words"),
    [("--side 8", "lies outside 32 to 1024"), ("--like voc2012 --side 64", "takes no dials, but side")],
)
def test_command_line_refuses(tmp_path, capsys, options, words):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), *options.split()])
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_stand_in_of_voc_2012(tmp_path, monkeypatch):
    where, dials = synthetic.STAND_INS["voc2012"]
    assert dials.side == 500 and dials.num_train >= 20  # every class starts an image
    monkeypatch.setitem(synthetic.STAND_INS, "voc2012", (where, replace(dials, side=64, num_test=1)))
    made = main(["--out", str(tmp_path), "--like", "voc2012"])
    assert made == tmp_path / "VOCdevkit" / "VOC2012"
    dataset = VocDataset(made, "train")
    assert dataset.classes[0] == "aeroplane" and dataset.classes[-1] == "tvmonitor" and len(dataset.classes) == 20
    assert dataset.class_labels.sum(0).min() > 0
    assert len({dataset.read(index).image.size for index in range(len(dataset))}) == 3
    with pytest.raises(KeyError, match="no stand-in for 'imagenet'"):
        synthetic.write_stand_in(tmp_path, "imagenet")
