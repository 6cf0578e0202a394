"""Tables of a training."""

import pandas as pd

from wsss_lib.fit.history import History, State


def state_of_two_steps() -> State:
    state = State(seed=0, processes=1, epoch=1, step=2, seconds=3.0)
    first = {"step": 0, "epoch": 0, "lr": 0.1, "square": 2.0, "total": 2.0, "gradient_norm": 1.0}
    state.steps = [first, first | {"step": 1, "line": 1.0, "total": 3.0}]
    state.epochs = [{"epoch": 0, "step": 2, "seconds": 3.0, "total": 2.5, "f1": 50.0}]
    return state


def test_terms_stand_between_counts_and_total():
    history = state_of_two_steps().history()
    assert [*history.steps] == ["step", "epoch", "lr", "square", "line", "total", "gradient_norm"]
    assert [*history.epochs] == ["epoch", "step", "seconds", "total", "f1"]
    assert history.steps["line"].isna().tolist() == [True, False]


def test_a_training_without_steps_has_empty_tables():
    history = State(seed=0, processes=1).history()
    assert [*history.steps] == ["step", "epoch", "lr", "total", "gradient_norm"]
    assert len(history.steps) == len(history.epochs) == 0


def test_going_on_after_a_history_keeps_its_tables():
    history = state_of_two_steps().history()
    state = State.after(history, seed=0, processes=1)
    assert (state.epoch, state.step, state.seconds, state.epoch_began) == (1, 2, 3.0, 3.0)
    again = state.history()
    assert isinstance(again, History)
    pd.testing.assert_frame_equal(again.steps, history.steps)
    pd.testing.assert_frame_equal(again.epochs, history.epochs)
    assert State.after(None, seed=7, processes=2) == State(7, 2)
