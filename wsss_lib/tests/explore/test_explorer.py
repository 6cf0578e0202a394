"""The state of the page: what is asked for is shown or refused, what no longer fits becomes the first that does."""

import numpy as np
import pytest

from wsss_lib.explore.explorer import ALL_CLASSES, Explorer
from wsss_lib.explore.pictures import label_picture, map_picture, png, show_panels
from wsss_lib.explore.sources import data_sets
from wsss_lib.explore.view import CrfOptions
from wsss_lib.figures.overlays import voc_palette
from wsss_lib.report import read_records
from wsss_lib.tests.explore.made_up import OWN_SCORE, mask_of, write_run

CAM, MIXUP, WALK = "10_cam/smoke, maps", "13_mixup_cam/smoke, maps", "16_affinity/smoke, labels"


@pytest.fixture
def explorer(outputs):
    return Explorer(data_sets(read_records("*/smoke*"), "*/smoke*"))


def test_it_begins_with_the_first_image_and_its_first_class(explorer):
    choice = explorer.choice
    assert (choice.split, choice.image, choice.class_name) == ("val", "image_1", "cat")
    assert choice.sources == (CAM, MIXUP, WALK) and explorer.channel == 0


def test_what_is_asked_for_first_is_shown(outputs):
    found = data_sets(read_records("*/smoke*"), "*/smoke*")
    explorer = Explorer(found, ["13*"], split="val", image="image_2", class_name="dog", background_score=0.25)
    assert explorer.choice.sources == (MIXUP,) and explorer.channel == 1
    assert "at 0.25" in explorer.panels()[3].caption


@pytest.mark.parametrize(
    "asked",
    [
        {"image": "image_0"},
        {"split": "test"},
        {"data_set": "x"},
        {"class_name": "dog"},
        {"sources": ("99/smoke, maps",)},
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_and_nothing_changes(explorer, asked):
    before = explorer.choice
    with pytest.raises(ValueError, match=r"there is no .*; choose one of"):
        explorer.change(**asked)
    assert explorer.choice == before


def test_what_no_longer_fits_becomes_the_first_that_does(explorer):
    explorer.change(image="image_2", class_name="dog")
    explorer.change(image="image_3")
    assert explorer.choice.class_name == "cat", "no dog on it"
    explorer.change(class_name=ALL_CLASSES)
    explorer.change(split="train")
    assert (explorer.choice.image, explorer.choice.class_name) == ("image_0", ALL_CLASSES)
    assert explorer.view.lacking == [WALK]


def test_another_data_set_brings_its_own_runs(outputs, tmp_path):
    from wsss_lib.tests.explore.made_up import write_data

    write_run(outputs, "20_ktse/smoke", write_data(tmp_path / "other"), {"maps": ["image_2"]})
    explorer = Explorer(data_sets(read_records("*/smoke*"), "*/smoke*"))
    explorer.change(data_set=list(explorer.data_sets)[1])
    assert explorer.choice.sources == ("20_ktse/smoke, maps",) and explorer.choice.image == "image_2"


def test_steps_go_around_the_list(explorer):
    images = explorer.data_set.images("val")
    seen = []
    for _ in range(3):
        explorer.step(images, -1)
        seen.append(explorer.choice.image)
    assert seen == ["image_3", "image_2", "image_1"]
    explorer.step(["image_3"], 1)
    assert explorer.choice.image == "image_3", "an image outside of the list: its first"


def test_labels_of_the_crf_last_until_something_changes_that_they_depend_on(explorer):
    assert explorer.crf_label_maps == {}
    explorer.run_crf()
    assert list(explorer.crf_label_maps) == [CAM, MIXUP] and f"{CAM}, CRF" in explorer.label_maps
    explorer.change(background_score=0.4, blending=0.2)
    assert explorer.crf_label_maps
    explorer.change(crf=CrfOptions(alpha=9.0))
    assert explorer.crf_label_maps == {}
    explorer.run_crf()
    explorer.change(image="image_2")
    assert explorer.crf_label_maps == {}


def test_panels_stand_in_a_grid_with_their_scores(explorer):
    explorer.change(image="image_2")
    explorer.run_crf()
    found = {(panel.row, panel.column): panel for panel in explorer.panels()}
    assert set(found) == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)}
    mean, of_class = explorer.view.scores(explorer.label_maps[CAM], 0)
    assert found[1, 1].caption == f"at {OWN_SCORE:.2f}: mIoU {mean:.0f}, cat {of_class:.0f}"
    assert found[0, 1].caption == "best mIoU {:.0f}, at {:.2f}".format(*explorer.view.best[CAM])
    assert found[1, 3].heading == WALK and "at" not in found[1, 3].caption.split()
    assert found[2, 1].alt.startswith(f"{CAM}: CRF labels: mIoU")
    assert all(panel.picture.dtype == np.uint8 and panel.picture.shape == (24, 32, 3) for panel in found.values())
    assert set(explorer.legend()) == {"cat", "dog", "ignored"}


