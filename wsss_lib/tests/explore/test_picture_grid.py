"""The widget of the pictures: what it hands to the browser."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from wsss_lib.explore.picture_grid import PictureGrid, legend_html, table_html
from wsss_lib.explore.pictures import Panel


def test_pictures_go_to_the_browser_as_png():
    grid = PictureGrid()
    picture = np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8)
    grid.show([Panel(0, 1, "CAM", "map of cat", "mIoU 5", picture)], {"cat": (1, 2, 3)})
    (sent,) = grid.panels
    assert (np.array(Image.open(io.BytesIO(sent["png"]))) == picture).all()
    assert grid.size == [3, 5] and sent["column"] == 1 and sent["alt"] == "CAM: map of cat: mIoU 5"
    assert "rgb(1, 2, 3)" in grid.legend


def test_a_picture_that_stays_is_packed_once(monkeypatch):
    packed = []
    monkeypatch.setattr("wsss_lib.explore.picture_grid.png", lambda picture: packed.append(picture) or b"file")
    grid, pictures = PictureGrid(), [np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3)]
    for shown in ((0, 1), (0, 2), (2, 0), (1, 0)):
        grid.show([Panel(0, column, "", "", "", pictures[n].copy()) for column, n in enumerate(shown)], {})
    assert [int(picture[0, 0, 0]) for picture in packed] == [1, 2, 3, 2]


def test_texts_are_escaped():
    table = pd.DataFrame({"<b>": ["<i>"]}, pd.Index(["<u>"], name="run"))
    assert "<b>" not in table_html(table) and "<i>" not in table_html(table) and "<u>" not in table_html(table)
    assert "<b>" not in legend_html({"<b>": (0, 0, 0)})


def test_numbers_are_right_and_gaps_are_dashes():
    table = table_html(pd.DataFrame({"cow": [0.123, np.nan], "label": ["cow", ""], "px": [1234, 5]}))
    assert "<td>0.12</td>" in table and "<td>–</td>" in table and "<td class='text'>cow</td>" in table
    assert "<td>1,234</td>" in table
