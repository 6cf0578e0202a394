"""One image through several runs: labels at a score, CRF, scores and pixels, each against the plain way."""

import numpy as np
import pytest
import torch

from wsss_lib.explore.sources import Source, data_sets
from wsss_lib.explore.view import CrfOptions, View
from wsss_lib.labels.affinity_labels import label_numbers
from wsss_lib.labels.dense_crf import alpha_scores, dense_crf
from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.report import read_records
from wsss_lib.store import save_label_map, save_maps
from wsss_lib.tests.explore.made_up import CLASSES, OWN_SCORE, PALETTE, maps_of, mask_of, write_everything

CAM, MIXUP, WALK = "10_cam/smoke, maps", "13_mixup_cam/smoke, maps", "16_affinity/smoke, labels"


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(write_everything(tmp_path)))
    return data_sets(read_records("*/smoke*"), "*/smoke*")[0]


@pytest.fixture
def view(data_set):
    chosen = [source for source in data_set.sources if source.name in (CAM, MIXUP, WALK)]
    return View(data_set.sample("val", "image_2"), data_set.class_names, chosen)


@pytest.mark.parametrize("score", [None, 0.05, 0.3, 0.5, 0.98])
def test_labels_are_those_of_the_constant_background_score(view, score):
    found = view.label_maps(score)
    assert list(found) == [CAM, MIXUP, WALK]
    for name in (CAM, MIXUP):
        maps, present = view.maps[name]
        expected = threshold_labels(maps[None], present[None], OWN_SCORE if score is None else score)[0]
        assert (found[name] == expected.numpy()).all() and expected.any()
    assert (found[WALK] == np.roll(mask_of(2), 1, 0)).all(), "stored labels know no score"


def test_absent_classes_are_never_given(data_set):
    view = View(data_set.sample("val", "image_1"), CLASSES, data_set.sources[:1])
    assert view.classes == [0] and set(np.unique(view.label_maps(0.0)[CAM])) == {1}


def test_maps_of_no_class_are_all_background(data_set):
    source = data_set.sources[0]
    save_maps(source.file("image_1"), torch.zeros(2, 24, 32), torch.zeros(2))
    view = View(data_set.sample("val", "image_1"), CLASSES, [source])
    assert not view.label_maps(0.1)[CAM].any() and not view.crf_label_maps(CrfOptions())[CAM].any()


def test_the_crf_of_all_runs_at_once_is_that_of_each(view):
    options = CrfOptions(alpha=3.0, bilateral=(40.0, 20.0, 5.0), iterations=4)
    found = view.crf_label_maps(options)
    assert list(found) == [CAM, MIXUP], "stored labels have no scores to refine"
    for name, label_map in found.items():
        maps, present = view.maps[name]
        scores = alpha_scores(maps[present > 0], 3.0)
        marginals = dense_crf(view.picture, scores, bilateral=(40.0, 20.0, 5.0), iterations=4)
        expected = label_numbers(present)[marginals.argmax(0)].numpy()
        assert (label_map == expected).mean() > 0.99 and label_map.any()
    assert (found[CAM] != view.label_maps()[CAM]).any()


def test_scores_of_one_image_by_hand(view):
    mask = mask_of(2)
    label_map = np.where(mask == 255, 0, mask)
    assert view.scores(label_map, 1) == (100.0, 100.0)
    no_dog = np.where(label_map == 2, 0, label_map)
    mean, dog = view.scores(no_dog, 1)
    background = 100 * (mask == 0).sum() / ((mask == 0).sum() + (mask == 2).sum())
    assert dog == 0 and mean == pytest.approx((background + 100 + 0) / 3)
    assert np.isnan(view.scores(no_dog)[1])


def test_ignored_pixels_of_a_label_map_are_left_out(view):
    label_map = np.full_like(mask_of(2), 255)
    label_map[0] = 0
    assert view.confusion(label_map).sum() == 32 and view.scores(label_map)[0] == 100


def test_the_best_score_of_a_map_is_the_best_that_a_slider_can_reach(view):
    mean, score = view.best[CAM]
    reached = [view.scores(view.label_maps(at)[CAM])[0] for at in np.arange(0.02, 1, 0.02).round(2)]
    assert mean == pytest.approx(max(reached)) and reached[round(score / 0.02) - 1] == pytest.approx(mean)
    assert min(reached) < mean


def test_confusion_names_the_labels_that_occur(view):
    table = view.confusion_table(np.zeros((24, 32), np.int64))
    assert list(table.index) == ["background", "cat", "dog"] and list(table.columns) == list(table.index)
    assert table["background"].tolist() == [(mask_of(2) == label).sum() for label in range(3)]
    assert table[["cat", "dog"]].to_numpy().sum() == 0


def test_a_pixel_has_its_scores_and_labels(view):
    table = view.pixel(12, 7, {"label": view.label_maps(), "CRF label": {}})
    expected = maps_of(2, 1.0)[0][:, 12, 7]
    assert table.loc[CAM, ["cat", "dog"]].tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    assert np.isnan(table.loc[WALK, "cat"]) and table["label"].tolist()[:2] == ["cat", "cat"]
    assert view.truth_at(12, 7) == "ignored" and view.truth_at(8, 4) == "cat"
    for outside in ((-1, 0), (24, 0), (0, 32)):
        with pytest.raises(IndexError, match="outside of the image of 24 x 32 px"):
            view.pixel(*outside, {})


def test_runs_without_this_image_are_named(data_set):
    view = View(data_set.sample("train", "image_0"), CLASSES, data_set.sources)
    assert view.lacking == ["10_cam/smoke, labels", WALK] and list(view.sources) == [CAM, MIXUP]


def test_without_a_mask_there_are_no_scores(data_set):
    sample = data_set.sample("val", "image_2")
    unmasked = type(sample)(sample.id, sample.image, sample.class_labels, None)
    view = View(unmasked, CLASSES, data_set.sources)
    assert view.best == {} and np.isnan(view.scores(view.label_maps()[CAM])).all() and view.truth_at(0, 0) == ""
    with pytest.raises(ValueError, match="has no mask"):
        view.confusion(view.label_maps()[CAM])


def test_files_that_do_not_fit_the_image_are_refused(data_set):
    sample = data_set.sample("val", "image_2")
    maps, walk = data_set.sources[0], data_set.sources[-1]
    save_maps(maps.file("image_2"), torch.zeros(2, 9, 9), torch.ones(2))
    with pytest.raises(ValueError, match=r"\(9, 9\) px, but the image image_2"):
        View(sample, CLASSES, [maps])
    save_maps(maps.file("image_2"), torch.zeros(3, 24, 32), torch.ones(3))
    with pytest.raises(ValueError, match="3 classes, not 2"):
        View(sample, CLASSES, [maps])
    save_label_map(walk.file("image_2"), np.full((24, 32), 7), PALETTE)
    with pytest.raises(ValueError, match="7 classes, not 2"):
        View(sample, CLASSES, [walk])
    assert isinstance(walk, Source)
