import io

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.figures.overlays import (
    add_overlay,
    blend,
    jet_heat,
    label_colors,
    label_overlay,
    overlay,
    pixels,
    show_cases,
    show_label_maps,
    show_maps,
    show_samples,
    voc_palette,
)
from wsss_lib.run import FIGURE_DPI
from wsss_lib.tests.figures.looks import check_texts

CLASSES = ("aeroplane", "diningtable", "pottedplant")


def scenes(number, size=(24, 32)):
    rng = np.random.default_rng(0)
    images = [rng.random((*size, 3)) for _ in range(number)]
    masks = [rng.choice([0, 1, 3, 255], size) for _ in range(number)]
    maps = [torch.rand(6, 8) for _ in range(number)]
    return images, masks, maps


def shown_arrays(axes):
    return [np.asarray(image.get_array()) for tile in np.ravel(axes) for image in tile.images]


def test_palette_is_the_bit_pattern_of_voc():
    palette = voc_palette()
    assert palette[[1, 2, 15, 20, 255]].tolist() == [
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]
    assert len(np.unique(palette, axis=0)) == 256


def test_label_colors_follow_the_palette():
    label_map = torch.tensor([[0, 15], [255, 1]])
    assert label_colors(label_map).tolist() == voc_palette()[label_map.numpy()].tolist()


def test_jet_goes_from_blue_over_green_to_red():
    heat = jet_heat(torch.tensor([[0.0, 0.5, 1.0]]))
    assert heat[0].argmax(1).tolist() == [2, 1, 0] and heat.dtype == np.uint8


def test_authors_overlay_is_truncated():
    assert add_overlay(np.full((1, 1, 3), 255, np.uint8), np.full((1, 1, 3), 3, np.uint8)).tolist() == [[[128] * 3]]


def test_pictures_of_any_kind_give_the_same_pixels():
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    kinds = [values, Image.fromarray(values), values / 255.0, torch.from_numpy(values / 255.0).permute(2, 0, 1)]
    for kind in kinds:
        np.testing.assert_allclose(pixels(kind), values / 255)
    with pytest.raises(ValueError, match="undo the normalization"):
        pixels(torch.randn(3, 4, 5) * 2)
    with pytest.raises(ValueError, match=r"shape \(4, 5\)"):
        pixels(np.zeros((4, 5)))


def test_overlay_is_grey_where_the_map_is_zero_and_colored_where_it_is_one():
    image = np.random.default_rng(0).random((8, 8, 3))
    cam = torch.zeros(8, 8)
    cam[4:] = 1
    found = overlay(image, cam)
    np.testing.assert_allclose(np.ptp(found[:4], axis=2), 0, atol=1e-12)
    color = np.array(mpl.colormaps["inferno"](1.0)[:3])
    distance = np.abs(found[4:] - color).max(2)
    assert distance.max() < 0.26 and np.ptp(found[4:], axis=2).min() > 0.1
    np.testing.assert_allclose(found[4:], blend(image[4:] @ [0.299, 0.587, 0.114], np.ones((4, 8))))


def test_overlay_keeps_the_size_of_the_image():
    assert overlay(np.zeros((30, 20, 3)), torch.rand(4, 3)).shape == (30, 20, 3)


def test_samples_show_every_image_with_mask_boxes_and_legend():
    images, masks, _ = scenes(5)
    boxes = [[(1, (2, 3, 20, 13))], [], [], [(1, (0, 0, 5, 5)), (0, (1, 1, 9, 9))], []]
    titles = ["aeroplane, pottedplant, diningtable"] * 5
    figure = show_samples(images, titles=titles, masks=masks, boxes=boxes, class_names=CLASSES, columns=3)
    texts = check_texts(figure)
    assert texts[-4:] == ["aeroplane", "diningtable", "pottedplant", "ignored"]
    tiles = [tile for tile in figure.axes if tile.get_visible()]
    assert len(tiles) == 5
    for tile, image, mask in zip(tiles, images, masks, strict=True):
        (shown,) = shown_arrays([tile])
        np.testing.assert_allclose(shown[mask == 0], image[mask == 0])
        assert np.abs(shown[mask > 0] - image[mask > 0]).mean() > 0.05
    assert [len(tile.patches) for tile in tiles] == [2, 0, 0, 4, 0]  # each box has a white edge
    corner = tiles[0].patches[0].get_xy()
    assert corner == (1.5, 2.5) and tiles[0].patches[0].get_width() == 18


