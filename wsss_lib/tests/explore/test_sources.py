"""What runs keep is found; what is missing is said with the command that makes it."""

import shutil

import pytest

from wsss_lib.explore.sources import Source, data_sets, left_out
from wsss_lib.report import read_records
from wsss_lib.store import read_json, write_json
from wsss_lib.tests.explore.made_up import CLASSES, OWN_SCORE, write_run

PATTERN = "[0-8]*/smoke*"


def found():
    return data_sets(read_records(PATTERN), PATTERN)


def test_every_folder_of_every_run_is_a_source(outputs):
    (data_set,) = found()
    assert [source.name for source in data_set.sources] == [
        "10_cam/smoke, maps",
        "10_cam/smoke, labels",
        "13_mixup_cam/smoke, maps",
        "16_affinity/smoke, labels",
    ]
    assert [source.background_score for source in data_set.sources] == [OWN_SCORE, None, OWN_SCORE, None]
    assert data_set.class_names == CLASSES and data_set.title.endswith("(2 classes)")
    assert left_out(read_records(PATTERN)) == []


def test_images_that_most_runs_hold_come_first_and_a_class_can_be_asked_for(outputs):
    (data_set,) = found()
    (outputs / "16_affinity/smoke/labels/image_1.png").unlink()
    (data_set,) = found()
    assert list(data_set.splits) == ["val", "train"], "the reported split first"
    assert data_set.images("val") == ["image_2", "image_3", "image_1"]
    assert data_set.images("val", "dog") == ["image_2"] and data_set.images("train") == ["image_0"]
    assert data_set.sample("val", "image_3").id == "image_3"


def test_the_first_kind_of_each_run_is_shown_first(outputs):
    (data_set,) = found()
    assert [s.name for s in data_set.shown_first(["16*", "10_cam/*"])] == [
        "10_cam/smoke, maps",
        "16_affinity/smoke, labels",
    ]
    assert len(data_set.shown_first(["99*"])) == 3, "all runs where no pattern fits"
    assert len(data_set.shown_first([], most=1)) == 1


def test_runs_on_other_data_stand_by_themselves_the_larger_group_first(outputs):
    write_run(outputs, "00_other/smoke", "elsewhere", {"maps": ["image_9"]})
    assert [(len(one.sources), one.name == "elsewhere") for one in found()] == [(4, False), (1, True)]


def test_no_run_names_the_command(outputs):
    with pytest.raises(FileNotFoundError, match=r"no finished run fits .*run_all.sh demo --only 10_cam"):
        data_sets([], "[0-8]*/demo*")


def test_records_without_their_maps_name_the_command(outputs):
    for run in ("10_cam", "13_mixup_cam", "16_affinity"):
        for kind in ("maps", "labels"):
            shutil.rmtree(outputs / run / "smoke" / kind, ignore_errors=True)
    with pytest.raises(FileNotFoundError, match=r"10_cam/smoke is there without its maps.*--only 10_cam/smoke"):
        found()
    assert left_out(read_records(PATTERN)) == ["10_cam/smoke", "13_mixup_cam/smoke", "16_affinity/smoke"]


def test_runs_that_keep_no_maps_at_all(outputs):
    for path in outputs.glob("*/smoke/record.json"):
        write_json(path, read_json(path) | {"files": {"a.csv": {}}})
    with pytest.raises(FileNotFoundError, match="no run keeps maps or label maps"):
        found()


def test_a_data_set_that_holds_none_of_the_images(outputs):
    record = outputs / "10_cam/smoke/record.json"
    (data_set,) = found()
    assert data_set.splits
    shutil.rmtree(outputs / "10_cam/smoke/maps")
    for run in ("10_cam", "13_mixup_cam", "16_affinity"):
        shutil.rmtree(outputs / run / "smoke")
    parameters = {"maps": ["image_8"]}
    write_run(outputs, "10_cam/smoke", data_set.name, parameters)
    assert record.exists()
    with pytest.raises(FileNotFoundError, match="the data set has changed since"):
        found()[0].splits  # noqa: B018


def test_names_read_as_words():
    assert Source("22_beco/demo", "crf_labels").name == "22_beco/demo, crf labels"
