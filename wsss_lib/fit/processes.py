"""Devices and processes of a training, on lightning-fabric.

With several processes, each holds the whole network and reads its share of every batch; gradients are averaged after
the backward pass. The network is not wrapped: a step may call any part of it, differentiate twice, or call backward.
"""

import copy
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its notes on processes would fill the page

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
LONGEST_WAIT = timedelta(days=2)  # of one process for another, for example while the first one evaluates


class NotFiniteError(FloatingPointError):
    """A loss term or a gradient is NaN or infinite; every process of a training raises it in the same step."""


class Flag(Protocol):
    """A number that all processes see."""

    value: int


def make_fabric(device: torch.device | str, processes: int, precision: str) -> Fabric:
    """Fabric for one device, or for several processes forked from this one (the only way out of a notebook).

    Args:
        device: "auto" is the first GPU if there is one, else the CPU. Several processes take one GPU each.
        precision: "32-true", "bf16-mixed" or "16-mixed" (GPU only).

    Raises:
        ValueError: the precision is not known, or not for the device.
        RuntimeError: this process uses the GPU and cannot be forked.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cpu" and precision == "16-mixed":
        raise ValueError("precision '16-mixed' needs a GPU; use 'bf16-mixed' or '32-true' on the CPU")
    if processes > 1 and device.type == "cuda" and torch.cuda.is_initialized():
        raise RuntimeError(
            "the GPU is in use in this process, which cannot be forked any more; restart the kernel and train before "
            "anything moves to the GPU (reading from a loader with pin_memory does)"
        )
    return Fabric(
        accelerator=device.type,
        devices=[device.index] if device.index is not None and processes == 1 else processes,
        strategy=DDPStrategy(start_method="fork", timeout=LONGEST_WAIT) if processes > 1 else "auto",
        precision=precision,
        plugins=[LightningEnvironment()],  # a slurm job of one task would otherwise be taken for one of many
    )


def run_here(fabric: Fabric, run: Callable[[Fabric, Flag], None]) -> None:
    """Call ``run(fabric, interrupted)`` in this process."""
    fabric.launch()
    interrupted = multiprocessing.RawValue("b", 0)
    with postponed_interrupt(interrupted):
        run(fabric, interrupted)


def run_in_processes(
    fabric: Fabric, run: Callable[[Fabric, Flag], None], save: Callable[[Path], Any], load: Callable[[Path], Any]
) -> None:
    """Call ``run(fabric, interrupted)`` in forked processes, and bring back here what the first one made.

    Each process computes on one thread of the CPU: the thread pool of the forked process cannot be used again.

    Args:
        save: called in the first process at its end, with a path.
        load: called here afterwards, with the same path.

    Raises:
        KeyboardInterrupt, NotFiniteError: as raised by ``run``, after what was made has been brought back.
        ProcessRaisedException: any other error of a process, with its traceback.
    """
    interrupted = multiprocessing.RawValue("b", 0)  # shared by the forked processes
    parent = os.getpid()

    def work(fabric: Fabric) -> Exception | KeyboardInterrupt | None:
        signal.signal(signal.SIGINT, lambda *_: _leave_unless_child_of(parent))
        torch.set_num_threads(1)
        try:
            run(fabric, interrupted)
            outcome = None
        except (KeyboardInterrupt, NotFiniteError) as stop:
            outcome = stop.with_traceback(None)
        if fabric.is_global_zero:
            save(result)
        torch.distributed.destroy_process_group()
        return outcome

    with TemporaryDirectory() as folder, postponed_interrupt(interrupted), _environment_kept():
        result = Path(folder) / "result.pt"
        outcome = fabric.launch(work)
        load(result)
    if outcome is not None:
        raise outcome


@contextmanager
def postponed_interrupt(interrupted: Flag) -> Iterator[None]:
    """Turn the first Ctrl-C into a flag, so that a step is finished before the training stops; a second one stops now.

    Outside the main thread, where no Ctrl-C arrives, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(*_: Any) -> None:
        if interrupted.value:
            raise KeyboardInterrupt
        interrupted.value = 1

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def gather(fabric: Fabric, value: Any) -> list[Any]:
    """The values of all processes, in their order."""
    if fabric.world_size == 1:
        return [value]
    values = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def average_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter], num_batches: int) -> None:
    """Turn sums of gradients over ``num_batches`` batches into means over the batches of all processes, in place.

    A parameter without gradient in one process counts as 0 there; without gradient in all of them it keeps none.
    """
    if fabric.world_size > 1:
        absent = set.intersection(*gather(fabric, {i for i, p in enumerate(parameters) if p.grad is None}))
        parameters = [p for i, p in enumerate(parameters) if i not in absent]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = fabric.all_reduce(torch.cat([p.grad.flatten() for p in parameters]), reduce_op="sum")
        for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad.copy_(gradient.view_as(parameter))
    if (batches := num_batches * fabric.world_size) > 1:
        torch._foreach_div_([p.grad for p in parameters if p.grad is not None], batches)


def samplers_with(loader: Any, method: str) -> list[Any]:
    """Samplers of a loader, of images or of batches, that have the method; none for a plain iterable."""
    samplers = [getattr(loader, name, None) for name in ("sampler", "batch_sampler")]
    return [sampler for sampler in samplers if hasattr(sampler, method)]


def share_of(fabric: Fabric, loader: Any) -> Any:
    """The loader, reading this process's share of every epoch."""
    if fabric.world_size == 1:
        return loader
    loader = copy.copy(loader)
    if hasattr(loader, "_iterator"):
        loader._iterator = None  # its reading processes, if any, belong to the process that this one was forked from
    for sampler in samplers_with(loader, "set_shard"):
        sampler.set_shard(fabric.global_rank, fabric.world_size)
    return loader


def _leave_unless_child_of(parent: int) -> None:
    """Ignore a Ctrl-C, which the parent hears as well, but end at once when the parent is gone."""
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what a launch leaves in the environment (its port, which the next launch must not use)."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
