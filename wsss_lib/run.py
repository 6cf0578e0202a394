"""One run of a notebook: parameters checked, seeds set, files and scores gathered, the record written last."""

import io
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import torch
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from wsss_lib.files import (
    DRAFT,
    PAGES,
    RECORD,
    list_files,
    missing_files,
    read_json,
    write_file,
    write_json,
    write_text,
)
from wsss_lib.parameters import ParameterError, read_parameters
from wsss_lib.paths import NOTEBOOKS, PROJECT, run_folder

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pillow", "matplotlib", "pandas", "scikit-learn", "papermill")
FIGURE_DPI = 88
FIGURE_COLORS = 96


def start_run(notebook: str, namespace: dict[str, Any]) -> "Run":
    """Check the parameters in ``namespace`` against the notebook's parameters cell and begin a run.

    Args:
        notebook: stem of the notebook file, for example ``10_cam``.
        namespace: ``globals()`` of the notebook; values are converted to their declared types in place.

    Raises:
        ParameterError: a parameter is missing, of the wrong type or out of its range.
    """
    spec = read_parameters(NOTEBOOKS / f"{notebook}.ipynb")
    if missing := [name for name in spec.names if name not in namespace]:
        raise ParameterError(f"{notebook}: parameter {missing[0]!r} is not set; run the parameters cell first")
    parameters = spec.validate({name: namespace[name] for name in spec.names})
    namespace.update(parameters)
    return Run(notebook, os.environ.get("WSSS_RUN") or "lab", parameters, spec.title)


class Run:
    """What a notebook needs to know of its run, and what it leaves behind.

    Attributes:
        folder: where everything of this run lies, ``outputs/<notebook>/<name>``.
        seed: the parameter ``seed`` (0 where the notebook has none).
        device: the first GPU if there is one, else the CPU.
        checkpoint: folder for the training loop's checkpoints; ``None`` in JupyterLab, where the code may have changed.
    """

    def __init__(self, notebook: str, name: str, parameters: dict[str, Any], title: str = ""):
        self.notebook, self.name, self.parameters, self.title = notebook, name, parameters, title
        self.folder = run_folder(f"{notebook}/{name}")
        self.hash = os.environ.get("WSSS_RUN_HASH")
        self.headless = bool(os.environ.get("WSSS_HEADLESS"))
        self.checkpoint = self.folder / f".checkpoint-{self.hash[:12]}" if self.hash else None
        self.seed = int(parameters.get("seed", 0))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._captions: dict[str, str] = {}
        self._inputs: dict[str, str | None] = {}
        self._data: dict[str, str] = {}
        self._empty_folder()
        self._seed_everything()
        self._begun = time.perf_counter()
        print(f"{notebook}/{name}: seed {self.seed}, {self.device.type}, {torch.get_num_threads()} threads")

    def _empty_folder(self) -> None:
        """Remove what an earlier run left, its record first; keep the page being written and this run's checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for record in (RECORD, DRAFT):
            (self.folder / record).unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name in PAGES or path == self.checkpoint or path.suffix == ".lock":
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _seed_everything(self) -> None:
        if threads := os.environ.get("WSSS_THREADS"):
            torch.set_num_threads(int(threads))
        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and nothing reads such memory

    def input(self, run_id: str) -> Path:
        """Folder of an earlier run whose files this run reads; noted in the record with its hash.

        In JupyterLab a missing run is made on the spot, with the profile that its name begins with.

        Raises:
            FileNotFoundError: the run is not finished, or files of it are gone; the message names the command.
        """
        folder = run_folder(run_id)
        notebook, name = run_id.split("/")
        profile = name.split("-")[0].split("_")[0]
        lacking = missing_files(folder)
        if lacking and not self.headless:
            print(f"{run_id} is not there ({lacking[0]}); running the {profile} profile of {notebook} first")
            subprocess.run(
                [sys.executable, "-m", "wsss_lib.workflow", profile, "--only", notebook], check=True, cwd=PROJECT
            )
            lacking = missing_files(folder)
        if lacking:
            raise FileNotFoundError(
                f"{run_id} is not finished ({lacking[0]} is missing); "
                f"run `./run_all.sh {profile} --only {notebook}` first"
            )
        self._inputs[run_id] = read_json(folder / RECORD)["hash"]
        return folder

    def cite(self, record: dict[str, Any]) -> None:
        """Note an earlier run of which only the record is read."""
        self._inputs[record["run"]] = record["hash"]

    def uses(self, dataset: Any, split: str) -> None:
        """Note the fingerprint of a data set's split in the record."""
        self._data[split] = dataset.fingerprint()

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save a figure as ``<name>.png`` of few colors, and show it with its caption.

        Photographs and maps take a quarter of the bytes that way, and pages hold several of them in 350 KB.
        """
        drawn, stored = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=FIGURE_DPI)
        figure.clear()
        PIL.Image.open(drawn).convert("RGB").quantize(FIGURE_COLORS).save(stored, "png", optimize=True)
        write_file(self.folder / f"{name}.png", lambda stream: stream.write(stored.getvalue()))
        display(Image(stored.getvalue(), alt=caption))
        self._caption(f"{name}.png", "Figure", caption)

    def table(self, table: pd.DataFrame | Styler, name: str, caption: str) -> None:
        """Save a table as ``<name>.csv`` and ``<name>.md``, and show it, styled if it is, with its caption."""
        frame = table.data if isinstance(table, Styler) else table
        write_text(self.folder / f"{name}.csv", frame.to_csv())
        write_text(self.folder / f"{name}.md", frame.to_markdown(floatfmt=".1f") + f"\n\n{caption}\n")
        display(table)
        self._caption(f"{name}.csv", "Table", caption)

    def _caption(self, file: str, kind: str, caption: str) -> None:
        self._captions[file] = caption
        number = sum(known.endswith(Path(file).suffix) for known in self._captions)
        display(Markdown(f"**{kind} {number}.** {caption}"))

    def finish(self, **scores: float | dict[str, float]) -> None:
        """Write the record: parameters, scores, inputs, versions, time, and every file and folder with size and hash.

        Args:
            scores: numbers by name (percent where they are shares), or named groups of them; NaN is stored as null.
        """
        if self.checkpoint:
            shutil.rmtree(self.checkpoint, ignore_errors=True)
        record = {
            "run": f"{self.notebook}/{self.name}",
            "title": self.title,
            "hash": self.hash,
            "parameters": self.parameters,
            "scores": _without_nan(scores),
            "inputs": self._inputs,
            "data": self._data,
            "captions": self._captions,
            "seconds": round(time.perf_counter() - self._begun, 1),
            "peak_memory_mb": _peak_memory(),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "git": _git_state(),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
            "files": list_files(self.folder),
        }
        write_json(self.folder / (DRAFT if self.headless else RECORD), record)
        print(f"{record['run']}: {len(record['files'])} files, {record['seconds']} s, {record['peak_memory_mb']} MB")


def _without_nan(scores: dict[str, Any]) -> dict[str, Any]:
    """Plain floats, with null for NaN."""
    plain: dict[str, Any] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            plain[name] = _without_nan(value)
        else:
            plain[name] = None if value is None or np.isnan(float(value)) else round(float(value), 4)
    return plain


def _peak_memory() -> int:
    """Most memory this process held, MB, its GPU's memory included."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return round(resident + (torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0))


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout and whether sources differ from it; ``None`` outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", "wsss_lib", "notebooks", "params")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None
