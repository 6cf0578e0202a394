"""Learning rates and optimizers of the erasing seed against its authors' code."""

import numpy as np
import torch
from torch import nn

from wsss_lib.schedules import learning_rate_groups, poly_decay, poly_decay_to_minimum, poly_sgd
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.steps import rates_and_parameters


@conforms("ktse/ktse_poly_sgd")
def test_ktse_poly_sgd(golden):
    for case in golden.cases:
        params = golden.params[case]
        lr, decay = params["lr"], params["weight_decay"]
        parameters = [nn.Parameter(golden.tensor(f"in_{case}_{name}")) for name in "ab"]
        groups = learning_rate_groups(
            [[parameter] for parameter in parameters],
            lr=lr,
            weight_decay=decay,
            factors=[rate / lr for rate in params["group_lr"]],
            decayed=[group_decay > 0 for group_decay in params["group_weight_decay"]],
        )
        optimizer = poly_sgd(groups, lr=lr, weight_decay=decay)
        assert optimizer.param_groups[0]["momentum"] == params["momentum_in_effect"]
        gradients = list(zip(golden.tensor(f"in_{case}_grad_a"), golden.tensor(f"in_{case}_grad_b"), strict=True))
        rates, values = rates_and_parameters(optimizer, poly_decay(params["max_step"], params["power"]), gradients)
        golden.check(f"out_{case}_lr", rates)
        for name, after_each_step in zip("ab", zip(*values, strict=True), strict=True):
            golden.check(f"out_{case}_{name}", torch.stack(after_each_step))


@conforms("ktse/beco_poly_lr")
def test_beco_poly_lr(golden):
    for case in golden.cases:
        params = golden.params[case]
        lr = golden[f"in_{case}_lr"].item()
        schedule = poly_decay_to_minimum(params["max_iters"], params["min_lr"] / lr, params["power"])
        stored = golden[f"out_{case}_lr_per_step"]
        golden.check(f"out_{case}_lr_per_step", np.array([lr * schedule(step) for step in range(len(stored))]))
