"""Cells of the notebooks, and the training steps that stand in them, for tests of what users run."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from wsss_lib.parameters import read_parameters
from wsss_lib.paths import NOTEBOOKS


def cells(path: Path, kind: str) -> list[str]:
    """Sources of the cells of a notebook that are "code" or "markdown"."""
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def steps_of(
    stem: str, values: dict[str, Any], stand_ins: dict[str, Any], settings: str | None = None
) -> list[Callable[..., dict[str, Tensor]]]:
    """The functions ``step`` of a notebook, in order; of its other cells only the imports are executed.

    Args:
        stem: name of the notebook.
        values: of its parameters, in place of the defaults.
        stand_ins: what takes the place of names that the notebook imports, or makes in other cells.
        settings: text of a cell that is executed too.
    """
    path = NOTEBOOKS / f"{stem}.ipynb"
    _, imports, *others = cells(path, "code")
    lines = [line for line in ast.parse(imports).body if isinstance(line, ast.Import | ast.ImportFrom)]
    names = read_parameters(path).validate(values)
    exec(compile(ast.Module(lines, type_ignores=[]), stem, "exec"), names)
    names |= stand_ins
    steps = []
    for cell in others:
        if "def step(" in cell or (settings and settings in cell):
            exec(cell, names)
        if "def step(" in cell:
            steps.append(names["step"])
    return steps
