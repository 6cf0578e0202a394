"""Values of the authors' own code: read one golden file, and compare with it so that the comparison can fail."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

COMMITTED = Path(__file__).parent / "golden"


def conforms(name: str) -> pytest.MarkDecorator:
    """Mark the one test of golden file ``<paper>/<file>``; the test takes the fixture ``golden``."""
    return pytest.mark.conforms(name)


class Golden:
    """One golden file: arrays ``in_*`` and ``out_*``, and the dictionary ``meta``; it knows which arrays were read."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as stored:
            self.arrays = {key: stored[key] for key in stored.files if key != "meta"}
            self.meta: dict[str, Any] = json.loads(str(stored["meta"]))
        self.path = path
        self._read: set[str] = set()
        self.params: dict[str, Any] = self.meta.get("params", {})
        self.cases: list[str] = self.meta.get("cases", [])

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def __getitem__(self, key: str) -> np.ndarray:
        self._read.add(key)
        return self.arrays[key]

    def unread(self) -> list[str]:
        """Arrays of the authors' results that nobody has asked for."""
        return [key for key in self.arrays if key.startswith("out_") and key not in self._read]

    def tensor(self, key: str) -> Tensor:
        """The array as a tensor that owns its memory."""
        return torch.from_numpy(np.array(self[key]))

    def double(self, key: str) -> Tensor:
        return self.tensor(key).double()

    def series(self, prefix: str) -> list[np.ndarray]:
        """The arrays ``<prefix>_0``, ``<prefix>_1``, ... in order."""
        found = []
        while f"{prefix}_{len(found)}" in self.arrays:
            found.append(self[f"{prefix}_{len(found)}"])
        return found

    def check(self, key: str, value: Any, *, rtol: float | None = None, atol: float | None = None) -> None:
        """Assert that ``value`` equals the stored array within the tolerance of the file.

        Zeros, and the mean of the stored array everywhere, must not pass the same comparison.
        """
        expected = self[key]
        value = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        rtol = self.meta.get("rtol", 0) if rtol is None else rtol
        atol = self.meta.get("atol", 0) if atol is None else atol
        assert value.shape == expected.shape, (
            f"{self.path.name}: {key} has shape {value.shape}, stored {expected.shape}"
        )
        if expected.dtype.kind in "US":
            assert value.tolist() == expected.tolist(), f"{self.path.name}: {key} differs"
            return
        near = {"rtol": rtol, "atol": atol, "equal_nan": True}  # a stored NaN is a value of the authors' code
        expected = expected.astype(np.float64)
        np.testing.assert_allclose(value.astype(np.float64), expected, err_msg=f"{self.path.name}: {key}", **near)
        if expected.size and np.nanmax(np.abs(expected)) > 0:
            zeros = np.where(np.isnan(expected), np.nan, 0.0)
            assert not np.allclose(zeros, expected, **near), f"{self.path.name}: zeros would pass for {key}"
        if np.unique(expected[~np.isnan(expected)]).size > 1:
            flat = np.where(np.isnan(expected), np.nan, np.nanmean(expected))
            assert not np.allclose(flat, expected, **near), f"{self.path.name}: a constant would pass for {key}"


def names_with_a_test() -> list[str]:
    """Golden files named by a ``@conforms("<paper>/<file>")`` in the test sources."""
    names = []
    for source in sorted(Path(__file__).parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "conforms":
                names += [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return names
