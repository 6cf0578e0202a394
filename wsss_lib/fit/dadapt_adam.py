"""Adam that finds its learning rate: D-adaptation (Defazio and Mishchenko, ICML 2023)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class DAdaptAdam(Optimizer):
    """Adam whose step is an estimate d of the distance to the solution, which only grows.

    In each step, with l = d lr, gradient g and D = sqrt(v) + eps,

        m <- b1 m + l (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   s <- b2 s + l (1 - b2) g,
        q <- b2 q + (1 - b2) l^2 sum g^2/D,   d' = (sum s^2/D / (1 - b2) - q) / sum |s|,
        d <- max(d, min(d', growth d)),   p <- p - m/D,

    with sums over all parameters, and no bias correction.

    Args:
        params: parameters, or groups with learning rates of their own.
        lr: factor on the estimate; 1 unless a schedule lowers it.
        betas: b1, b2.
        weight_decay: added to the gradient, or with ``decouple`` taken from the parameters.
        first_estimate: d in the beginning.
        growth: most that d may grow by in one step, a factor; 1.02 slows it where training is unstable.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decouple: bool = False,
        first_estimate: float = 1e-6,
        growth: float = float("inf"),
    ):
        if lr < 0 or eps <= 0 or first_estimate <= 0 or growth < 1 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"lr={lr} should not be negative, eps={eps} and first_estimate={first_estimate} should be positive, "
                f"growth={growth} at least 1 and betas={betas} in [0, 1)"
            )
        names = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "decouple": decouple}
        super().__init__(params, names | {"growth": growth, "estimate": first_estimate, "numerator": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; a parameter without gradient stays."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        first = self.param_groups[0]
        estimate, numerator = first["estimate"], first["numerator"]
        gained = weighted = length = 0.0
        decay_of_sums = first["betas"][1]
        for group in self.param_groups:
            rate = estimate * group["lr"]
            for parameter in group["params"]:
                if parameter.grad is not None:
                    sums = self._moments(parameter, group, rate)
                    gained += rate**2 * sums[0]
                    weighted += sums[1]
                    length += sums[2]
        numerator = decay_of_sums * numerator + (1 - decay_of_sums) * float(gained)
        largest = estimate
        if float(length) > 0:
            found = (float(weighted) / (1 - decay_of_sums) - numerator) / float(length)
            largest = max(estimate, min(found, estimate * first["growth"]))
        for group in self.param_groups:
            group["estimate"], group["numerator"] = largest, numerator
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if group["decouple"]:
                        parameter.mul_(1 - group["weight_decay"] * estimate * group["lr"])
                    parameter.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-1)
        return loss

    def _moments(self, parameter: torch.Tensor, group: dict[str, Any], rate: float) -> tuple[torch.Tensor, ...]:
        """Update m, v and s of one parameter; its part of the sums g^2/D, s^2/D and |s|."""
        gradient = parameter.grad
        if group["weight_decay"] and not group["decouple"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if not state:
            state |= {name: torch.zeros_like(parameter) for name in ("mean", "square", "total")}
        beta1, beta2 = group["betas"]
        state["mean"].mul_(beta1).add_(gradient, alpha=rate * (1 - beta1))
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = state["square"].sqrt().add_(group["eps"])
        state["total"].mul_(beta2).add_(gradient, alpha=rate * (1 - beta2))
        total = state["total"]
        return (gradient**2 / denominator).sum(), (total**2 / denominator).sum(), total.abs().sum()
