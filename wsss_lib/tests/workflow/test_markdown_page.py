"""A report as Markdown: prose, tables and figures in their order, no code."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from wsss_lib.workflow.markdown_page import page_markdown


def shown(kind: str, caption: str) -> list:
    return [
        new_output("display_data", {"text/html": "<table></table>"}),
        new_output("display_data", {"text/markdown": f"**{kind} 1.** {caption}"}),
    ]


@pytest.fixture
def notebook():
    cells = [
        new_markdown_cell("# Report\n\nProse with $x$."),
        new_code_cell("run.table(frame)", outputs=shown("Table", "Scores, percent.")),
        new_markdown_cell("## Pictures"),
        new_code_cell("run.figure(figure)", outputs=shown("Figure", "Maps [on one scale].")),
        new_code_cell("print(1)", outputs=[new_output("stream", text="1")]),
    ]
    return new_notebook(cells=cells)


def test_the_parts_come_in_their_order_and_tables_without_padding(notebook, tmp_path):
    table = "| run   |   score |\n|:------|--------:|\n| a b   |    1.5  |\n\nScores, percent.\n"
    (tmp_path / "scores.md").write_text(table)
    captions = {"scores.csv": "Scores, percent.", "maps.png": "Maps [on one scale]."}
    page = page_markdown(notebook, tmp_path, captions, "90_report/demo")
    assert page == (
        "# Report\n\nProse with $x$.\n\n"
        "| run | score |\n|:---|---:|\n| a b | 1.5 |\n\n**Table 1.** Scores, percent.\n\n"
        "## Pictures\n\n![Maps (on one scale).](maps.png)\n\n**Figure 1.** Maps [on one scale].\n\n*90_report/demo*\n"
    )


def test_tables_look_as_on_the_page(notebook, tmp_path):
    notebook.cells = notebook.cells[1:2]
    lines = ["|    | run | score | score ± | masks |", "|---:|:----|------:|--------:|:------|"]
    lines += ["|  0 | a   |   1.5 |     0.2 | <NA>  |", "|  1 | b   |   nan |     nan | 16    |"]
    (tmp_path / "scores.md").write_text("\n".join([*lines, "", "Scores, percent."]))
    page = page_markdown(notebook, tmp_path, {"scores.csv": "Scores, percent."})
    assert page.startswith("| run | score | masks |\n|:---|---:|:---|\n| a | 1.5 ± 0.2 | – |\n| b | – | 16 |\n\n")


def test_a_caption_without_a_file_is_an_error(notebook, tmp_path):
    with pytest.raises(ValueError, match="has the caption 'Scores, percent"):
        page_markdown(notebook, tmp_path, {"maps.png": "Maps [on one scale]."})
