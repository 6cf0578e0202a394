"""Learning rates and optimizer of the sub-category and mixing seed against its authors' code."""

import torch
from torch import nn

from wsss_lib.schedules import (
    constant,
    learning_rate_groups,
    poly_decay,
    poly_decay_in_stairs,
    poly_sgd,
    warm_up_then_constant,
    warm_up_then_cosine,
    warm_up_then_linear,
)
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.steps import rates_and_parameters


@conforms("mva_wsss/poly_optimizer")
def test_poly_optimizer(golden):
    lr, decay, max_steps = (golden[f"in_{name}"].item() for name in ("lr", "weight_decay", "max_step"))
    start, gradients = golden.tensor("in_params"), golden.tensor("in_grads")  # [groups, n], [steps, groups, n]
    parameters = [nn.Parameter(values) for values in start]
    rates = golden["out_lrs"][0] / lr  # 1 and 2
    groups = learning_rate_groups(
        [[p] for p in parameters], lr=lr, weight_decay=decay, factors=rates, decayed=(True, False)
    )
    optimizer = poly_sgd(groups, lr=lr, weight_decay=decay)
    rates, values = rates_and_parameters(optimizer, poly_decay(max_steps), gradients)
    golden.check("out_lrs", rates)
    golden.check("out_params", torch.stack([torch.stack(step) for step in values]))
    golden.check("out_momentum", optimizer.param_groups[0]["momentum"])


@conforms("mva_wsss/warmup_schedules")
def test_warmup_schedules(golden):
    warm_up, total, steps = (golden[f"in_{name}"].item() for name in ("warmup_steps", "t_total", "steps"))
    lr, cycles = golden.params["base_lr"], golden["in_cycles"].item()
    schedules = {
        "constant": constant,
        "warmup_constant": warm_up_then_constant(warm_up),
        "warmup_linear": warm_up_then_linear(warm_up, total),
        "warmup_cosine": warm_up_then_cosine(warm_up, total, cycles),
    }
    for name, schedule in schedules.items():
        golden.check(f"out_{name}", [lr * schedule(step) for step in range(steps)])


@conforms("mva_wsss/deeplab_poly_lr")
def test_deeplab_poly_lr(golden):
    max_steps, stair, power = (golden[f"in_{name}"].item() for name in ("iter_max", "step_size", "power"))
    stored = golden["out_lr"]  # [steps, groups]
    schedule = poly_decay_in_stairs(max_steps, power, stair)
    golden.check("out_lr", [stored[0] * schedule(step) for step in range(len(stored))])
