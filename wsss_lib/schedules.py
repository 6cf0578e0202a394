"""Learning-rate schedules and optimizers of the papers.

A schedule is a function of the optimizer step, counted from 0, that gives the factor on every learning rate of the
optimizer. The functions below make such functions; the training loop applies them before each step.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD

Schedule = Callable[[int], float]

FORMS = ("official", "paper")


def poly_decay(max_steps: int, power: float = 0.9) -> Schedule:
    """(1 - step / max_steps) ** power; from ``max_steps`` on the factor of the last step before it.

    Source: ``PolyOptimizer`` of PSA, SC-CAM, mva-wsss, IRN and KTSE.

    >>> [round(poly_decay(4, power=1.0)(step), 2) for step in (0, 1, 3, 4, 100)]
    [1.0, 0.75, 0.25, 0.25, 0.25]
    """
    _check_positive(max_steps=max_steps)
    return lambda step: (1 - min(step, max_steps - 1) / max_steps) ** power


def poly_decay_to_minimum(max_steps: int, minimum: float, power: float = 0.9) -> Schedule:
    """Poly decay that does not fall below ``minimum``.

    Source: ``PolyLR`` of BECO, whose smallest learning rate is 1e-5 at a base of 0.01, a minimum of 1e-3 here.

    >>> [round(poly_decay_to_minimum(4, 0.3, power=1.0)(step), 2) for step in (0, 1, 3, 4, 100)]
    [1.0, 0.75, 0.3, 0.3, 0.3]
    """
    _check_positive(max_steps=max_steps)
    return lambda step: max((1 - min(step, max_steps) / max_steps) ** power, minimum)


def poly_decay_in_stairs(max_steps: int, power: float = 0.9, stair: int = 10) -> Schedule:
    """Poly decay that changes every ``stair`` steps, the last time at the last multiple up to ``max_steps``.

    Source: ``PolynomialLR`` of deeplab-pytorch.

    >>> [poly_decay_in_stairs(40, power=1.0)(step) for step in (0, 9, 10, 19, 39, 40, 100)]
    [1.0, 1.0, 0.75, 0.75, 0.25, 0.0, 0.0]
    """
    _check_positive(max_steps=max_steps, stair=stair)
    return lambda step: (1 - min(step, max_steps) // stair * stair / max_steps) ** power


def constant(step: int) -> float:
    """The learning rates as they are."""
    return 1.0


def warm_up_then_constant(warm_up_steps: int) -> Schedule:
    """From 0 to 1 in ``warm_up_steps`` equal steps, then 1.

    Source: ``WarmupConstantSchedule`` of mva-wsss.

    >>> [warm_up_then_constant(4)(step) for step in (0, 1, 4, 5)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return _after_warm_up(warm_up_steps, lambda step: 1.0)


def warm_up_then_linear(warm_up_steps: int, max_steps: int) -> Schedule:
    """From 0 to 1 in ``warm_up_steps`` equal steps, then in equal steps to 0 at ``max_steps``, and 0 from there.

    Source: ``WarmupLinearSchedule`` of mva-wsss.

    >>> [warm_up_then_linear(2, 6)(step) for step in (0, 1, 2, 3, 6, 9)]
    [0.0, 0.5, 1.0, 0.75, 0.0, 0.0]
    """
    rest = max(1, max_steps - warm_up_steps)
    return _after_warm_up(warm_up_steps, lambda step: max(0.0, (max_steps - step) / rest))


def warm_up_then_cosine(warm_up_steps: int, max_steps: int, cycles: float = 0.5) -> Schedule:
    """From 0 to 1 in ``warm_up_steps`` equal steps, then ``cycles`` periods of a cosine wave until ``max_steps``.

    Half a period falls from 1 to 0, and rises again after ``max_steps``. Source: ``WarmupCosineSchedule`` of mva-wsss,
    where it counts epochs: give it to :func:`per_epoch` for the same.

    >>> [round(warm_up_then_cosine(2, 6)(step), 2) for step in (0, 1, 2, 4, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rest = max(1, max_steps - warm_up_steps)
    return _after_warm_up(
        warm_up_steps, lambda step: 0.5 * (1 + math.cos(2 * math.pi * cycles * (step - warm_up_steps) / rest))
    )


def per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """Let a schedule count epochs instead of steps.

    >>> [per_epoch(warm_up_then_constant(2), steps_per_epoch=3)(step) for step in (0, 2, 3, 5, 6)]
    [0.0, 0.0, 0.5, 0.5, 1.0]
    """
    _check_positive(steps_per_epoch=steps_per_epoch)
    return lambda step: schedule(step // steps_per_epoch)


def learning_rate_groups(
    groups: Sequence[Iterable[nn.Parameter]],
    *,
    lr: float,
    weight_decay: float,
    factors: Sequence[float] = (1, 2, 10, 20),
    decayed: Sequence[bool] = (True, False, True, False),
) -> list[dict[str, Any]]:
    """Parameter groups with the papers' learning rates, for an optimizer; groups without parameters are left out.

    Args:
        groups: pretrained weights, pretrained biases, new weights, new biases.
        lr: learning rate of a group with factor 1.
        weight_decay: of the groups that have any.
        factors: on the learning rate, per group (1, 2, 10, 20 in PSA and SC-CAM).
        decayed: whether the group has weight decay (in the papers the weights do, the biases do not).

    >>> weight, bias = nn.Linear(2, 1).parameters()
    >>> groups = learning_rate_groups([[weight], [], [], [bias]], lr=0.1, weight_decay=5e-4)
    >>> [(group["lr"], group["weight_decay"]) for group in groups]
    [(0.1, 0.0005), (2.0, 0.0)]
    """
    settings = zip(groups, factors, decayed, strict=True)
    made = [
        {"params": list(parameters), "lr": lr * factor, "weight_decay": weight_decay if decays else 0.0}
        for parameters, factor, decays in settings
    ]
    return [group for group in made if group["params"]]


def poly_sgd(
    parameters: Iterable[Any], *, lr: float, weight_decay: float, form: str = "official", momentum: float = 0.9
) -> SGD:
    """Stochastic gradient descent of PSA, SC-CAM, mva-wsss, IRN and KTSE; to be used with :func:`poly_decay`.

    Departs from the papers in its default: the authors' ``PolyOptimizer`` gives the weight decay to the place where
    SGD takes the momentum, so that the printed numbers were made with a momentum of 5e-4 (1e-4 in IRN).

    Args:
        parameters: parameters or parameter groups; a group's own learning rate and weight decay stand.
        lr: learning rate at step 0.
        weight_decay: also the momentum in the official form.
        form: "official", or "paper" for the momentum that the papers name.
        momentum: of the paper's form.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is not known; choose one of {', '.join(FORMS)}")
    return SGD(parameters, lr=lr, momentum=weight_decay if form == "official" else momentum, weight_decay=weight_decay)


def _after_warm_up(warm_up_steps: int, schedule: Schedule) -> Schedule:
    return lambda step: step / warm_up_steps if step < warm_up_steps else schedule(step)


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; it should be at least 1")
