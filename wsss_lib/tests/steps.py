"""The training loop driven by given gradients, as the golden files of optimizers were made."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from wsss_lib.fit import fit


def rates_and_parameters(
    optimizer: Optimizer, schedule: Callable[[int], float], gradients: Sequence[Sequence[Tensor]]
) -> tuple[list[list[float]], list[list[Tensor]]]:
    """Learning rates of the groups used in each step, and the parameters after it.

    Args:
        gradients: for each step, one per parameter.
    """
    network = nn.ParameterList(parameter for group in optimizer.param_groups for parameter in group["params"])
    rates, values = [], []

    def step(network: nn.Module, gradients_of_step: Sequence[Tensor]) -> dict[str, Tensor]:
        rates.append([group["lr"] for group in optimizer.param_groups])
        values.append([parameter.detach().clone() for parameter in network])
        products = [(p * gradient).sum() for p, gradient in zip(network, gradients_of_step, strict=True)]
        return {"product": sum(products)}  # its gradient is the given one

    fit(network, step, gradients, optimizer, epochs=1, seed=0, schedule=schedule, device="cpu", progress=False)
    return rates, [*values[1:], [parameter.detach() for parameter in network]]
