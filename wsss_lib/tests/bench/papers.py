"""Two steps of every paper parameter file, with its real network and crop, on stand-ins of its data sets on the CPU."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from wsss_lib.files import RECORD, read_json, write_text
from wsss_lib.parameters import read_parameters
from wsss_lib.paths import PARAMS, PROJECT
from wsss_lib.tests.bench.stand_ins import write_stand_ins
from wsss_lib.workflow.plan import Request, make_plan
from wsss_lib.workflow.project import Project

SMALL = {
    "max_steps": "2",
    "max_images": "2",
    "num_masks": "1",
    "share": "0.5",  # of two images with boxes
    "shares": "[1.0, 0.5]",
    "batch_size": "2",
    "epochs": "2",
    "guided_epochs": "2",
    "min_count": "1",
    "weights": "",
    "teacher_weights": "",
    "checkpoint": "",
    "freeze_batch_norm": "false",  # without weights its numbers would be those of no data, and the sums overflow
    "precision": "32-true",
    "processes": "1",
    "num_workers": "0",
    "scales": "[0.5]",  # of the maps; training keeps the papers' crops
}

COST = re.compile(r"^(# takes: .*\([^)]*?)(?:; not run|; two (?:[^;)]* )?images: [^)]*)?\)$", re.M)


def small_runs(project: Project, only: str = "") -> list[list[str]]:
    """Words of the commands that run the paper files: of all notebooks, or of one with the runs that it needs.

    One command is for the runs that train; another, which leaves the epochs as they are, for those that load what the
    authors trained (``epochs: 0``) and those that read them.

    Args:
        only: a notebook, or one run of it; the runs that it needs are named too, so that they are small as well.

    Raises:
        PlanError: there is no such notebook, or it has no paper file.
    """
    plan = make_plan(project, Request("paper", (only,) if only else (), grid=True))
    released: list[str] = []
    for name, run in plan.items():  # each after its inputs
        if run.parameters.get("epochs") == 0 or not {*released}.isdisjoint(run.inputs):
            released.append(name)
    trained = [] if only in released else [name for name in plan if name not in released]
    commands = [_small_command(project, trained, SMALL)]
    if released:
        plan = make_plan(project, Request("paper", tuple(released)))
        commands.append(_small_command(project, plan, {k: v for k, v in SMALL.items() if k != "epochs"}))
    return [command for command in commands if command]


def _small_command(project: Project, runs: Iterable[str], small: dict[str, str]) -> list[str]:
    notebooks = {run.partition("/")[0] for run in runs}
    known = {name for notebook in notebooks for name in read_parameters(project.notebook(notebook)).names}
    settings = [word for name, value in small.items() if name in known for word in ("--set", f"{name}={value}")]
    return ["paper", "--grid", *settings, "--only", *runs] if notebooks else []


def with_cost(text: str, seconds: float, threads: int, megabytes: float, *, trained: bool = True) -> str:
    """Text of a paper parameter file, whose line ``# takes: ...`` says between its brackets what two steps took.

    The text stays as it is where that line ends without brackets, which mark a guess: it has been measured whole.

    >>> with_cost("# takes: 10 h, 900 MB; one GPU with 11 GB (a guess; not run)", 97.4, 1, 4870)
    '# takes: 10 h, 900 MB; one GPU with 11 GB (a guess; two training steps on two images: 97 s of one thread, 4.9 GB)'
    """
    by = "one thread" if threads == 1 else f"{threads} threads"
    what = "two training steps on two images" if trained else "two images"
    cost = f"{what}: {seconds:.0f} s of {by}, {megabytes / 1000:.1f} GB"
    return COST.sub(rf"\1; {cost})", text)


def run_papers(only: str = "", show: Callable[[str], object] = print, *, write: bool = False) -> bool:
    """Run them all, or those of one notebook, and show seconds and memory; whether every one came to its end.

    Args:
        write: also write them into the heads of the parameter files.
    """
    with tempfile.TemporaryDirectory() as temporary:
        data, outputs = Path(temporary) / "data", Path(temporary) / "outputs"
        write_stand_ins(data)
        environment = os.environ | {"WSSS_DATA": str(data), "WSSS_OUTPUTS": str(outputs)}
        codes = [
            subprocess.run([sys.executable, "-m", "wsss_lib.workflow", *words], cwd=PROJECT, env=environment).returncode
            for words in small_runs(Project(outputs=outputs), only)
        ]
        show(f"{'paper parameter file, two steps and two images a split':<52} {'seconds':>9} {'peak MB':>9}")
        for path in sorted(outputs.glob(f"*/paper*/{RECORD}")):
            record = read_json(path)
            show(f"{record['run']:<52} {record['seconds']:9.1f} {record['peak_memory_mb']:9d}")
            if write:
                file = PARAMS / f"{record['run']}.yaml"
                cost = record["seconds"], record["threads"], record["peak_memory_mb"]
                trained = "max_steps" in record["parameters"] and record["parameters"]["epochs"] != 0
                write_text(file, with_cost(file.read_text(encoding="utf-8"), *cost, trained=trained))
    return not any(codes)
