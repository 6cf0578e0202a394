import re

import numpy as np
import pandas as pd
import pytest

from wsss_lib.figures.tables import markdown_table, published_table, styled_table

FRAME = pd.DataFrame(
    {
        "method": ["CAM", "FMix", "SCE"],
        "seeds": [3, 3, 1],
        "mIoU": [45.01, np.nan, 46.55],
        "seconds": [61.0, 75.04, 61.0],
    }
)


def cells(html):
    return [cell.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", html, re.S)]


def rules(html):
    """CSS text of each cell id, and of each column."""
    found = {}
    for selectors, text in re.findall(r"([^{}]*)\{([^{}]*)\}", html.split("</style>")[0]):
        for place in re.findall(r"row\d+_col\d+|(?<=\.)col\d+", selectors):
            found[place] = found.get(place, "") + text
    return found


def test_numbers_are_rounded_aligned_and_missing_ones_marked():
    html = styled_table(FRAME).to_html()
    assert cells(html) == ["CAM", "3", "45.0", "61.0", "FMix", "3", "–", "75.0", "SCE", "1", "46.5", "61.0"]
    css = rules(html)
    assert sorted(css) == ["col1", "col2", "col3"], "one rule for a column of numbers, none for a cell"
    assert all("text-align: right" in rule for rule in css.values()) and "th, td" not in css
    assert "bold" not in html


def test_the_best_values_are_bold():
    css = rules(styled_table(FRAME, highest=["mIoU"], lowest=["seconds"]).to_html())
    bold = {place for place, text in css.items() if "bold" in text}
    assert bold == {"row2_col2", "row0_col3", "row2_col3"}
    with pytest.raises(ValueError, match="no column"):
        styled_table(FRAME, highest=["miou"])


def test_pages_are_reproducible_and_tables_do_not_style_each_other():
    assert styled_table(FRAME).to_html() == styled_table(FRAME.copy()).to_html()
    identifiers = [re.search(r'id="(T_\w+)"', styled_table(frame).to_html())[1] for frame in (FRAME, FRAME.head(2))]
    assert identifiers[0] != identifiers[1]


def test_markdown_shows_the_same_values():
    lines = markdown_table(FRAME, highest=["mIoU"]).splitlines()
    texts = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert texts[2:] == [["CAM", "3", "45.0", "61.0"], ["FMix", "3", "–", "75.0"], ["SCE", "1", "**46.5**", "61.0"]]
    assert [cell.endswith(":") for cell in texts[1]] == [False, True, True, True]


def test_a_named_index_is_shown():
    frame = FRAME.set_index("method")
    assert markdown_table(frame).splitlines()[2].startswith("| CAM ")
    assert "FMix" in styled_table(frame).to_html()


def test_published_numbers_carry_a_sign_and_missing_runs_are_grey():
    frame = pd.DataFrame(
        {"row": ["CAM", "FMix"], "published": [45.0, 48.2], "ours": [46.1, np.nan], "difference": [1.1, np.nan]}
    )
    html = published_table(frame).to_html()
    assert cells(html) == ["CAM", "45.0", "46.1", "+1.1", "FMix", "48.2", "–", "–"]
    grey = {place for place, text in rules(html).items() if "#808080" in text}
    assert grey == {f"row1_col{column}" for column in range(4)}
    with pytest.raises(ValueError, match="difference"):
        published_table(frame[["published", "ours"]])
