import numpy as np
import pytest

from wsss_lib.data.limited_boxes import annotated_indices, dilate_boxes


def test_a_share_of_the_images_each_once():
    kept = annotated_indices(200, 0.1, seed=3)
    assert len(set(kept.tolist())) == 20 and (np.diff(kept) > 0).all() and kept[0] >= 0 and kept[-1] < 200
    assert annotated_indices(7, 1.0, seed=0).tolist() == list(range(7))
    assert annotated_indices(200, 0.1, seed=3).tolist() == kept.tolist()
    assert annotated_indices(200, 0.1, seed=4).tolist() != kept.tolist()


def test_the_draw_leaves_the_global_generator_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    annotated_indices(50, 0.5, seed=1)
    assert np.random.random() == expected


@pytest.mark.parametrize("share", [0.0, 1.1, -0.1])
def test_a_wrong_share_is_refused(share):
    with pytest.raises(ValueError, match=r"not in \(0, 1\]"):
        annotated_indices(10, share, seed=0)


def test_less_than_one_image_is_refused():
    with pytest.raises(ValueError, match=r"less than one annotated image; take at least 0\.025"):
        annotated_indices(40, 0.01, seed=0)


def test_boxes_grow_on_both_sides_and_stop_at_the_border():
    boxes = [(1, (10, 20, 30, 60)), (0, (0, 0, 95, 95))]
    assert dilate_boxes(boxes, 0.25, (96, 96)) == [(1, (5, 10, 35, 70)), (0, (0, 0, 95, 95))]
    assert dilate_boxes(boxes, 0.5, (96, 96), form="paper") == [(1, (5, 10, 35, 70)), (0, (0, 0, 96, 96))]
    assert dilate_boxes(boxes, 0, (96, 96)) == boxes
    assert dilate_boxes([], 0.5, (96, 96)) == []


def test_the_official_margin_is_whole():
    assert dilate_boxes([(0, (10, 10, 17, 13))], 0.1, (96, 96)) == [(0, (10, 10, 17, 13))]
    assert dilate_boxes([(0, (10, 10, 17, 13))], 0.3, (96, 96)) == [(0, (8, 10, 19, 13))]


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"cannot grow by -0\.1"):
        dilate_boxes([], -0.1, (9, 9))
    with pytest.raises(ValueError, match="choose official or paper"):
        dilate_boxes([], 0.1, (9, 9), form="both")
