"""The widgets, moved without a browser: each changes the explorer and the pictures, and errors are shown."""

import pytest

from wsss_lib.explore.explorer import Explorer
from wsss_lib.explore.page import ANY, Page
from wsss_lib.explore.sources import data_sets
from wsss_lib.report import read_records
from wsss_lib.tests.explore.made_up import write_everything

CAM, MIXUP, WALK = "10_cam/smoke, maps", "13_mixup_cam/smoke, maps", "16_affinity/smoke, labels"


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(write_everything(tmp_path)))
    return Page(Explorer(data_sets(read_records("*/smoke*"), "*/smoke*")), tmp_path / "saved")


def captions(page, kind="labels"):
    return [panel["caption"] for panel in page.grid.panels if panel["kind"] == kind]


def test_controls_show_the_first_choice(page):
    assert page.image.options == ("image_1", "image_2", "image_3") and page.image.value == "image_1"
    assert page.own.value and page.class_name.value == "cat" and page.split.options == ("val", "train")
    assert [box.value for box in page.runs.children] == [True, False, True, True]
    assert page.confusion_of.value == CAM and "background" in page.confusion.value


def test_the_slider_sets_one_score_for_all(page):
    page.score.value = 0.8
    assert not page.own.value and captions(page)[1].startswith("at 0.80") and "ms" in page.status.value
    page.own.value = True
    assert captions(page)[1].startswith("at 0.50") and page.explorer.choice.background_score is None


def test_another_image_brings_its_classes_and_keeps_the_pixel(page):
    page.grid.pixel = [3, 4]
    page.image.value = "image_2"
    assert [name for name, _ in page.class_name.options] == ["cat", "dog", "the highest of all"]
    assert page.grid.pixel == [3, 4] and "Row 3, column 4, truth: <b>background</b>" in page.grid.readout
    page.on.click()
    assert page.image.value == page.explorer.choice.image == "image_3"
    page.back.click()
    assert page.image.value == "image_2"


def test_the_list_can_be_limited_to_a_class(page):
    page.with_class.value = "dog"
    assert page.image.options == ("image_2",) and page.explorer.choice.image == "image_2"
    page.split.value = "train"
    assert page.image.options == ("image_0",) and page.with_class.value == "dog"
    page.with_class.value = ANY
    assert page.image.options == ("image_0",)


def test_a_class_that_no_image_shows_is_said_on_the_page(page):
    page.explorer.data_set.splits["val"].class_labels[:, 1] = 0
    page.with_class.value = "dog"
    assert "no image of val with dog" in page.status.value and page.with_class.value == ANY
    assert page.image.value == "image_1" and len(page.image.options) == 3


def test_runs_are_added_and_left_out(page):
    page.runs.children[0].value = False
    page.runs.children[1].value = True
    headings = [heading for _, heading in sorted({(panel["column"], panel["heading"]) for panel in page.grid.panels})]
    assert headings == ["image_1", "10_cam/smoke, labels", MIXUP, WALK]
    assert (
        page.confusion_of.options[0] == "10_cam/smoke, labels" and page.confusion_of.value in page.confusion_of.options
    )
    for box in page.runs.children:
        box.value = False
    assert {panel["heading"] for panel in page.grid.panels} == {"image_1"} and page.confusion.value == ""


def test_the_crf_runs_on_its_button_and_goes_with_its_settings(page):
    assert captions(page, "CRF labels") == []
    page.crf.click()
    assert len(captions(page, "CRF labels")) == 2
    page.confusion_of.value = f"{CAM}, CRF"
    page.color.value = 30
    assert captions(page, "CRF labels") == [] and page.confusion_of.value == CAM
    assert page.explorer.choice.crf.bilateral == (80.0, 30, 10.0)


def test_blending_outline_class_and_width_reach_the_pictures(page):
    before = page.grid.panels
    page.blending.value, page.outline.value, page.class_name.value = 0.2, False, ""
    assert page.grid.panels != before and page.grid.panels[0]["kind"] == "highest map"
    page.width.value = 300
    assert page.grid.width == 300


def test_a_damaged_file_is_said_on_the_page(page):
    page.explorer.data_set.sources[0].file("image_2").write_bytes(b"no archive")
    page.image.value = "image_2"
    assert "is damaged" in page.status.value
    assert page.explorer.choice.image == page.image.value == "image_1", "the controls say what is shown"
    page.image.value = "image_3"
    assert "image_3" in page.status.value


def test_figures_are_saved(page, tmp_path):
    page.save.click()
    assert "saved/image_1_cat_1.png" in page.saved.value and (tmp_path / "saved/image_1_cat_1.pdf").exists()


def test_a_folder_that_cannot_be_written_is_said_on_the_page(page, tmp_path):
    (tmp_path / "saved").write_text("a file")
    page.save.click()
    assert "Not a directory" in page.saved.value
