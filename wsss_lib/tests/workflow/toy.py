"""A project in small: the real workflow, and notebooks that take a moment.

It has a copy of the light part of the library, a stand-in for ``wsss_lib.run`` without torch, two steps to import, and
five notebooks: 10_cam; 16_affinity reads it; 20_break fails when told to; 21_after reads that one; 90_report gathers.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import wsss_lib
from wsss_lib.workflow.project import Project

LIBRARY = Path(wsss_lib.__file__).parent
LIGHT = ("__init__.py", "files.py", "parameters.py", "paths.py")

RUN = '''"""A run without torch: what the real one leaves behind."""
import os
import time
from wsss_lib.files import DRAFT, RECORD, list_files, read_json, write_file, write_json
from wsss_lib.paths import run_folder

class Run:
    def __init__(self, notebook, parameters):
        self.notebook, self.parameters, self.inputs = notebook, parameters, {}
        self.folder = run_folder(f"{notebook}/{os.environ['WSSS_RUN']}")
        (self.folder / RECORD).unlink(missing_ok=True)

    def input(self, run_id):
        self.inputs[run_id] = read_json(run_folder(run_id) / RECORD)["hash"]
        return run_folder(run_id)

    def write(self, name, text, pause=0.0):
        content = text.encode()
        half = len(content) // 2

        def write_halves(stream):
            stream.write(content[:half])
            stream.flush()
            time.sleep(pause)
            stream.write(content[half:])

        write_file(self.folder / name, write_halves)

    def finish(self, **scores):
        record = {"hash": os.environ["WSSS_RUN_HASH"], "parameters": self.parameters, "scores": scores}
        record |= {"inputs": self.inputs, "captions": {}, "seconds": 1.5, "files": list_files(self.folder)}
        write_json(self.folder / DRAFT, record)

def start_run(notebook, namespace):
    names = ("seed", "seconds", "sizes", "maps_from", "runs_from", "fail", "weights_from", "data", "masks")
    return Run(notebook, {name: namespace[name] for name in names if name in namespace})
'''

PARAMETERS = {
    "10_cam": "seed: int = 0  # in [0, inf); random seed\n"
    "seconds: float = 0.0  # in [0, inf); s; time between the halves of a file\n"
    'sizes: list[int] = [1]  # px\nweights_from: str = ""  # run\ndata: str = "toy"  # data set\n'
    'masks: str = "all"  # one of all, none',
    "16_affinity": 'seed: int = 0  # in [0, inf); random seed\nmaps_from: str = "10_cam/smoke"  # run',
    "20_break": 'seed: int = 0  # in [0, inf); random seed\nfail: str = ""  # one of , cell, kernel, finish',
    "21_after": 'seed: int = 0  # in [0, inf); random seed\nmaps_from: str = "20_break/smoke"  # run',
    "90_report": 'seed: int = 0  # in [0, inf); random seed\nruns_from: str = "*/smoke*"  # pattern of runs',
}
BODY = {
    "10_cam": [
        "import os, time\nfrom wsss_lib.maps.cam import score\nbegun = time.time()",
        'run.write("maps/a.npz", f"{score(seed)} {sizes}", pause=seconds)\n'
        'run.write("when.csv", f"{begun} {time.time()} {os.environ.get(\'CUDA_VISIBLE_DEVICES\')} '
        "{os.environ['OMP_NUM_THREADS']}\")",
    ],
    "16_affinity": ['run.write("labels.csv", (run.input(maps_from) / "maps/a.npz").read_text())'],
    "20_break": [
        'if fail == "cell":\n    raise ValueError("the maps are empty")\nif fail == "kernel":\n'
        '    import os\n    os._exit(1)\nif fail == "finish":\n    run.finish = lambda **scores: None',
    ],
    "21_after": ['run.write("labels.csv", str(run.input(maps_from)))'],
    "90_report": [
        "from wsss_lib.paths import outputs_root\nfound = sorted(str(p.parent.relative_to(outputs_root())) "
        'for p in outputs_root().glob(f"{runs_from}/record.json"))',
        'run.write("runs.csv", "\\n".join(found))',
    ],
}


def cell(source: str, *tags: str) -> dict:
    return {"cell_type": "code", "id": None, "metadata": {"tags": list(tags)}, "source": source, "outputs": []} | {
        "execution_count": None
    }


def write_notebook(path: Path, parameters: str, body: list[str]) -> None:
    """A notebook with title, parameters cell, ``start_run``, body and ``run.finish``."""
    start = f'from wsss_lib.run import start_run\nrun = start_run("{path.stem}", globals())'
    code = [cell(parameters, "parameters"), cell(start), *map(cell, body), cell("run.finish(done=1.0)")]
    cells = [{"cell_type": "markdown", "metadata": {}, "source": f"# Toy {path.stem}\n\n$x_k$"}, *code]
    for number, made in enumerate(cells):
        made["id"] = f"cell-{number}"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


class Toy:
    """The small project and ways to work with it."""

    def __init__(self, root: Path):
        self.root = root
        self.project = Project(root, root / "outputs")
        library = root / "wsss_lib"
        (library / "maps").mkdir(parents=True)
        for name in LIGHT:
            shutil.copy(LIBRARY / name, library / name)
        shutil.copytree(LIBRARY / "workflow", library / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
        self.write("wsss_lib/run.py", RUN)
        self.write("wsss_lib/maps/__init__.py", "")
        self.write("wsss_lib/maps/cam.py", "from wsss_lib.maps import weights\n\n\ndef score(x):\n    return x\n")
        self.write("wsss_lib/maps/weights.py", '"""Weights."""\n\nWEIGHT = 1\n')
        for stem, parameters in PARAMETERS.items():
            write_notebook(root / f"notebooks/{stem}.ipynb", parameters, BODY[stem])
            for profile in ("smoke", "demo"):
                self.params(stem, profile)
        self.params("16_affinity", "demo", maps_from="10_cam/demo")
        self.params("21_after", "demo", maps_from="20_break/demo")
        self.params("90_report", "demo", runs_from="*/demo*")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def params(self, stem: str, file: str, takes: str = "2 s, 1 MB", **values: object) -> None:
        """Write a parameter file."""
        lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
        self.write(f"params/{stem}/{file}.yaml", "\n".join([f"# takes: {takes}", *lines]) + "\n")

    def record(self, run_id: str) -> dict | None:
        return self.project.record(run_id)

    def file(self, run_id: str, name: str) -> Path:
        return self.project.folder(run_id) / name

    def environment(self, **more: str) -> dict[str, str]:
        """Environment of the small project's processes, without what the surrounding test run set for itself."""
        own = ("WSSS_", "SLURM_", "OMP_NUM_THREADS")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return clean | {"PYTHONPATH": str(self.root), "CUDA_VISIBLE_DEVICES": ""} | more

    def start(self, *words: str, **more: str) -> subprocess.Popen:
        """``run_all.sh`` with these words, in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "wsss_lib.workflow", *words],
            cwd=self.root,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **more: str) -> tuple[int, str]:
        """Exit code and what was printed."""
        process = self.start(*words, **more)
        printed, _ = process.communicate(timeout=500)
        return process.returncode, printed

    def stale(self, *words: str) -> set[str]:
        """Runs that --list says would run."""
        code, printed = self.run(*words, "--list")
        assert code == 0, printed
        return {line.split()[2] for line in printed.splitlines() if line.startswith("would run")}


def wait_until(condition, seconds: float = 240) -> None:
    """Return once ``condition()`` holds."""
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.1)
