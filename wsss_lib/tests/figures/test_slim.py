"""Slim tables: as many cells with the same text and styles as before, in fewer bytes."""

import re

import numpy as np
import pandas as pd
import pytest

from wsss_lib.figures.boards import grouped_table
from wsss_lib.figures.slim import slim
from wsss_lib.figures.tables import styled_table

FRAME = pd.DataFrame({"kind": list("aabb"), "mIoU": [1.0, 2.0, 3.0, np.nan], "mIoU ±": [0.5, np.nan, 0.1, np.nan]})


def cells(page):
    found = re.split(r"<t[dh]\b[^>]*>", page.partition("</style>")[2])[1:]
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in found]


@pytest.mark.parametrize(
    "make",
    [
        lambda: grouped_table(FRAME, "kind", highest=["mIoU"]),
        lambda: styled_table(FRAME.set_index(pd.Index(list("abcd"), name="x")), highest=["mIoU"]),
        lambda: styled_table(FRAME.assign(kind="a <b> class=col1 > c")),
    ],
)
def test_the_same_cells_in_fewer_bytes(make):
    before, after = make().to_html(), slim(make())._repr_html_()
    assert cells(after) == cells(before)
    assert len(after) < 0.7 * len(before)
    assert after.count("<td") == before.count("<td") and not re.search("</t[dhr]>", after)


def test_every_rule_still_finds_its_cells():
    page = slim(grouped_table(FRAME, "kind", highest=["mIoU"]))._repr_html_()
    style, _, body = page.partition("</style>")
    for identifier in set(re.findall(r"#(T_\w+?_row\d+_col\d+)", style)):
        assert f"id={identifier}" in body
    assert "class=col1" in body and 'class="row0 col1"' in body and "row1" not in re.sub(r"id=\S+", "", body)
    assert re.search(r"#(T_[0-9a-f]+)", style)[1] in re.search(r'<table id="(\w+)"', body)[1]
    assert style.count("text-align: right") == 1, "one rule for all columns of numbers"


def test_the_numbers_stay_for_the_file_beside():
    assert slim(styled_table(FRAME)).data.equals(FRAME)
