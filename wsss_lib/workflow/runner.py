"""Execute the notebook of one run: ``python -m wsss_lib.workflow.runner PLAN RUN THREADS``, called by snakemake's jobs.

The executed page is written as it grows; it stays, with its traceback, when a cell fails. The record appears last, by
a rename, once the whole page has been executed and rendered: who finds a record finds a finished run.
"""

import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from wsss_lib.files import DRAFT, PAGES, RECORD, describe, missing_files, read_json, write_json, write_text
from wsss_lib.parameters import Promise
from wsss_lib.workflow.fingerprint import Fingerprint, fingerprint, finished_inputs
from wsss_lib.workflow.guard import POLL_SECONDS, die_with, gpu_slot, wait_for_lock
from wsss_lib.workflow.plan import PlannedRun
from wsss_lib.workflow.project import Project
from wsss_lib.workflow.states import write_state

if TYPE_CHECKING:
    import nbformat

# jsonschema would load a grammar of internationalized addresses, two seconds that no notebook needs
sys.modules.setdefault("rfc3987_syntax", None)

NOTEBOOK, PAGE = PAGES
INDEX = "index.html"  # a report's page, with links to the pages of the runs that it gathers
MARKDOWN = "index.md"  # the same without code, for readers of the repository
LINK = re.compile(r"\[([^\]]+)\]\((\d\d_\w+\.ipynb|\.\./params/\w+\.csv)\)")
ALWAYS = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "HF_HUB_OFFLINE": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "MPLBACKEND": "Agg",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "WSSS_HEADLESS": "1",
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "WSSS_THREADS")


class RunFailed(Exception):
    """A page that did not come to its end, or that left no whole record."""


def execute(project: Project, run: PlannedRun, *, threads: int, gpus: list[str], fresh: bool, since: float) -> None:
    """Execute, render and record one run, alone among all processes that might write it.

    Args:
        threads: threads of the kernel.
        gpus: GPUs of which one is taken for this run; none leaves the choice to the system.
        fresh: forget checkpoints of an interrupted run.
        since: time of the launch; a run of the same hash that another process finished after it is not made again.

    Raises:
        RunFailed: a cell failed, the kernel died, or the page did not end in ``run.finish``.
    """
    folder = project.folder(run.run_id)
    with alone(project, run.run_id) as kernel_lock, gpu_slot(gpus) as gpu:
        now = fingerprint(
            project, run.notebook, run.parameters, finished_inputs(project, run), reads_patterns=bool(run.patterns)
        )
        if finished_meanwhile(project, run.run_id, now.digest, since):
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, DRAFT, PAGE):
            (folder / name).unlink(missing_ok=True)
        if fresh:
            for checkpoint in folder.glob(".checkpoint-*"):
                shutil.rmtree(checkpoint)
        os.environ.update(ALWAYS | dict.fromkeys(THREADS, str(threads)))
        os.environ.update({"WSSS_RUN": run.name, "WSSS_RUN_HASH": now.digest, "WSSS_OUTPUTS": str(project.outputs)})
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        execute_page(project.notebook(run.notebook), folder / NOTEBOOK, run.injected, kernel_lock)
        finish(project, run, now)


@contextmanager
def alone(project: Project, run_id: str):
    """Hold the lock of a run; gives the lock that its kernel is to hold, free at this moment.

    The kernel has a lock of its own because it may outlive a killed runner by a second.
    """
    folder = project.state / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    name = run_id.replace("/", "__")
    with FileLock(folder / f"{name}.lock").acquire(poll_interval=POLL_SECONDS):
        kernel_lock = folder / f"{name}.kernel.lock"
        wait_for_lock(kernel_lock)
        yield kernel_lock


def finished_meanwhile(project: Project, run_id: str, digest: str, since: float) -> bool:
    """Whether another process finished this very run after ``since``, while this one waited for the lock."""
    record = project.record(run_id)
    if record is None or record["hash"] != digest or missing_files(project.folder(run_id)):
        return False
    return (project.folder(run_id) / RECORD).stat().st_mtime >= since


def execute_page(source: Path, page: Path, injected: dict[str, Any], kernel_lock: Path) -> None:
    """Execute ``source`` headless, from its own folder as JupyterLab does, into ``page``.

    Raises:
        RunFailed: with the last line of the error; the page keeps the traceback.
    """
    # short, since socket names have little room; and no settings of the user
    runtime = tempfile.mkdtemp(prefix="wsss-")
    os.environ.update({"JUPYTER_RUNTIME_DIR": runtime, "IPYTHONDIR": f"{runtime}/ipython"})
    import papermill  # after the environment is set, which jupyter reads at import
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)
    guard = f"__import__('wsss_lib.workflow.guard').workflow.guard.hold_lock({str(kernel_lock)!r})"
    try:
        papermill.execute_notebook(
            source,
            page,
            parameters=injected,
            kernel_name="python3",
            language="python",
            cwd=source.parent,
            progress_bar=False,
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{runtime}/socket"}}),
            extra_arguments=[f"--IPKernelApp.exec_lines={[guard]!r}"],
        )
    except papermill.PapermillExecutionError as error:
        raise RunFailed(f"{error.ename}: {_first_line(error.evalue)}") from error
    except Exception as error:  # the kernel died, or could not start; the saved page does not say so
        raise RunFailed(f"{type(error).__name__}: {_first_line(str(error))}") from error
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""


