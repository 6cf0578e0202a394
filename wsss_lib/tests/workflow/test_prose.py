"""Edited prose reaches the pages of finished runs; their outputs, and pages of other code, stay as they are."""

import nbformat
import pytest

from wsss_lib.files import describe, list_files, write_json
from wsss_lib.workflow.fingerprint import fingerprint, statuses
from wsss_lib.workflow.plan import Request, make_plan
from wsss_lib.workflow.prose import finished_runs, renew_prose

RUN = "10_cam/smoke"


@pytest.fixture
def page(toy):
    """Executed page of a finished run, with an output in each cell and the cell that papermill adds."""
    run = make_plan(toy.project, Request(profile="smoke"))[RUN]
    path = toy.file(RUN, "notebook.ipynb")
    path.parent.mkdir(parents=True)
    notebook = nbformat.read(toy.project.notebook("10_cam"), as_version=4)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text=f"output {number}")]
    injected = nbformat.v4.new_code_cell("sizes = [2]", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(2, injected)
    nbformat.write(notebook, path)
    now = fingerprint(toy.project, run.notebook, run.parameters, {})
    record = {"hash": now.digest, "parameters": run.parameters, "fingerprint": now.parts, "inputs": {}, "captions": {}}
    write_json(path.parent / "record.json", record | {"files": list_files(path.parent)})
    return path


def edit(toy, change):
    path = toy.project.notebook("10_cam")
    notebook = nbformat.read(path, as_version=4)
    change(notebook.cells)
    nbformat.write(notebook, path)


def renewed(toy):
    plan = finished_runs(toy.project)
    return renew_prose(toy.project, plan[RUN], statuses(toy.project, plan, check_files=False)[RUN])


def test_prose_and_comments_are_taken_over_and_outputs_stay(toy, page):
    assert not renewed(toy), "nothing was edited"

    def change(cells):
        cells[0].source = "# Another title"
        cells[1].source = cells[1].source.replace("random seed", "seed of all")
        cells.insert(2, nbformat.v4.new_markdown_cell("A new paragraph.\n\nSee [it](16_affinity.ipynb)."))

    edit(toy, change)
    assert renewed(toy) and not renewed(toy)
    cells = nbformat.read(page, as_version=4).cells
    assert [cell.source.splitlines()[0] for cell in cells[:4]] == [
        "# Another title",
        "seed: int = 0  # in [0, inf); seed of all",
        "sizes = [2]",
        "A new paragraph.",
    ]
    outputs = [cell.outputs[0].text for cell in cells if cell.cell_type == "code" and cell.outputs]
    assert outputs == ["output 1", "output 2", "output 3", "output 4", "output 5"]
    assert cells[3].source.endswith("See [it](../../../notebooks/16_affinity.ipynb).")
    record = toy.record(RUN)
    assert record["files"]["notebook.ipynb"] == describe(page) and record["title"] == "Another title"
    html = toy.file(RUN, "notebook.html").read_text()
    assert "Another title" in html and 'href="../../../notebooks/16_affinity.ipynb"' in html, "links lead to notebooks"


def test_a_page_of_other_code_stays(toy, page):
    edit(toy, lambda cells: cells[3].update(source="print(1)"))
    before = page.read_bytes()
    assert not renewed(toy)
    assert page.read_bytes() == before


def test_a_run_without_a_page_is_left(toy, page):
    page.unlink()
    assert not renewed(toy)


def test_runs_that_no_parameter_file_makes_are_left_alone(toy, page):
    by_hand = toy.file("10_cam/lab", "record.json")
    by_hand.parent.mkdir(parents=True)
    write_json(by_hand, {"hash": None, "parameters": {}, "inputs": {}, "files": {}})
    assert list(finished_runs(toy.project)) == [RUN]
