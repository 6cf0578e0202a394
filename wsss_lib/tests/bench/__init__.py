"""Speed of the library against the plain way of doing the same: ``python -m wsss_lib.tests.bench [--only NAME]``.

A file ``bench_<topic>.py`` of this folder registers its operations:

    @benchmark("confusion matrix", ratio=5)
    def confusion():
        masks = ...                                   # set-up, not timed
        return lambda: loop(masks), lambda: confusion_matrix(masks)

Both forms run in turns in one process, so that a busy machine slows both; the fastest of five counts, and the
results of both must agree.
"""

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

REPEATS = 5

Form = Callable[[], object]


@dataclass(frozen=True)
class Benchmark:
    """One operation, and what its fast form has to reach: a ratio slow / fast, a number of seconds, or both."""

    name: str
    forms: Callable[[], tuple[Form, Form]]
    ratio: float | None = None
    seconds: float | None = None
    tolerance: float = 1e-3
    repeats: int = REPEATS

    @property
    def to_reach(self) -> str:
        goals = {"x": self.ratio, "s": self.seconds}
        return " and ".join(f"{goal:g} {unit}" for unit, goal in goals.items() if goal is not None)

    def reached(self, slow: float, fast: float) -> bool:
        """Whether the seconds of both forms meet every goal."""
        return (self.ratio is None or slow / fast >= self.ratio) and (self.seconds is None or fast <= self.seconds)


REGISTERED: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    *,
    ratio: float | None = None,
    seconds: float | None = None,
    tolerance: float = 1e-3,
    repeats: int = REPEATS,
) -> Callable[[Callable[[], tuple[Form, Form]]], Callable[[], tuple[Form, Form]]]:
    """Register the decorated function, which sets up one operation and returns its slow and its fast form.

    Args:
        name: of the operation, with the size it is measured at.
        ratio: how many times faster the fast form must be.
        seconds: how long the fast form may take on one core.
        tolerance: how far the results may differ, of the largest value.
        repeats: turns of both forms; fewer where one takes many seconds.
    """

    if ratio is None and seconds is None:
        raise ValueError(f"benchmark {name!r} has nothing to reach; give ratio or seconds")

    def register(forms: Callable[[], tuple[Form, Form]]) -> Callable[[], tuple[Form, Form]]:
        if name in REGISTERED:
            raise ValueError(f"there are two benchmarks {name!r}")
        REGISTERED[name] = Benchmark(name, forms, ratio, seconds, tolerance, repeats)
        return forms

    return register


def load_benchmarks() -> dict[str, Benchmark]:
    """All benchmarks of the files ``bench_<topic>.py``, by name."""
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("bench_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return REGISTERED


def measure(slow: Form, fast: Form, repeats: int = REPEATS, tolerance: float = 1e-3) -> tuple[float, float]:
    """Seconds of both forms, run in turns: the least of ``repeats``.

    Raises:
        AssertionError: the two forms do not compute the same, to ``tolerance`` of the largest value.
    """
    best, results = [float("inf")] * 2, [None] * 2
    for _ in range(repeats):
        for place, form in enumerate((slow, fast)):
            start = time.perf_counter()
            results[place] = form()
            best[place] = min(best[place], time.perf_counter() - start)
    expected, found = map(np.asarray, results)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    return best[0], best[1]


def run_benchmarks(chosen: Iterable[Benchmark], show: Callable[[str], object] = print) -> bool:
    """Measure and show one line each; whether all of them reach their goals."""
    everything = True
    show(f"{'operation':<52} {'slow s':>9} {'fast s':>9} {'ratio':>7}   {'to reach':<16} ok")
    for one in chosen:
        torch.manual_seed(0)  # the same inputs every time
        slow, fast = measure(*one.forms(), one.repeats, one.tolerance)
        reached = one.reached(slow, fast)
        everything &= reached
        numbers = f"{slow:9.4f} {fast:9.4f} {slow / fast:7.2f}"
        show(f"{one.name:<52} {numbers}   {one.to_reach:<16} {'yes' if reached else 'NO'}")
    return everything