def test_maps_have_one_row_a_kind_and_one_scale():
    images, masks, maps = scenes(4)
    figure = show_maps(
        images,
        {"CAM": maps, "sub-category exploration": maps},
        titles=(*CLASSES, "dog"),
        outlines=[mask == 1 for mask in masks],
    )
    texts = check_texts(figure)
    assert {"CAM", "sub-category\nexploration", "normalized map", "0.0", "1.0"} <= set(texts)
    tiles = np.array(figure.axes[:12]).reshape(3, 4)
    np.testing.assert_allclose(shown_arrays(tiles[0]), images)
    np.testing.assert_allclose(shown_arrays(tiles[2]), [overlay(*pair) for pair in zip(images, maps, strict=True)])
    assert all(tile.collections for tile in tiles[1:].flat) and not tiles[0, 0].collections


def test_label_maps_have_a_legend_of_what_is_shown():
    images, masks, _ = scenes(3)
    found = [np.where(mask == 1, 2, 0) for mask in masks]
    figure = show_label_maps(
        images, {"truth": masks, "CAM": found}, CLASSES, titles="abc", scores={"CAM": [50, 7.4, 0]}
    )
    texts = check_texts(figure)
    assert texts[-5:] == ["background", "aeroplane", "diningtable", "pottedplant", "ignored"]
    assert [text for text in texts if text in ("50", "7", "0")] == ["50", "7", "0"]
    tiles = np.array(figure.axes).reshape(3, 3)
    np.testing.assert_array_equal(shown_arrays(tiles[1]), [label_colors(mask) for mask in masks])
    assert all(tile.images[0].get_interpolation() == "nearest" for tile in tiles[1:].flat)


def test_cases_are_the_best_and_the_worst():
    images, masks, _ = scenes(6)
    scores = [30.0, 90.0, np.nan, 10.0, 60.0, 70.0]
    figure = show_cases(images, {"truth": masks}, CLASSES, scores, num_cases=2)
    texts = check_texts(figure)
    assert [text for text in texts if "st: " in text] == ["best: 90", "best: 70", "worst: 30", "worst: 10"]
    np.testing.assert_allclose(shown_arrays(figure.axes[:4]), [images[i] for i in (1, 5, 0, 3)])
    few = show_cases(images[:2], {"truth": masks[:2]}, CLASSES, scores[:2], num_cases=4)
    assert [tile.get_title() for tile in few.axes[:2]] == ["best: 90", "best: 30"]


@pytest.mark.parametrize("rows, size", [(4, (96, 96)), (7, (36, 48)), (2, (48, 36))])
def test_figures_stay_small(rows, size):
    """A page holds several figures in 350 KB: at one byte a pixel, tiles of 18 square inches are 139 KB."""
    images = [np.zeros((*size, 3), np.uint8)] * (4 * rows)
    figure = show_samples(images, titles=["diningtable"] * (4 * rows), columns=4)
    check_texts(figure)
    stored = io.BytesIO()
    figure.savefig(stored, dpi=FIGURE_DPI)
    width, height = Image.open(stored).size
    assert width <= 740 and width * height < 205_000


def test_pictures_of_any_shape_stay_undistorted_and_in_line():
    images = [np.zeros((*size, 3)) for size in ((30, 40), (40, 30), (10, 40))]
    figure = show_maps(images, {"CAM": [torch.rand(4, 4)] * 3})
    check_texts(figure)
    tiles = np.array(figure.axes[:6]).reshape(2, 3)
    edges = np.array([[tile.get_window_extent().extents for tile in row] for row in tiles])
    np.testing.assert_allclose(edges[0, :, [0, 2]], edges[1, :, [0, 2]], atol=0.5)
    np.testing.assert_allclose(np.ptp(edges[:, :, [1, 3]], axis=1), 0, atol=0.5)
    for tile, image in zip(tiles[0], images, strict=True):
        (left, right), (bottom, top) = tile.get_xlim(), tile.get_ylim()
        box = tile.get_window_extent()
        assert box.width / (right - left) == pytest.approx(box.height / (bottom - top), rel=1e-3)
        assert left <= -0.5 and right >= image.shape[1] - 0.5 and top <= -0.5 and bottom >= image.shape[0] - 0.5


def test_wrong_numbers_of_things_are_errors():
    images, masks, maps = scenes(3)
    with pytest.raises(ValueError, match="2 CAM for 3 images"):
        show_maps(images, {"CAM": maps[:2]})
    with pytest.raises(ValueError, match="1 titles for 3 images"):
        show_label_maps(images, {"truth": masks}, CLASSES, titles=["a"])
    with pytest.raises(ValueError, match="no image"):
        show_samples([])


def test_label_overlay_leaves_the_background_as_it_is():
    picture = np.full((2, 2, 3), 200, np.uint8)
    shown = label_overlay(picture, np.array([[0, 1], [255, 0]]))
    assert (shown[0, 0] == 200 / 255).all() and (shown[1, 1] == 200 / 255).all()
    np.testing.assert_allclose(shown[0, 1], [0.5 * (200 + 128) / 255, 100 / 255, 100 / 255])
    assert (shown[1, 0] != 200 / 255).any()
