"""Random numbers depend on seed, epoch and process only; states survive a checkpoint and a context."""

import random
from itertools import product

import numpy as np
import pytest
import torch

from wsss_lib.fit.randomness import random_state, random_state_kept, seed_epoch, set_random_state


def draw():
    return random.random(), np.random.rand(), np.random.normal(), torch.rand(1).item()


def test_numbers_depend_on_seed_epoch_and_process():
    drawn = {}
    for key in product((0, 1), (0, 1, 2), (0, 1)):
        seed_epoch(*key)
        drawn[key] = draw()
    for place in range(4):
        assert len({numbers[place] for numbers in drawn.values()}) == len(drawn)
    for key, numbers in drawn.items():
        seed_epoch(*key)
        assert draw() == numbers


def test_state_survives_a_file(tmp_path):
    draw()
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draw() for _ in range(3)]
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_state_is_kept_through_an_error():
    state = random_state()
    expected = draw()
    set_random_state(state)
    with pytest.raises(LookupError), random_state_kept():
        draw()
        raise LookupError
    assert draw() == expected
