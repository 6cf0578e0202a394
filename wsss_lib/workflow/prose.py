"""Prose that was edited after a run: its executed page takes it over, without another run.

``python -m wsss_lib.workflow.prose`` does it for all finished runs, committed ones without their maps included;
``./run_all.sh`` for those that are up to date.
"""

from wsss_lib.files import PAGES, RECORD, read_json, write_json
from wsss_lib.parameters import read_parameters
from wsss_lib.workflow.fingerprint import Status, statuses
from wsss_lib.workflow.plan import PlannedRun, Planner, Request
from wsss_lib.workflow.project import Project
from wsss_lib.workflow.runner import prose_in, rendered, write_pages


def renew_prose(project: Project, run: PlannedRun, status: Status) -> bool:
    """Give the executed page of a run the prose and comments that its notebook has now; outputs and hash stay.

    Only where the hash agrees, so that the code cells of the page are those of the notebook.

    Returns:
        Whether the page changed. Runs of variants are committed without a page and stay as they are.
    """
    import nbformat

    page_file, record_file = (project.folder(run.run_id) / name for name in (PAGES[0], RECORD))
    if not page_file.exists() or read_json(record_file)["hash"] != status.digest:
        return False
    page = nbformat.read(page_file, as_version=4)
    source = nbformat.read(project.notebook(run.notebook), as_version=4)
    before = [cell.source for cell in page.cells]
    executed = [cell for cell in page.cells if cell.cell_type == "code"]
    cells = []
    for cell in source.cells:
        if cell.cell_type == "code":
            made = executed.pop(0)
            made.source, made.id, cell = cell.source, cell.id, made
        elif cell.cell_type == "markdown":
            cell.source = prose_in(project, page_file.parent, cell.source)
        cells.append(cell)
        if executed and "injected-parameters" in executed[0].metadata.get("tags", []):
            cells.append(executed.pop(0))
    if [cell.source for cell in cells] == before:
        return False
    page.cells = cells
    record = read_json(record_file) | {"title": read_parameters(project.notebook(run.notebook)).title}
    gathered = {"inputs": record["inputs"], "captions": record["captions"]}
    texts = {page_file.name: nbformat.writes(page) + "\n"} | rendered(project, run, status.digest, page, **gathered)
    record["files"] |= write_pages(page_file.parent, texts)  # these two at once: killed in between, the run is lost
    write_json(record_file, record)
    return True


def finished_runs(project: Project) -> dict[str, PlannedRun]:
    """Every run with a record that a parameter file makes, and what it was made from, in order."""
    run_ids = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in project.outputs.glob(f"*/*/{RECORD}"))
    planner = Planner(project, Request())
    return planner.closed(filter(None, (planner.needed(run_id, "its record") for run_id in run_ids)))


def main() -> None:
    project = Project()
    plan = finished_runs(project)
    for run_id, status in statuses(project, plan, check_files=False).items():
        if project.record(run_id) and renew_prose(project, plan[run_id], status):
            print(run_id)


if __name__ == "__main__":
    main()
