"""Checkpoints: an interrupted training ends as one that was not, and no other file is taken for a checkpoint."""

import errno
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

import wsss_lib.fit
from wsss_lib.fit import fit
from wsss_lib.fit.checkpoint import FILE
from wsss_lib.tests.fit.small import (
    momentum_sgd,
    noisy_terms,
    scaled_fabric,
    shuffled_loader,
    small_network,
    weights_hash,
)
from wsss_lib.tests.intruder import Intruder


@pytest.fixture(autouse=True)
def another_session(monkeypatch):
    """Every test begins a session."""
    monkeypatch.setattr(wsss_lib.fit, "_finished_here", set())


@pytest.fixture(autouse=True)
def interrupts_are_heard():
    """Ctrl-C as in a terminal: a process started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def evaluate(network, epoch):
    return {"score": float(epoch == 1)}


def train(folder, network=None, step=noisy_terms, epochs=3, seed=0, **settings):
    network = network or small_network()
    settings.setdefault("optimizer", momentum_sgd(network))
    history = fit(
        network, step, shuffled_loader(), epochs=epochs, seed=seed, checkpoint=folder, evaluate=evaluate,
        keep_best=("score", "max"), schedule=lambda step: 0.95**step, progress=False, **settings,
    )  # fmt: skip
    return network, history


def interrupted_at(number):
    """The step, with a Ctrl-C during its ``number``-th call."""
    calls = []

    def step(network, batch):
        calls.append(batch)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return noisy_terms(network, batch)

    return step


@pytest.mark.parametrize("number", [1, 6, 8, 18])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_interrupted_and_continued_is_uninterrupted(tmp_path, number, accumulate):
    expected, expected_history = train(None, accumulate=accumulate)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(number), accumulate=accumulate)
    calls = []

    def step(network, batch):
        calls.append(batch)
        return noisy_terms(network, batch)

    continued, history = train(tmp_path, step=step, accumulate=accumulate)
    assert weights_hash(continued) == weights_hash(expected)
    assert history.steps.equals(expected_history.steps)
    assert history.epochs.drop(columns="seconds").equals(expected_history.epochs.drop(columns="seconds"))
    assert (history.best_epoch, history.best_score) == (1, 1)
    assert 0 <= len(calls) <= 18 - number
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_stops_at_once(tmp_path):
    def step(network, batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the step went on")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=step)
    assert not (tmp_path / FILE).exists()


def test_killed_between_checkpoints_goes_on_from_the_last(tmp_path):
    """An error ends the process like a kill would: nothing is written after it."""
    expected, _ = train(None)
    calls = []

    def step(network, batch):
        calls.append(batch)
        if len(calls) == 9:
            raise RuntimeError("killed")
        return noisy_terms(network, batch)

    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path, step=step, checkpoint_minutes=0)
    (tmp_path / f".{FILE}.part").write_bytes(b"half a file")
    continued, history = train(tmp_path, step=step)
    assert weights_hash(continued) == weights_hash(expected)
    assert len(calls) == 9 + 18 - 8
    assert len(history.steps) == 18


def test_a_finished_training_is_handed_back(tmp_path, monkeypatch):
    expected, expected_history = train(tmp_path)
    monkeypatch.setattr(wsss_lib.fit, "_finished_here", set())

    def step(network, batch):
        raise AssertionError("trained again")

    network, history = train(tmp_path, step=step)
    assert weights_hash(network) == weights_hash(expected)
    assert history.steps.equals(expected_history.steps)
    assert not network.training


def test_a_folder_serves_one_training_of_a_session(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match="give each call its own folder"):
        train(tmp_path)


def test_the_scale_of_16_bit_losses_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(wsss_lib.fit, "make_fabric", lambda *_: scaled_fabric(2.0**24))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(16), precision="16-mixed")
    _, history = train(tmp_path, precision="16-mixed")
    finite = np.isfinite(history.steps["gradient_norm"])
    assert not finite[:2].any()
    assert finite[15:].all()


@pytest.mark.parametrize("bytes_left", [0, 100, -100])
def test_a_truncated_checkpoint_is_refused(tmp_path, bytes_left):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(3))
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:bytes_left])
    with pytest.raises(ValueError, match=r"training\.pt is damaged .* delete .* to begin again"):
        train(tmp_path)


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    torch.save({"network": Intruder(tmp_path / "made")}, tmp_path / FILE)
    with pytest.raises(ValueError, match=r"training\.pt is damaged"):
        train(tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"network": small_network(norm=False)},
            r"another network \(.*only in the network.*only in the checkpoint: 1\.",
        ),
        (
            {"network": nn.Sequential(nn.Conv2d(3, 4, 5), *small_network()[1:])},
            r"1 of other shapes: 0.weight \[4, 3, 5",
        ),
        ({"seed": 1}, "made with seed=0, this is seed=1"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, message):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(3))
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **change)


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(3))
    network = small_network()
    groups = [{"params": [parameter]} for parameter in network.parameters()]
    with pytest.raises(ValueError, match="of another optimizer"):
        train(tmp_path, network, optimizer=torch.optim.SGD(groups, lr=0.1))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, code):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=interrupted_at(3))
    before = (tmp_path / FILE).read_bytes()

    def write_a_little(content, stream):
        stream.write(b"PK")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(torch, "save", write_a_little)
    with pytest.raises(OSError, match=r"could not write the checkpoint .*training\.pt") as error:
        train(tmp_path)
    assert error.value.errno == code
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
