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
def kept_outputs(layer: nn.Module) -> Iterator[list[Tensor | list[Tensor]]]:
    """Collect the outputs of ``layer``, one per call of it inside the block, to differentiate by them.

    Where the layer returns one tensor, the network goes on with a copy, so that a later in-place activation leaves the
    kept output as it was; if nothing below the layer has a gradient, the kept output starts the graph. The tensors of a
    layer that returns several (the taps of a backbone) are kept as they are.

    >>> import torch
    >>> layer = nn.Conv2d(1, 1, 1)
    >>> with kept_outputs(layer) as outputs:
    ...     scores = layer(torch.ones(1, 1, 2, 2)).sum()
    >>> torch.autograd.grad(scores, outputs[0])[0].flatten()
    tensor([1., 1., 1., 1.])
    """
    outputs: list[Tensor | list[Tensor]] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor | list[Tensor]) -> Tensor | None:
        if not isinstance(output, Tensor):
            outputs.append(list(output))
            return None
        outputs.append(output if output.requires_grad else output.detach().requires_grad_())
        return outputs[-1].clone()

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()
