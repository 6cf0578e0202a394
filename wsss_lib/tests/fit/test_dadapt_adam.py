"""D-adaptation: it finds the size of its steps, groups and missing gradients, bad options."""

from itertools import pairwise

import pytest
import torch

from wsss_lib.fit.dadapt_adam import DAdaptAdam


def test_it_finds_its_learning_rate():
    for scale in (0.01, 100.0):
        goal = scale * torch.tensor([1.0, -2.0])
        parameter = torch.zeros(2, requires_grad=True)
        optimizer = DAdaptAdam([parameter])
        visited = []
        for _ in range(600):
            optimizer.zero_grad()
            (parameter - goal).abs().sum().backward()
            optimizer.step()
            visited.append(parameter.detach().clone())
        assert optimizer.param_groups[0]["estimate"] > 1e-4 * scale
        assert (torch.stack(visited[-300:]).mean(0) - goal).abs().max() < 0.5 * scale


def test_the_estimate_only_grows_and_no_faster_than_allowed():
    parameter = torch.ones(3, requires_grad=True)
    optimizer, estimates = DAdaptAdam([parameter], growth=1.1), []
    for _ in range(20):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
        estimates.append(optimizer.param_groups[0]["estimate"])
    ratios = [b / a for a, b in pairwise(estimates)]
    assert min(ratios) >= 1 and max(ratios) <= 1.1 + 1e-9 and estimates[-1] > estimates[0]


def test_parameters_without_gradient_stay_and_the_state_is_kept():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = DAdaptAdam([{"params": [used]}, {"params": [unused], "lr": 0.5}])
    optimizer.step()
    loss = optimizer.step(lambda: (used.sum().backward(), 3.0)[1])
    assert loss == 3.0 and torch.equal(unused, torch.ones(2)) and not torch.equal(used, torch.ones(2))
    other = DAdaptAdam([{"params": [used]}, {"params": [unused], "lr": 0.5}])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["numerator"] == optimizer.param_groups[0]["numerator"] > 0


@pytest.mark.parametrize("option", [{"lr": -1.0}, {"growth": 0.5}, {"betas": (1.0, 0.9)}, {"first_estimate": 0.0}])
def test_bad_options_are_refused(option):
    with pytest.raises(ValueError, match="should"):
        DAdaptAdam([torch.ones(1, requires_grad=True)], **option)
