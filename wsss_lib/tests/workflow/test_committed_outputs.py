"""What is committed below outputs/: made by the code and parameters as they are, small, and without heavy files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wsss_lib.paths import PROJECT
from wsss_lib.workflow.fingerprint import statuses
from wsss_lib.workflow.project import Project
from wsss_lib.workflow.prose import finished_runs, renew_prose

KEPT = {".json", ".csv", ".md", ".ipynb"}


def committed() -> list[Path]:
    """Files below outputs/ that git tracks; all of them outside a checkout."""
    listed = subprocess.run(["git", "-C", str(PROJECT), "ls-files", "-z", "outputs"], capture_output=True, text=True)
    if listed.returncode == 0:
        return [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).exists()]
    return [path for path in (PROJECT / "outputs").rglob("*") if path.suffix in KEPT]


@pytest.fixture
def project(tmp_path) -> Project:
    """The project with the committed outputs alone, in a folder of its own so that links of pages are the same."""
    for name in ("notebooks", "params", "wsss_lib"):
        (tmp_path / name).symlink_to(PROJECT / name)
    for path in committed():
        target = tmp_path / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return Project(tmp_path, tmp_path / "outputs")


def test_committed_records_are_up_to_date(project):
    found = statuses(project, finished_runs(project), check_files=False)
    stale = [f"{run_id}: {'; '.join(status.reasons)}" for run_id, status in found.items() if status.reasons]
    assert not stale, "`./run_all.sh --only RUN` makes a run again; out of date are\n" + "\n".join(stale)


def test_committed_pages_carry_the_prose_of_their_notebooks(project):
    plan = finished_runs(project)
    found = statuses(project, plan, check_files=False)
    renewed = [run_id for run_id in plan if renew_prose(project, plan[run_id], found[run_id])]
    assert not renewed, "python -m wsss_lib.workflow.prose brings it to the pages"


def test_committed_outputs_are_small():
    sizes = {path: path.stat().st_size for path in committed()}
    made_anew = {path for path in sizes if path.suffix not in KEPT}
    report = PROJECT / "outputs/90_report/demo"  # its page in Markdown, and the README, show its figures
    assert all(path.parent == report and path.suffix == ".png" for path in made_anew), "made anew by every run"
    assert sum(sizes.values()) < 10e6
    assert max((size for path, size in sizes.items() if path.suffix == ".ipynb"), default=0) <= 350 * 1024
