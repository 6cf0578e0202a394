"""The commands of run_all.sh that work on runs: run a profile, predict, clean."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from wsss_lib.files import PAGES, RECORD
from wsss_lib.workflow.fingerprint import statuses
from wsss_lib.workflow.launcher import BUSY, launch, list_plan, machine
from wsss_lib.workflow.plan import Request, make_plan, prediction
from wsss_lib.workflow.project import Project

OWN_FOLDERS = (".benchmark", ".workflow")  # hidden below the outputs
MADE_BY_PREDICT = ("maps", "labels", "overlays")


def run(chosen: argparse.Namespace) -> int:
    """Run the notebooks of a profile, or only list them."""
    project = Project()
    request = Request(
        profile=chosen.profile,
        only=tuple(dict.fromkeys(chosen.only)),
        seeds=chosen.seeds,
        grid=chosen.grid,
        settings=chosen.settings,
        file=chosen.params,
    )
    plan = make_plan(project, request)
    fresh = [run_id for run_id in plan if chosen.fresh and request.names(run_id)]
    on = machine(chosen.on, chosen.jobs)
    if chosen.list:
        list_plan(project, plan, statuses(project, plan, fresh))
        return 0
    return launch(project, plan, on, fresh=fresh)


def predict(chosen: argparse.Namespace) -> int:
    """Apply the weights of a run to the user's images, and say where the results are."""
    project = Project()
    images = Path(os.environ.get("WSSS_CALLED_FROM", ".")) / chosen.images
    plan = prediction(project, chosen.weights_from, images, chosen.out)
    run_id = f"{chosen.weights_from.partition('/')[0]}/{chosen.out}"
    code = launch(project, plan, machine("local", None), fresh=[run_id])
    if code == 0:
        folder = project.folder(run_id)
        for name in MADE_BY_PREDICT:
            if (folder / name).is_dir():
                print(f"{name:<9}{folder / name} ({sum(path.is_file() for path in (folder / name).iterdir())} files)")
        print(f"page     {folder / PAGES[1]}")
    return code


def clean(chosen: argparse.Namespace) -> int:
    """Remove from the outputs all that git does not keep; only folders of notebooks and of the workflow are touched."""
    project = Project()
    if not project.outputs.is_dir():
        print(f"nothing to remove: there is no folder {project.outputs}")
        return 0
    project.state.mkdir(exist_ok=True)
    try:
        with FileLock(project.state / "launcher.lock").acquire(blocking=False):
            freed = remove_uncommitted(project)
    except Timeout:
        print(f"another ./run_all.sh is at work on {project.outputs}; wait for it or stop it", file=sys.stderr)
        return BUSY
    print(f"{freed / 1e6:.1f} MB removed from {project.outputs}")
    return 0


def remove_uncommitted(project: Project) -> int:
    """Remove what git does not keep below the outputs; returns the bytes freed."""
    freed = 0
    for folder in (project.outputs / name for name in (*project.stems, *OWN_FOLDERS)):
        kept = kept_files(folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in kept:
                freed += path.lstat().st_size
                path.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return freed


def kept_files(folder: Path) -> set[Path]:
    """Files below a folder that git tracks; outside a checkout, those that it would: records, tables, pages."""
    if not folder.is_dir():
        return set()
    git = shutil.which("git")
    listed = git and subprocess.run([git, "-C", str(folder), "ls-files", "-z"], capture_output=True)
    if listed and listed.returncode == 0:
        return {folder / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name}
    if folder.name in OWN_FOLDERS:
        return set()
    return {path for pattern in (RECORD, "*.csv", "*.md", "notebook.ipynb") for path in folder.glob(f"*/{pattern}")}
