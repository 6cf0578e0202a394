import random

import pytest
import torch

from wsss_lib.data.box_masks import box_masks, pair_masks, scale_boxes


def random_boxes(seed, num_images=4, num_classes=3, side=9):
    draw = random.Random(seed)
    boxes = []
    for _ in range(num_images):
        left, top = draw.randrange(side), draw.randrange(side)
        corners = (left, top, draw.randrange(left, side + 1), draw.randrange(top, side + 1))
        boxes.append([(draw.randrange(num_classes), corners) for _ in range(draw.randrange(4))])
    return boxes


def mask_slowly(boxes, label, height, width):
    return [
        [any(k == label and x0 <= x < x1 and y0 <= y < y1 for k, (x0, y0, x1, y1) in boxes) for x in range(width)]
        for y in range(height)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_masks_are_the_union_of_the_boxes_of_a_class(seed):
    boxes = random_boxes(seed)
    masks = box_masks(boxes, 3, (8, 9))
    assert masks.dtype == torch.bool
    assert masks.tolist() == [[mask_slowly(of_image, k, 8, 9) for k in range(3)] for of_image in boxes]
    images, classes = torch.tensor([2, 0, 3, 0]), torch.tensor([1, 2, 0, 0])
    assert torch.equal(pair_masks(boxes, images, classes, (8, 9)), masks[images, classes])


def test_no_boxes_and_no_images_are_empty_masks():
    assert not box_masks([[], []], 3, (4, 5)).any()
    assert box_masks([], 3, (4, 5)).shape == (0, 3, 4, 5)
    assert pair_masks([], [], [], (4, 5)).shape == (0, 4, 5)
    assert not pair_masks([[(0, (2, 2, 2, 4))]], [0], [0], (4, 5)).any(), "a box without area"


def test_boxes_beyond_the_border_are_cut_there():
    masks = pair_masks([[(0, (-3, -2, 2, 1))], [(0, (3, 3, 9, 9))]], [0, 1], [0, 0], (4, 5))
    assert masks.sum((1, 2)).tolist() == [2, 2]


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match="classes 1 to 5, not 0 to 2"):
        box_masks([[(1, (0, 0, 1, 1)), (5, (0, 0, 1, 1))]], 3, (4, 4))


def test_scaled_boxes_keep_their_place():
    boxes = [(2, (3.0, 5.0, 30.0, 20.0))]
    assert scale_boxes(boxes, (40, 60), (40, 60), form="paper") == boxes
    assert scale_boxes(boxes, (40, 60), (80, 120), form="paper") == [(2, (6, 10, 60, 40))]
    assert scale_boxes(boxes, (40, 60), (20, 15), form="paper") == [(2, (0, 2, 8, 10))], "all pixels it touches"
    assert scale_boxes(boxes, (40, 60), (20, 15)) == [(2, (0, 2, 7, 10))], "truncated"


def test_the_official_form_ends_one_pixel_early_and_may_lose_a_box():
    whole = [(0, (0.0, 0.0, 60.0, 40.0))]
    assert scale_boxes(whole, (40, 60), (10, 10)) == [(0, (0, 0, 9, 9))]
    assert scale_boxes(whole, (40, 60), (10, 10), counted_from=1) == [(0, (0, 0, 9, 9))]
    assert scale_boxes(whole, (40, 60), (10, 10), form="paper") == [(0, (0, 0, 10, 10))]
    tiny = [(0, (30.0, 9.0, 33.0, 11.0))]
    (_, (left, top, right, bottom)), *_ = scale_boxes(tiny, (40, 60), (10, 10))
    assert (left, top) == (right, bottom)
    (_, (left, top, right, bottom)), *_ = scale_boxes(tiny, (40, 60), (10, 10), form="paper")
    assert left < right and top < bottom


def test_corners_counted_from_one():
    assert scale_boxes([(0, (4.0, 5.0, 38.0, 33.0))], (37, 50), (224, 224), counted_from=1) == [(0, (22, 36, 170, 199))]


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="choose official or paper"):
        scale_boxes([], (4, 4), (4, 4), form="exact")
