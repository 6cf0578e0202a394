"""Random numbers of a training: they depend on seed, epoch and process only, and leave those of the caller alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Seed the generators of Python, numpy and torch for one epoch in one process."""
    values = np.random.SeedSequence((seed, epoch, rank)).generate_state(3).tolist()
    random.seed(values[0])
    np.random.seed(values[1])
    torch.manual_seed(values[2])


def random_state() -> dict[str, Any]:
    """States of the global generators, in plain values and tensors; of the GPU's as well once it is in use."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give the global generators back as they were."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
