"""What a training shows while it runs: one bar for people who watch, a few plain lines for pages."""

import math
import os
import sys
from typing import Any

from tqdm import tqdm
from tqdm.auto import tqdm as tqdm_for_notebooks

MOST_LINES = 12


class Progress:
    """One line in a terminal or JupyterLab; with ``$WSSS_HEADLESS`` or without a terminal at most 12 printed lines.

    Args:
        shown: whether to show anything.
        first_epoch, last_epoch: of this training, counted from 0; ``last_epoch`` is the first one not to be run.
        done, total: optimizer steps done and in all; ``total`` is None where the loader does not know its length.
        widgets: whether the front end can draw a bar of its own (it cannot for another process).
    """

    def __init__(
        self, shown: bool, first_epoch: int, last_epoch: int, *, done: int, total: int | None, widgets: bool = True
    ):
        self.lines = shown and (bool(os.environ.get("WSSS_HEADLESS")) or not (sys.stderr.isatty() or _in_notebook()))
        self.first_epoch, self.last_epoch = first_epoch, last_epoch
        self.scores = ""
        self.bar = None
        if shown and not self.lines:
            bar = tqdm_for_notebooks if widgets else tqdm
            self.bar = bar(total=total, initial=done, unit="step", mininterval=0.5, dynamic_ncols=True)
        if self.lines and done:
            _print(f"resumed after {done} steps")

    def step(self, row: dict[str, Any]) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {row['epoch'] + 1}/{self.last_epoch}", refresh=False)
            self.bar.set_postfix_str(f"total {row['total']:.4g}{self.scores}", refresh=False)
            self.bar.update()

    def epoch(self, row: dict[str, Any], scores: dict[str, float], lr: float, last: bool) -> None:
        self.scores = "".join(f", {name} {value:.4g}" for name, value in scores.items())
        every = math.ceil((self.last_epoch - self.first_epoch) / MOST_LINES)
        if self.lines and (last or (row["epoch"] + 1 - self.first_epoch) % every == 0):
            _print(
                f"epoch {row['epoch'] + 1}/{self.last_epoch}: total {row['total']:.4g}, lr {lr:.3g}{self.scores}, "
                f"{row['seconds']:.1f} s"
            )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")  # in one piece: lines of other processes reach a notebook piece by piece
    sys.stdout.flush()