def finish(project: Project, run: PlannedRun, now: Fingerprint) -> None:
    """Render the page, add it to the record that the notebook left, and give the record its name.

    Raises:
        RunFailed: the notebook left no record of this run, or read a run that none of its parameters names, or its page
            cannot be rendered.
    """
    folder = project.folder(run.run_id)
    try:
        record = read_json(folder / DRAFT)
    except FileNotFoundError:
        raise RunFailed("the page ended without run.finish(...) in its last cell") from None
    if undeclared := sorted(record["inputs"].keys() - now.inputs.keys()):
        raise RunFailed(f"the page read {undeclared[0]}, which none of its parameters *_from names")
    scrub(project, folder)
    record["hash"], record["fingerprint"], record["processor"] = now.digest, now.parts, processor()
    try:
        page = executed_page(project, folder)
        texts = rendered(project, run, now.digest, page, inputs=now.inputs, captions=record["captions"])
    except ValueError as error:
        raise RunFailed(f"the page cannot be rendered: {error}") from error
    record["files"] |= {NOTEBOOK: describe(folder / NOTEBOOK)} | write_pages(folder, texts)
    write_json(folder / DRAFT, record)
    os.replace(folder / DRAFT, folder / RECORD)


def processor(listing: Path = Path("/proc/cpuinfo")) -> str:
    """Model of the processor of this machine, and the widest vectors that it knows: last digits of sums follow both."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    named = [known.get("model name") or platform.machine()]
    named += [f"{name} {known[name]}" for name in ("cpu family", "model") if name in known]
    flags = known.get("flags", "").split()
    named += [name for name in ("avx512f", "avx2", "avx") if name in flags][:1]
    return ", ".join(named)


def rendered(
    project: Project,
    run: PlannedRun,
    digest: str,
    notebook: "nbformat.NotebookNode",
    *,
    inputs: Iterable[str],
    captions: Mapping[str, str],
) -> dict[str, str]:
    """Text by file name of the executed page of a finished run as HTML; of a report with links to ``inputs``, and as
    Markdown.

    Args:
        captions: of the figures and tables, by file.
    """
    from wsss_lib.workflow.page import page_html

    folder, note = project.folder(run.run_id), f"{run.run_id} · hash {digest[:12]}"
    texts = {PAGE: page_html(notebook, note)}
    if run.patterns:
        from wsss_lib.workflow.markdown_page import page_markdown

        texts[INDEX] = page_html(notebook, note, pages_of(project, folder, inputs))
        texts[MARKDOWN] = page_markdown(notebook, folder, captions, note)
    return texts


def write_pages(folder: Path, texts: Mapping[str, str]) -> dict[str, Any]:
    """Write pages, by file name, and describe them as a record does."""
    return {name: describe(write_text(folder / name, text)) for name, text in texts.items()}


def scrub(project: Project, folder: Path) -> None:
    """Drop clock times, paths of this machine and a random cell id, which papermill notes in a page, and indents.

    Tables are indented line by line, which is a tenth of a page with many of them. Links to what lies
    beside the source but not beside the page are mended.
    """
    import nbformat

    notebook = executed_page(project, folder)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
        for output in cell.get("outputs", []):
            table = output.get("data", {}).get("text/html", "")
            if table and "<pre" not in table:
                output.data["text/html"] = "\n".join(line.strip() for line in table.splitlines())
    write_text(folder / NOTEBOOK, nbformat.writes(notebook) + "\n")


def executed_page(project: Project, folder: Path) -> "nbformat.NotebookNode":
    """The executed page of a run, a failed one too; links to notebooks and parameters lead there from its folder."""
    import nbformat

    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = prose_in(project, folder, cell.source)
    return notebook


def prose_in(project: Project, folder: Path, source: str) -> str:
    """Prose of a notebook as it reads on a page in ``folder``: links to other notebooks and to ``params/`` lead there.

    Outside the project's folder they would name the folders of this machine: only their texts stay there.
    """

    def from_folder(link: re.Match[str]) -> str:
        return f"[{link[1]}]({Path(os.path.relpath(project.notebooks / link[2], folder)).as_posix()})"

    inside = folder.resolve().is_relative_to(project.root.resolve())
    return LINK.sub(from_folder if inside else r"\1", source)


def pages_of(project: Project, folder: Path, run_ids: Iterable[str]) -> dict[str, str]:
    """Pages of runs by their address from ``folder``: title and run, for those that are there."""
    pages = {run_id: project.folder(run_id) / PAGE for run_id in run_ids}
    return {
        Path(os.path.relpath(page, folder)).as_posix(): f"{project.record(run_id).get('title') or ''} {run_id}".strip()
        for run_id, page in pages.items()
        if page.exists()
    }


def main(plan_file: str, run_id: str, threads: str) -> int:
    plan = read_json(Path(plan_file))
    project = Project(Path(plan["root"]), Path(plan["outputs"]))
    entry = plan["runs"][run_id]
    run = PlannedRun(
        run_id, entry["parameters"], entry["injected"], tuple(entry["inputs"]), tuple(entry["patterns"]), Promise("")
    )
    if plan["local"]:
        die_with(int(os.environ["WSSS_GRAPH_PID"]))
    begun = time.time()
    write_state(project.state, run_id, "running", pid=os.getpid())
    try:
        execute(project, run, threads=int(threads), gpus=plan["gpus"], fresh=entry["fresh"], since=plan["since"])
    except RunFailed as failure:
        with suppress(Exception):  # the page may be unreadable where the kernel died in the middle of a write
            from wsss_lib.workflow.page import page_html

            folder = project.folder(run_id)
            write_pages(folder, {PAGE: page_html(executed_page(project, folder), f"{run_id} · failed")})
        write_state(project.state, run_id, "failed", error=str(failure), seconds=time.time() - begun)
        return 1
    except OSError as error:
        write_state(project.state, run_id, "failed", error=str(error), seconds=time.time() - begun)
        return 1
    write_state(project.state, run_id, "done", seconds=time.time() - begun)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
