import pandas as pd

from wsss_lib.figures.boards import grouped_table


def test_each_group_has_its_own_best_and_a_line_above():
    board = pd.DataFrame(
        {"supervision": ["labels", "labels", "masks"], "method": ["A", "B", "C"], "mIoU": [40.0, 50.0, 80.0]}
    )
    page = grouped_table(board, "supervision", highest=["mIoU"]).to_html()
    bold = page.split("font-weight: bold")[0].splitlines()[-2:]
    assert "row1_col2" in " ".join(bold) and "row2_col2" in page and "row0_col2" not in page
    assert all(f"td.row{row} {{" in page for row in (0, 2)) and "td.row1 {" not in page


def test_one_lucky_seed_is_not_the_best_of_its_group():
    board = pd.DataFrame({"supervision": ["labels"] * 3, "seeds": [1, 3, 3], "mIoU": [80.0, 50.0, 60.0]})
    page = grouped_table(board, "supervision", highest=["mIoU"]).to_html()
    assert "row2_col2" in page and "row0_col2" not in page and "row1_col2" not in page


def test_an_empty_board_is_an_empty_table():
    assert "<table" in grouped_table(pd.DataFrame(columns=["supervision"]), "supervision").to_html()
