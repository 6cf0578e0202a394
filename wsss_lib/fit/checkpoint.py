"""Checkpoints of a training: whole or absent, and taken only by the training that they belong to."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.fit.history import State

FILE = "training.pt"


def save_checkpoint(path: Path, network: nn.Module, optimizer: Optimizer, state: State) -> None:
    """Write to a temporary name, flush, rename: whoever finds the file finds all of it.

    Raises:
        OSError: the file could not be written; an earlier checkpoint stays as it was.
    """
    content = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno, f"could not write the checkpoint {path}: {error.strerror}; free some space and run again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, network: nn.Module, optimizer: Optimizer, seed: int, processes: int) -> State:
    """Bring network and optimizer to where :func:`save_checkpoint` found them.

    Raises:
        ValueError: the file is damaged, or belongs to another network, seed or number of processes.
    """
    remedy = f"delete {path.parent} to begin again"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights, moments, state = content["network"], content["optimizer"], State(**content["state"])
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise ValueError(f"the checkpoint {path} is damaged ({error}); {remedy}") from error
    if differences := _differences(network.state_dict(), weights):
        raise ValueError(f"the checkpoint {path} is of another network ({'; '.join(differences)}); {remedy}")
    for name, stored, wanted in (("seed", state.seed, seed), ("processes", state.processes, processes)):
        if stored != wanted:
            raise ValueError(f"the checkpoint {path} was made with {name}={stored}, this is {name}={wanted}; {remedy}")
    network.load_state_dict(weights)
    try:
        optimizer.load_state_dict(moments)
    except ValueError as error:
        raise ValueError(f"the checkpoint {path} is of another optimizer ({error}); {remedy}") from error
    return state


def _differences(network: dict[str, Tensor], stored: dict[str, Tensor]) -> list[str]:
    """What two state dicts do not have in common, the first three of each kind."""
    common = network.keys() & stored.keys()
    shapes = [name for name in network if name in common and network[name].shape != stored[name].shape]
    found = {
        "only in the network": [name for name in network if name not in common],
        "only in the checkpoint": [name for name in stored if name not in common],
        "of other shapes": [f"{name} {[*network[name].shape]} and {[*stored[name].shape]}" for name in shapes],
    }
    return [
        f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}"
        for kind, names in found.items()
        if names
    ]
