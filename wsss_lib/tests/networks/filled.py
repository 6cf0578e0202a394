"""Networks with the reproducible weights of the golden files, under the authors' names that a file lists."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import nn

from wsss_lib.networks.checkpoints import Rename, load_weights, without_wrappers
from wsss_lib.networks.resnet38 import ResNet38
from wsss_lib.tests.fill import filled_tensor

Names = Sequence[tuple[str, Sequence[int]]]


def fill_from_names(network: nn.Module, names: Names, rename: Rename) -> nn.Module:
    """Load the filled value of every listed entry; the list must name the network's entries exactly."""
    state = {name: filled_tensor(name, tuple(shape), dtype_of(name)) for name, shape in names}
    load_weights(network, state, rename=rename)
    return network.eval()


def dtype_of(name: str) -> torch.dtype:
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


@lru_cache(maxsize=1)
def filled_resnet38(names: tuple[tuple[str, tuple[int, ...]], ...]) -> ResNet38:
    """The 105 million weights take seconds to draw: one backbone serves all files that name them alike."""
    with torch.device("meta"):
        backbone = ResNet38()
    return fill_from_names(backbone.to_empty(device="cpu"), names, without_wrappers)


def resnet38_network(make: Callable[[ResNet38], nn.Module], names: Names, rename: Rename) -> nn.Module:
    """``make(backbone)`` with the filled values of all listed entries, in evaluation mode.

    The names and shapes of the whole network must be the listed ones after renaming.
    """
    inside = {name for name, _ in ResNet38(width=1 / 16).named_children()}
    in_backbone = tuple((name, tuple(shape)) for name, shape in names if without_wrappers(name).split(".")[0] in inside)
    network = make(filled_resnet38(in_backbone))
    listed = {rename(name): [*shape] for name, shape in names}
    listed.pop(None, None)
    own = {name: [*value.shape] for name, value in network.state_dict().items()}
    assert {name: [size for size in shape if size != 1] for name, shape in own.items()} == {
        name: [size for size in shape if size != 1] for name, shape in listed.items()
    }
    others = {
        name: filled_tensor(name, tuple(shape), dtype_of(name))
        for name, shape in names
        if (name, tuple(shape)) not in in_backbone
    }
    load_weights(network, others, rename=rename, allow_missing=["backbone.*"])
    return network.eval()
