"""Schedules against their equations in loops, and the optimizers of the papers."""

import math

import pytest
import torch
from torch import nn

from wsss_lib.schedules import (
    constant,
    learning_rate_groups,
    per_epoch,
    poly_decay,
    poly_decay_in_stairs,
    poly_decay_to_minimum,
    poly_sgd,
    warm_up_then_constant,
    warm_up_then_cosine,
    warm_up_then_linear,
)


@pytest.mark.parametrize("max_steps, power", [(1, 0.9), (7, 0.9), (30, 2.0)])
def test_poly_decay_freezes_at_its_last_step(max_steps, power):
    factor = 1.0
    for step in range(2 * max_steps):
        if step < max_steps:
            factor = (1 - step / max_steps) ** power
        assert poly_decay(max_steps, power)(step) == pytest.approx(factor, rel=1e-12)
    assert factor > 0


@pytest.mark.parametrize("minimum", [0.0, 0.2])
def test_poly_decay_to_minimum(minimum):
    for step in range(15):
        left = max(0, 10 - step) / 10
        assert poly_decay_to_minimum(10, minimum)(step) == pytest.approx(max(left**0.9, minimum))


@pytest.mark.parametrize("max_steps, stair", [(20, 10), (25, 10), (7, 1), (5, 10)])
def test_poly_decay_in_stairs_changes_at_multiples_only(max_steps, stair):
    factor = 1.0
    for step in range(2 * max_steps + 1):
        if step % stair == 0 and step <= max_steps:
            factor = (1 - step / max_steps) ** 0.9
        assert poly_decay_in_stairs(max_steps, stair=stair)(step) == pytest.approx(factor)


def test_warm_up():
    for step in range(12):
        rising = step / 4
        falling = (step - 4) / 6
        expected = {
            warm_up_then_constant(4): 1.0,
            warm_up_then_linear(4, 10): max(0.0, 1 - falling),
            warm_up_then_cosine(4, 10): (1 + math.cos(math.pi * falling)) / 2,
            warm_up_then_cosine(4, 10, cycles=2): (1 + math.cos(4 * math.pi * falling)) / 2,
        }
        for schedule, factor in expected.items():
            assert schedule(step) == pytest.approx(rising if step < 4 else factor)
    assert warm_up_then_constant(0)(0) == 1
    assert constant(0) == constant(10**6) == 1


def test_per_epoch_changes_once_an_epoch():
    schedule = per_epoch(poly_decay(3, power=1.0), steps_per_epoch=2)
    assert [schedule(step) for step in range(6)] == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("form, momentum", [("official", 0.01), ("paper", 0.9)])
def test_poly_sgd_by_hand(form, momentum):
    """v = momentum v + (g + decay w); w = w - lr v, in plain numbers."""
    parameter = nn.Parameter(torch.tensor([2.0]))
    optimizer = poly_sgd([parameter], lr=0.1, weight_decay=0.01, form=form)
    weight, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        velocity = momentum * velocity + gradient + 0.01 * weight
        weight -= 0.1 * velocity
        assert parameter.item() == pytest.approx(weight, rel=1e-6)


def test_form_that_is_not_known():
    with pytest.raises(ValueError, match="official, paper"):
        poly_sgd([nn.Parameter(torch.zeros(1))], lr=0.1, weight_decay=0.0, form="intended")


def test_learning_rate_groups_leave_out_what_is_empty():
    weights, biases = [nn.Parameter(torch.zeros(2))], [nn.Parameter(torch.zeros(1))]
    groups = learning_rate_groups([weights, biases, [], iter(biases)], lr=0.1, weight_decay=0.5)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.1, 0.5), (0.2, 0.0), (2.0, 0.0)]
    with pytest.raises(ValueError):
        learning_rate_groups([weights, biases], lr=0.1, weight_decay=0.5)


@pytest.mark.parametrize("make", [poly_decay, poly_decay_in_stairs, lambda steps: poly_decay_to_minimum(steps, 0.1)])
def test_no_steps(make):
    with pytest.raises(ValueError, match="max_steps is 0"):
        make(0)
