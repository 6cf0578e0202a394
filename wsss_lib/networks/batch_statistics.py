"""Running numbers of batch norm, counted anew for the weights as they are."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def renew_batch_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running means and variances of batch norm by their means over some batches; weights stay.

    During training they are averages over the last steps. After few large steps they lag behind the weights, and a
    network that has learned its task is scored with numbers of another one. Frozen layers, which stay in evaluation
    mode, keep theirs (``torch.optim.swa_utils.update_bn`` would reset them).

    Args:
        network: left in the mode it has.
        batches: images [B, 3, H, W] on the device of the network.

    Raises:
        ValueError: there are layers to count, and no batch.
    """
    mode = network.training
    network.train()
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
    counted = 0
    for images in batches if layers else ():
        network(images)
        counted += 1
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.train(mode)
    if layers and not counted:
        raise ValueError("no batch to count the statistics of batch norm over; give at least one")
