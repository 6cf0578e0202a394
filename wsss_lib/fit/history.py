"""What a training has been through, as tables."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor

STEP_COLUMNS = ("step", "epoch", "lr", "total", "gradient_norm")
EPOCH_COLUMNS = ("epoch", "step", "seconds", "total")


@dataclass(frozen=True)
class History:
    """Tables of a training, ready for a figure.

    Attributes:
        steps: one row per optimizer step: ``step`` and ``epoch`` counted from 0, ``lr`` of the first parameter group,
            each loss term and their ``total`` (means over the images of the step), ``gradient_norm`` before clipping.
        epochs: one row per epoch: ``epoch``, ``step`` (optimizer steps done), ``seconds``, ``total`` (mean over its
            steps), and the scores; NaN in epochs without evaluation.
        best_epoch: epoch of the best score, whose weights the network holds; None where no best was asked for.
        best_score: that score.
        seconds: time in the loop, evaluation and interrupted runs included.
    """

    steps: pd.DataFrame
    epochs: pd.DataFrame
    best_epoch: int | None
    best_score: float | None
    seconds: float


@dataclass
class State:
    """Where a training stands: all that a checkpoint keeps besides the network and the optimizer. Plain values only.

    Attributes:
        epoch, step: epochs and optimizer steps done.
        batch: batches done of the epoch under way.
        stopped: no better score for as long as patience lasted.
        epoch_began: ``seconds`` when the epoch under way began.
        evaluations_since_best: for early stopping.
        steps, epochs: rows of the history.
        random_states: of each process, within an epoch; None between epochs, since each epoch seeds anew.
        scaler: state of the gradient scaler of 16-bit precision, else empty.
    """

    seed: int
    processes: int
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    stopped: bool = False
    epoch_began: float = 0.0
    best_epoch: int | None = None
    best_score: float | None = None
    best_weights: dict[str, Tensor] | None = None
    evaluations_since_best: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    random_states: list[dict[str, Any]] | None = None
    scaler: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def after(cls, history: History | None, seed: int, processes: int) -> "State":
        """The beginning, or, with a history, the point where that training ended."""
        if history is None:
            return cls(seed, processes)
        steps, epochs = history.steps.to_dict("records"), history.epochs.to_dict("records")
        state = cls(seed, processes, epoch=len(epochs), step=len(steps), steps=steps, epochs=epochs)
        state.seconds = state.epoch_began = history.seconds
        return state

    def history(self) -> History:
        steps = _table(self.steps, STEP_COLUMNS, last=("total", "gradient_norm"))
        return History(steps, _table(self.epochs, EPOCH_COLUMNS), self.best_epoch, self.best_score, self.seconds)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...], last: tuple[str, ...] = ()) -> pd.DataFrame:
    """Rows as a table: the given columns first, those in ``last`` at the end, terms or scores between or after."""
    others = list(dict.fromkeys(name for row in rows for name in row if name not in columns))
    first = [name for name in columns if name not in last]
    return pd.DataFrame(rows, columns=[*first, *others, *last])
