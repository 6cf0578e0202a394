"""The training loop: batches to loss terms, terms to gradients, gradients to a step; scores after each epoch."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.fit.checkpoint import load_checkpoint, save_checkpoint
from wsss_lib.fit.history import EPOCH_COLUMNS, STEP_COLUMNS, State
from wsss_lib.fit.processes import Flag, NotFiniteError, average_gradients, gather, samplers_with, share_of
from wsss_lib.fit.progress import Progress
from wsss_lib.fit.randomness import random_state, seed_epoch, set_random_state

Step = Callable[[nn.Module, Any], Mapping[str, Tensor]]
Evaluate = Callable[[nn.Module, int], Mapping[str, float]]

MOST_SKIPPED_STEPS = 20  # one after the other, by the gradient scaler, which halves its scale each time


@dataclass(kw_only=True)
class Loop:
    """A training under way: arguments of :func:`wsss_lib.fit.fit`, and the state that changes.

    Attributes:
        first_epoch, first_step: where this call begins, the counts of earlier calls included.
        last_epoch, last_step: where it ends; these are not run any more.
        scaled: the precision scales losses, and steps with infinite gradients are skipped.
        path: of the checkpoint.
    """

    network: nn.Module
    step: Step
    loader: Any
    optimizer: Optimizer
    state: State
    first_epoch: int
    last_epoch: int
    first_step: int
    last_step: float
    schedule: Callable[[int], float] | None
    clip_norm: float | None
    accumulate: int
    scaled: bool
    evaluate: Evaluate | None
    every: int
    keep_best: tuple[str, str] | None
    patience: int | None
    path: Path | None
    checkpoint_seconds: float
    progress: bool
    channels_last: bool

    @property
    def finished(self) -> bool:
        state = self.state
        return state.stopped or state.epoch >= self.last_epoch or state.step >= self.last_step

    def run(self, fabric: Fabric, interrupted: Flag) -> None:
        """All epochs that are left; every process calls it."""
        self.fabric, self.interrupted = fabric, interrupted
        self._move_to_device()
        if self.finished:
            return
        self.fabric_optimizer = fabric.setup_optimizers(self.optimizer)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]
        self.loader = share_of(fabric, self.loader)
        self.skipped_steps = 0
        self.clock = self.saved = time.perf_counter()
        self.shown = self._progress()
        try:
            while not self.finished:
                self._train_epoch()
                self._end_epoch()
            self._save()
        finally:
            self.shown.close()
            self.optimizer.zero_grad()
        if interrupted.value:
            raise KeyboardInterrupt

    def _move_to_device(self) -> None:
        self.network.to(self.fabric.device)
        if self.channels_last:
            self.network.to(memory_format=torch.channels_last)
        if self.fabric.device.type != "cpu":
            self.optimizer.load_state_dict(self.optimizer.state_dict())  # takes its tensors to where the parameters are
        if self.state.scaler:
            self.fabric.strategy.precision.load_state_dict(self.state.scaler)

    def _train_epoch(self) -> None:
        """The steps of an epoch that are left, from the batch and the random state where it was interrupted."""
        state = self.state
        seed_epoch(state.seed, state.epoch, self.fabric.global_rank)
        for sampler in samplers_with(self.loader, "set_epoch"):
            sampler.set_epoch(state.epoch)
        self.network.train()
        batches = iter(self.loader)
        for _ in islice(batches, state.batch):
            pass
        if state.random_states is not None:
            set_random_state(state.random_states[self.fabric.global_rank])
            state.random_states = None
        while state.step < self.last_step and (group := list(islice(batches, self.accumulate))):
            reports = self._take_step(group)
            interrupted = any(report["interrupted"] for report in reports)
            if interrupted or reports[0]["save"]:
                self._save()
            if interrupted:
                raise KeyboardInterrupt

    def _take_step(self, group: list[Any]) -> list[dict[str, Any]]:
        """One optimizer step on the mean gradient of a group of batches; what each process reports of it."""
        state = self.state
        self._set_learning_rates()
        self.optimizer.zero_grad()
        terms = self._backward(group)
        reports = gather(
            self.fabric,
            {
                "terms": terms,
                "ids": [list(getattr(batch, "ids", ())) for batch in group],
                "interrupted": bool(self.interrupted.value),
                "save": self.path is not None and time.perf_counter() - self.saved > self.checkpoint_seconds,
            },
        )
        self._refuse_bad_terms(reports)
        average_gradients(self.fabric, self.parameters, len(group))
        norm = self._clip_gradients()
        self._refuse_bad_norm(norm, reports)
        self.fabric_optimizer.step()
        row = {"step": state.step, "epoch": state.epoch, "lr": self.optimizer.param_groups[0]["lr"]}
        row |= _mean_terms([terms for report in reports for terms in report["terms"]]) | {"gradient_norm": norm}
        state.steps.append(row)
        state.step += 1
        state.batch += len(group)
        self._count_seconds()
        self.shown.step(row)
        return reports

    def _set_learning_rates(self) -> None:
        if self.schedule is not None:
            factor = self.schedule(self.state.step)
            for group in self.optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def _backward(self, group: list[Any]) -> list[dict[str, float]]:
        """Add up gradients over the batches; values of the terms of each."""
        values = []
        for number, batch in enumerate(group):
            with self.fabric.autocast():
                terms = self.step(self.network, self.fabric.to_device(batch))
                _check_terms(terms)
                to_differentiate = [term for term in terms.values() if term.requires_grad]
                total = sum(to_differentiate[1:], *to_differentiate[:1])
            if self.scaled and number == 0 and any(p.grad is not None for p in self.parameters):
                raise ValueError("a step that calls backward itself needs precision 'bf16-mixed' or '32-true'")
            if to_differentiate:
                self.fabric.backward(total)
            values.append({name: term.detach() for name, term in terms.items()})
        numbers = iter(torch.stack([term.float() for terms in values for term in terms.values()]).tolist())
        return [{name: next(numbers) for name in terms} for terms in values]

    def _clip_gradients(self) -> float:
        """Norm of the gradient before clipping."""
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients and self.state.step == self.first_step:
            raise ValueError("no term of the step depends on a parameter of the optimizer; is everything frozen?")
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        return norm.item()

    def _refuse_bad_terms(self, reports: list[dict[str, Any]]) -> None:
        for report in reports:
            for terms, ids in zip(report["terms"], report["ids"], strict=True):
                for name, value in terms.items():
                    if not math.isfinite(value):
                        self._refuse(f"the term {name!r} is {value}", ids)

    def _refuse_bad_norm(self, norm: float, reports: list[dict[str, Any]]) -> None:
        if math.isfinite(norm):
            self.skipped_steps = 0
        elif self.scaled and self.skipped_steps < MOST_SKIPPED_STEPS:
            self.skipped_steps += 1  # the scaler leaves out this step and scales less from now on
        else:
            ids = [id for report in reports for ids in report["ids"] for id in ids]
            self._refuse(f"the norm of the gradient is {norm}, although all terms are finite", ids)

    def _refuse(self, what: str, ids: list[str]) -> None:
        images = f" (images {', '.join(map(str, ids))})" if ids else ""
        raise NotFiniteError(
            f"step {self.state.step}, epoch {self.state.epoch}: {what}{images}; the parameters are those before this "
            "step. Look at these inputs, lower the learning rate, or clip gradients"
        )

    def _end_epoch(self) -> None:
        """Scores, the best weights so far, a row of the history."""
        state = self.state
        rows = list(takewhile(lambda row: row["epoch"] == state.epoch, reversed(state.steps)))
        if not rows:
            raise ValueError(
                f"the loader gave no batch in epoch {state.epoch}; it should give them anew in every epoch"
            )
        last = state.epoch + 1 >= self.last_epoch or state.step >= self.last_step
        scores = {}
        if self.evaluate is not None and (last or (state.epoch + 1) % self.every == 0):
            scores = self._scores()
            self._compare_with_best(scores)
        self._count_seconds()
        total = sum(row["total"] for row in rows) / len(rows)
        seconds = state.seconds - state.epoch_began
        row = {"epoch": state.epoch, "step": state.step, "seconds": seconds, "total": total}
        state.epochs.append(row | scores)
        self.shown.epoch(row, scores, rows[0]["lr"], last or state.stopped)
        state.epoch, state.batch, state.epoch_began = state.epoch + 1, 0, state.seconds

    def _scores(self) -> dict[str, float]:
        """Scores of the network in evaluation mode, found by the first process, known to all."""
        scores = None
        if self.fabric.is_global_zero:
            self.network.eval()
            scores = {name: float(value) for name, value in self.evaluate(self.network, self.state.epoch).items()}
        scores = self.fabric.broadcast(scores)
        if taken := scores.keys() & set(EPOCH_COLUMNS):
            raise ValueError(f"evaluate returns a score named {taken.pop()!r}, which the history uses; rename it")
        return scores

    def _compare_with_best(self, scores: dict[str, float]) -> None:
        if self.keep_best is None:
            return
        state, (name, mode) = self.state, self.keep_best
        if name not in scores:
            raise ValueError(f"keep_best names {name!r}; the scores of evaluate are {', '.join(scores) or 'none'}")
        sign = 1 if mode == "max" else -1
        if sign * scores[name] > (-math.inf if state.best_score is None else sign * state.best_score):
            state.best_epoch, state.best_score, state.evaluations_since_best = state.epoch, scores[name], 0
            state.best_weights = {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}
        else:
            state.evaluations_since_best += 1
            state.stopped = self.patience is not None and state.evaluations_since_best >= self.patience

    def _save(self) -> None:
        """Write the checkpoint; every process calls it, the first one writes."""
        if self.path is None:
            return
        self.state.random_states = gather(self.fabric, random_state()) if self.state.batch else None
        self.state.scaler = self.fabric.strategy.precision.state_dict()
        if self.fabric.is_global_zero:
            self.save_to(self.path)
        self.state.random_states = None
        self.saved = time.perf_counter()

    def save_to(self, path: Path) -> None:
        save_checkpoint(path, self.network, self.optimizer, self.state)

    def load_from(self, path: Path) -> None:
        self.state = load_checkpoint(path, self.network, self.optimizer, self.state.seed, self.state.processes)

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self.clock
        self.clock = now

    def _progress(self) -> Progress:
        total = None
        if hasattr(self.loader, "__len__"):
            total = (self.last_epoch - self.first_epoch) * math.ceil(len(self.loader) / self.accumulate)
            total = min(total, self.last_step - self.first_step)
        return Progress(
            self.progress and self.fabric.is_global_zero,
            self.first_epoch,
            self.last_epoch,
            done=self.state.step - self.first_step,
            total=total,
            widgets=self.fabric.world_size == 1,
        )


def _check_terms(terms: Mapping[str, Tensor]) -> None:
    if not terms:
        raise ValueError("the step returned no term; it should return a dict of named loss terms")
    for name, term in terms.items():
        if name in STEP_COLUMNS:
            raise ValueError(f"the step returns a term named {name!r}, which the history uses; rename it")
        if not isinstance(term, Tensor) or term.ndim:
            found = f"of shape {[*term.shape]}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
            raise ValueError(f"the term {name!r} is {found}; return a 0-d tensor, for example its mean")


def _mean_terms(terms_of_batches: list[dict[str, float]]) -> dict[str, float]:
    """Mean over batches of each term, 0 where a batch has none, and their total."""
    names = dict.fromkeys(name for terms in terms_of_batches for name in terms)
    means = {name: sum(t.get(name, 0.0) for t in terms_of_batches) / len(terms_of_batches) for name in names}
    return means | {"total": sum(means.values())}
