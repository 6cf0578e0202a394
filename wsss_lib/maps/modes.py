"""Hooks and modes of a network as context managers: nothing of them remains, even when the body fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Dropout off and batch norm on its running statistics; afterwards each module has its own mode back.

    Unlike ``network.eval()`` and ``network.train()`` it returns frozen layers of a training network to where they were.
    """
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield network
    finally:
        for module, was_training in training.items():
            module.training = was_training


@contextmanager
def kept_outputs(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of ``layer``, one per call of it inside the block, as tensors to differentiate by.

    The network goes on with a copy, so that a later in-place activation leaves the kept output as it was. Where no
    weight below the layer is trained, the kept output starts the graph: the backward pass ends there.

    >>> import torch
    >>> layer = nn.Conv2d(1, 1, 1)
    >>> with kept_outputs(layer) as outputs:
    ...     scores = layer(torch.ones(1, 1, 2, 2)).sum()
    >>> torch.autograd.grad(scores, outputs[0])[0].flatten()
    tensor([1., 1., 1., 1.])
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{type(module).__name__} returns {type(output).__name__}, not one tensor; choose a layer inside it"
            )
        outputs.append(output if output.requires_grad else output.detach().requires_grad_())
        return outputs[-1].clone()

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()
