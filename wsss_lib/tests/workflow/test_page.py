"""Pages: offline, without scripts, formulas drawn, the error of a failed run marked."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from wsss_lib.workflow.page import mathml, page_html
from wsss_lib.workflow.project import Project
from wsss_lib.workflow.runner import executed_page, scrub

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def notebook():
    picture = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": "Four <maps>."}})
    caption = new_output("display_data", {"text/markdown": r"**Figure 1.** With $\lambda_1$."})
    widget = new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a slider"})
    script = new_output("display_data", {"text/html": "<b>kept</b><script src='https://a.b/c.js'>bad()</script>"})
    prose = r"# Maps & co" "\n\nPrices of \\$5 and $6, code `$a$`, $w_{kc} A_c$ and $$\\sum_k y_k$$\n\n```\n$x$\n```"
    return new_notebook(
        cells=[
            new_markdown_cell(prose),
            new_markdown_cell("## Data"),
            new_code_cell("epochs = 3", metadata={"tags": ["injected-parameters"]}),
            new_code_cell("show(maps)", outputs=[picture, caption, widget, script]),
            new_markdown_cell("## Scores"),
        ]
    )


def test_the_page_reads_offline_without_scripts(notebook):
    page = page_html(notebook, "10_cam/demo & hash")
    assert "<script" not in page and "http" not in page and "<b>kept</b>" in page
    assert f"data:image/png;base64,{PIXEL}" in page and 'alt="Four &lt;maps&gt;."' in page
    assert "a slider" in page and "widget-view" not in page
    assert "<title>Maps &amp; co</title>" in page and 'name="viewport"' in page and "10_cam/demo &amp; hash" in page
    assert re.findall(r'<a href="#(section-\d)">(\w+)</a>', page) == [("section-1", "Data"), ("section-2", "Scores")]
    assert '<h2 id="section-2">Scores</h2>' in page and "celltag_injected-parameters" in page


def test_a_report_links_the_pages_of_its_runs(notebook):
    page = page_html(notebook, links={"../../10_cam/demo/notebook.html": "CAM & co 10_cam/demo"})
    assert '<a href="../../10_cam/demo/notebook.html">CAM &amp; co 10_cam/demo</a>' in page
    assert page.index("</h1>") < page.index("CAM &amp; co") < page.index('<h2 id="section-1">')
    assert "<details><summary>Pages of the 1 runs" in page and "<details" not in page_html(notebook)


def test_formulas_are_drawn_and_code_and_prices_are_left(notebook):
    page = page_html(notebook)
    assert page.count("<math") == 3 and page.count('<span class="formula"><math display="block">') == 1
    assert "<msub><mi>w</mi><mrow><mi>k</mi><mi>c</mi></mrow></msub>" in page and "&#x003BB;" in page
    assert "<code>$a$</code>" in page and "$x$" in page and "$5 and $6" in page
    assert not re.search("[\ue000\ue001]", page)
    assert notebook.cells[0].source.count("$") == 12, "the notebook is left as it is"


def test_a_formula_that_cannot_be_read_stays_as_its_source():
    assert mathml(r"x < \bad{") == r"<code>x &lt; \bad{</code>"
    assert "arg" in mathml(r"\arg\max_k") and "\\arg" not in mathml(r"\arg\max_k")


def test_the_error_of_a_failed_run_is_marked(notebook):
    assert "This run failed" not in page_html(notebook)
    traceback = ["\x1b[0;31mValueError\x1b[0m: <no maps>"]
    error = new_output("error", ename="ValueError", evalue="no maps", traceback=traceback)
    mark = new_markdown_cell("papermill was here", metadata={"tags": ["papermill-error-cell-tag"]})
    notebook.cells += [mark, new_code_cell("boom()", outputs=[error])]
    page = page_html(notebook)
    assert "This run failed" in page and 'href="#error"' in page and page.count('id="error"') == 1
    assert "&lt;no maps&gt;" in page and "papermill was here" not in page and "\x1b" not in page


def test_links_to_notebooks_and_parameters_lead_there_and_name_no_folder_of_the_machine(tmp_path):
    source = "As in [plain CAM](10_cam.ipynb), [options](../params/a.csv), [the paper](https://example.org/a.ipynb)."
    page = nbformat.writes(new_notebook(cells=[new_markdown_cell(source)]))
    project = Project(tmp_path / "kit", tmp_path / "kit/outputs")
    inside, outside = project.outputs / "20_ktse/demo", tmp_path / "elsewhere/20_ktse/demo"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "notebook.ipynb").write_text(page)
    assert "[plain CAM](../../../notebooks/10_cam.ipynb)" in executed_page(project, inside).cells[0].source
    assert "[options](../../../params/a.csv)" in executed_page(project, inside).cells[0].source
    texts = source.replace("[plain CAM](10_cam.ipynb)", "plain CAM").replace("[options](../params/a.csv)", "options")
    assert executed_page(project, outside).cells[0].source == texts
    for folder in (inside, outside):
        mended = executed_page(project, folder).cells[0].source
        scrub(project, folder)
        kept = nbformat.read(folder / "notebook.ipynb", as_version=4).cells[0].source
        assert kept == mended == executed_page(project, folder).cells[0].source, "the notebook that is kept, too, once"
