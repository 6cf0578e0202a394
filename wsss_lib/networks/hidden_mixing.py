"""Mixing inside a network (Verma et al., Manifold Mixup, ICML 2019), by a hook that ends with the block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

INPUT = "input"


@contextmanager
def mixed_output(network: nn.Module, layer: str, mix: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block, whatever passes ``layer`` is mixed before the network goes on.

    Args:
        network: any network, for instance ``classifier.backbone``.
        layer: name of a part of it, or "input" for what the network is given. Of a part that returns a tuple, as the
            blocks of ResNet-38 do, the first entry is mixed, which is its output.
        mix: features [B, ...] to mixed features of the same shape.

    Raises:
        ValueError: there is no such part, it returns something else, or it did not run inside the block.

    >>> import torch
    >>> network = nn.Sequential(nn.Flatten(), nn.ReLU())
    >>> with mixed_output(network, "0", lambda features: -features):
    ...     network(torch.tensor([[[1.0, -2.0]]]))
    tensor([[0., 2.]])
    """
    parts = {name: part for name, part in network.named_modules() if name} | {INPUT: network}
    if layer not in parts:
        known = ", ".join([INPUT, *(name for name, _ in network.named_children())])
        raise ValueError(f"no layer {layer!r} in {type(network).__name__}; choose {known}, or a part of one of them")
    mixed = 0

    def mix_first(values: Any) -> Any:
        nonlocal mixed
        mixed += 1
        if isinstance(values, tuple) and values and isinstance(values[0], Tensor):
            return (mix(values[0]), *values[1:])
        if isinstance(values, Tensor):
            return mix(values)
        raise ValueError(f"layer {layer!r} gives a {type(values).__name__}; choose one that gives a single feature map")

    if layer == INPUT:
        handle = network.register_forward_pre_hook(lambda module, inputs: mix_first(inputs))
    else:
        handle = parts[layer].register_forward_hook(lambda module, inputs, output: mix_first(output))
    try:
        yield
    finally:
        handle.remove()
    if not mixed:
        raise ValueError(f"layer {layer!r} did not run, so nothing was mixed; call the network inside the block")
