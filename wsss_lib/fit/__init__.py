"""One training loop: any network and loss, on CPU or GPU, in full or mixed precision, in one process or several."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from wsss_lib.fit.checkpoint import FILE
from wsss_lib.fit.history import History, State
from wsss_lib.fit.loop import Evaluate, Loop, Step
from wsss_lib.fit.processes import NotFiniteError, make_fabric, run_here, run_in_processes, samplers_with
from wsss_lib.fit.randomness import random_state_kept

__all__ = ["History", "NotFiniteError", "fit"]

_finished_here: set[Path] = set()  # checkpoints of trainings that this process has finished


def fit(
    network: nn.Module,
    step: Step,
    loader: Iterable[Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    seed: int,
    schedule: Callable[[int], float] | None = None,
    clip_norm: float | None = None,
    accumulate: int = 1,
    max_steps: int | None = None,
    precision: str = "32-true",
    device: torch.device | str = "auto",
    processes: int = 1,
    evaluate: Evaluate | None = None,
    every: int = 1,
    keep_best: tuple[str, str] | None = None,
    patience: int | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_minutes: float = 5.0,
    after: History | None = None,
    progress: bool = True,
    channels_last: bool = True,
) -> History:
    """Train a network in place.

    The same arguments on the same machine with the same number of threads give the same weights, bit by bit, whether
    the training was interrupted or not. Random numbers drawn in a step depend on (seed, epoch, process); those of the
    caller are left as they were.

    Args:
        network: any network; comes back in evaluation mode, on the device.
        step: loss terms of a batch by name, 0-d tensors, already weighted; their sum is minimized, each is logged. A
            step may call ``backward`` itself and return such terms detached (not with "16-mixed", which scales losses).
        loader: batches, again in every epoch. ``loader.sampler.set_epoch(epoch)`` is called where it exists.
        optimizer: over parameters of the network; parameter groups may have learning rates of their own.
        epochs: passes over the loader.
        seed: not negative.
        schedule: factor on all learning rates by optimizer step (:mod:`wsss_lib.schedules`).
        clip_norm: largest norm of the gradient of all parameters.
        accumulate: batches per optimizer step; their gradients are averaged.
        max_steps: optimizer steps after which to stop.
        precision: "32-true", "bf16-mixed", or "16-mixed" on a GPU; of the step, not of ``evaluate``.
        device: "auto" is the first GPU if there is one, else the CPU.
        processes: processes on this machine, one GPU each or one thread of the CPU each. Every process reads batches of
            the loader's size, so that two processes make one step of two batches; gradients are averaged over them.
            The loader's sampler needs ``set_shard(rank, processes)``. On GPUs nothing may have used CUDA before.
        evaluate: scores by name, of the network in evaluation mode after an epoch (counted from 0); may draw random
            numbers and take gradients; where it takes none, decorate it with ``torch.no_grad()``, else every image's
            activations stay until the last is scored. With several processes it runs in the first one, and what it
            leaves in variables, unlike in files, is lost.
        every: epochs from one evaluation to the next; the last epoch is always evaluated.
        keep_best: name of a score, and "max" or "min": the network comes back with the weights of the epoch where it
            was best (the first of equals).
        patience: stop after so many evaluations in a row without a better score.
        checkpoint: a folder of this training alone. What is found there is continued (or handed back, if finished);
            written every ``checkpoint_minutes``, on Ctrl-C and at the end.
        checkpoint_minutes: at least, between two checkpoints.
        after: history of an earlier call that this one goes on from: counts of epochs and steps, and tables, continue.
        progress: show a bar, or with ``$WSSS_HEADLESS`` a few lines.
        channels_last: memory format of the network; faster convolutions, same results up to rounding.

    Raises:
        NotFiniteError: a term or the gradient is NaN or infinite; the message names step, epoch, term and images.
            The parameters are still those before the step.
        ValueError: arguments that do not fit together; a damaged checkpoint, or one of another network.
        KeyboardInterrupt: after the step under way, with the checkpoint written; a second one at once, without.
    """
    if epochs < 0 or seed < 0 or min(accumulate, processes, every) < 1 or (max_steps or 0) < 0:
        raise ValueError(
            f"epochs={epochs}, seed={seed} and max_steps={max_steps} should not be negative; "
            f"accumulate={accumulate}, processes={processes} and every={every} should be at least 1"
        )
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm={clip_norm} should be positive, or None for no clipping")
    if keep_best and (evaluate is None or keep_best[1] not in ("max", "min")):
        raise ValueError(f"keep_best={keep_best} should name a score of evaluate, and 'max' or 'min'")
    if patience is not None and (keep_best is None or patience < 1):
        raise ValueError(f"patience={patience} should be at least 1 and needs keep_best")
    if processes > 1 and not samplers_with(loader, "set_shard"):
        raise ValueError(
            "several processes need a loader whose sampler has set_shard(rank, processes), as make_loader's"
        )
    path = Path(checkpoint).resolve() / FILE if checkpoint else None
    if path in _finished_here and path.exists():
        raise ValueError(
            f"{path.parent} holds a training that this session has finished; "
            "give each call its own folder, or delete this one to train again"
        )
    state = State.after(after, seed, processes)
    loop = Loop(
        network=network,
        step=step,
        loader=loader,
        optimizer=optimizer,
        state=state,
        first_epoch=state.epoch,
        last_epoch=state.epoch + epochs,
        first_step=state.step,
        last_step=math.inf if max_steps is None else state.step + max_steps,
        schedule=schedule,
        clip_norm=clip_norm,
        accumulate=accumulate,
        scaled=precision == "16-mixed",
        evaluate=evaluate,
        every=every,
        keep_best=keep_best,
        patience=patience,
        path=path,
        checkpoint_seconds=60 * checkpoint_minutes,
        progress=progress,
        channels_last=channels_last,
    )
    fabric = make_fabric(device, processes, precision)
    if path and path.exists():
        loop.load_from(path)
    with random_state_kept():
        if processes == 1:
            run_here(fabric, loop.run)
        elif not loop.finished:
            run_in_processes(fabric, loop.run, loop.save_to, loop.load_from)
    network.eval()
    if loop.state.best_weights is not None:
        network.load_state_dict(loop.state.best_weights)
    if path:
        _finished_here.add(path)
    return loop.state.history()