def test_each_control_changes_what_it_should(explorer):
    def pictures():
        return {(panel.row, panel.column): panel.picture for panel in explorer.panels()}

    def changed(**values):
        before = pictures()
        explorer.change(**values)
        return {place for place, picture in pictures().items() if (picture != before[place]).any()}

    explorer.change(image="image_2")
    assert changed(background_score=0.9) == {(1, 1), (1, 2)}
    assert changed(outline=False) == {(0, 1), (0, 2)}
    assert changed(class_name="dog") == {(0, 1), (0, 2)}
    assert changed(class_name=ALL_CLASSES) == {(0, 1), (0, 2)}
    assert changed(blending=0.1) == {(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)}


def test_blending_by_hand():
    picture = np.full((1, 2, 3), 100, np.uint8)
    labels = np.array([[0, 1]])
    assert (label_picture(picture, labels, 0.0) == picture).all()
    assert label_picture(picture, labels, 0.5).tolist() == [[[100] * 3, [114, 50, 50]]]
    assert (label_picture(picture, labels, 1.0)[0, 1] == voc_palette()[1]).all()
    grey = map_picture(picture, np.ones((1, 2)), 0.0)
    assert (grey == grey[..., :1]).all() and (map_picture(picture, np.ones((1, 2)), 1.0) != grey).any()


def test_tables_hold_a_row_for_each_run(explorer):
    explorer.change(image="image_2")
    explorer.run_crf()
    scores = explorer.score_table()
    assert list(scores.index) == [CAM, MIXUP, WALK, f"{CAM}, CRF", f"{MIXUP}, CRF"]
    assert list(scores.columns) == ["background score", "mIoU", "cat", "dog"]
    assert scores["background score"].tolist() == ["0.50", "0.50", "", "", ""]
    pixel = explorer.pixel_table(*explorer.strongest_pixel())
    assert pixel.loc[CAM, "cat"] == pytest.approx(1, abs=1e-3) and "CRF label" in pixel
    explorer.change(sources=(WALK,))
    assert explorer.strongest_pixel() == (12, 16), "no map: the middle"
    assert "CRF label" not in explorer.pixel_table(0, 0)


def test_saved_figures_never_replace_each_other(explorer, tmp_path):
    first, second = explorer.save_figure(tmp_path / "saved"), explorer.save_figure(tmp_path / "saved")
    assert [path.name for path in (*first, *second)] == [
        f"image_1_cat_{n}.{kind}" for n in (1, 2) for kind in ("png", "pdf")
    ]
    assert all(path.stat().st_size > 1000 for path in first)


def test_the_figure_has_a_tile_for_each_place(explorer):
    explorer.run_crf()
    figure = show_panels(explorer.panels(), explorer.legend())
    assert len(figure.axes) == 3 * 4 and sum(bool(tile.images) for tile in figure.axes) == len(explorer.panels())
    texts = [tile.get_title().replace("\n", " ") for tile in figure.axes[:4]]
    assert texts == ["image_1", CAM, MIXUP, WALK]
    assert figure.axes[0].get_ylabel() == "map of cat"


def test_pictures_are_packed_without_loss():
    import io

    from PIL import Image

    picture = np.repeat(mask_of(2)[..., None], 3, 2)
    assert (np.array(Image.open(io.BytesIO(png(picture)))) == picture).all()
