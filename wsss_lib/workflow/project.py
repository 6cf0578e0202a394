"""Where the parts of a project lie, and the error for a name that does not exist."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import wsss_lib
from wsss_lib.files import RECORD, read_json
from wsss_lib.paths import PROJECT, outputs_root

PROFILES = ("smoke", "demo", "photos", "paper")


class PlanError(ValueError):
    """A command that names what does not exist; the message lists what does."""


def unknown(kind: str, name: str, known: Iterable[str]) -> PlanError:
    """An error for a name that does not exist, with the nearest one and all known ones.

    >>> unknown("profile", "demoo", ["smoke", "demo"])
    PlanError("unknown profile 'demoo' (did you mean demo?); known: smoke, demo")
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return PlanError(f"unknown {kind} {name!r}{hint}; known: {', '.join(known)}")


@dataclass(frozen=True)
class Project:
    """Notebooks, parameter files, library and outputs of one project."""

    root: Path = PROJECT
    outputs: Path = field(default_factory=outputs_root)

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def params(self) -> Path:
        return self.root / "params"

    @property
    def library(self) -> Path:
        own = self.root / "wsss_lib"
        return own if own.is_dir() else Path(wsss_lib.__file__).parent

    @property
    def state(self) -> Path:
        """Folder of the workflow itself: plan, states of runs, locks, snakemake's notes and log."""
        return self.outputs / ".workflow"

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """Notebooks that have parameter files, in order."""
        found = (path.stem for path in self.notebooks.glob("[0-9]*_*.ipynb"))
        return tuple(sorted(stem for stem in found if (self.params / stem).is_dir()))

    def files(self, notebook: str) -> list[str]:
        """Names of the parameter files of a notebook, without the ending."""
        return sorted(path.stem for path in (self.params / notebook).glob("*.yaml"))

    def notebook(self, stem: str) -> Path:
        return self.notebooks / f"{stem}.ipynb"

    def folder(self, run_id: str) -> Path:
        return self.outputs / run_id

    def record(self, run_id: str) -> dict[str, Any] | None:
        """Record of a run, or ``None`` where there is none that can be read."""
        try:
            return read_json(self.folder(run_id) / RECORD)
        except (OSError, ValueError):
            return None
