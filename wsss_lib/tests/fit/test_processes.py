"""Several processes: two make the steps of one with twice the batch; what ends one ends all, and is said here."""

import math
import os
import signal
import threading
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
import torch
from torch import nn
from torch.multiprocessing import ProcessRaisedException
from traitlets.config import Config

from wsss_lib.fit import NotFiniteError, fit
from wsss_lib.fit.checkpoint import FILE
from wsss_lib.paths import PROJECT
from wsss_lib.tests.fit.small import (
    momentum_sgd,
    noisy_terms,
    shuffled_loader,
    small_network,
    two_terms,
    weights_hash,
)


def train(processes, step=two_terms, network=None, loader=None, **settings):
    network = network or small_network(dropout=0, norm=False)
    loader = loader or shuffled_loader(batch_size=8 // processes)
    settings = {"epochs": 2, "seed": 0, "progress": False, "device": "cpu"} | settings
    history = fit(network, step, loader, momentum_sgd(network), processes=processes, **settings)
    return network, history


def assert_same_training(one, two):
    (network, history), (other, other_history) = one, two
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert not torch.allclose(network[0].weight, small_network(norm=False)[0].weight, atol=1e-3)
    for column in history.steps:
        assert history.steps[column].tolist() == pytest.approx(other_history.steps[column].tolist(), rel=1e-4)


@pytest.mark.parametrize("settings", [{"clip_norm": 0.5}, {"accumulate": 2}])
def test_two_processes_are_one_with_twice_the_batch(settings):
    loader = shuffled_loader(batch_size=4, num_workers=1)
    next(iter(loader))  # its reading process stays with this process
    before = dict(os.environ)
    assert_same_training(train(1, **settings), train(2, loader=loader, **settings))
    assert dict(os.environ) == before
    assert not torch.distributed.is_initialized()


CELL = """
import os, sys
os.environ["WSSS_HEADLESS"] = "1"
sys.modules["torchmetrics"] = None  # lightning-fabric would import it, which takes seconds
import torch
from wsss_lib.fit import NotFiniteError, fit
from wsss_lib.tests.fit.small import momentum_sgd, shuffled_loader, small_network, two_terms

torch.nn.functional.conv2d(torch.ones(8, 3, 9, 9), torch.ones(3, 3, 3, 3, requires_grad=True)).sum().backward()
network, half = small_network(dropout=0, norm=False), 0.5

def step(network, batch):
    return {name: half * term for name, term in two_terms(network, batch).items()}

def evaluate(network, epoch):
    return {"weight": network[0].weight.sum().item()}

history = fit(network, step, shuffled_loader(4), momentum_sgd(network), epochs=2, seed=0, processes=2, device="cpu",
              evaluate=evaluate)
torch.save({"network": network.state_dict(), "totals": history.steps["total"].tolist(),
            "weights": history.epochs["weight"].tolist()}, RESULT)
"""


def test_two_processes_in_a_notebook(tmp_path):
    """Step and scores are functions of the notebook; the trained weights are in its kernel afterwards."""
    cell = nbformat.v4.new_code_cell(CELL.replace("RESULT", repr(str(tmp_path / "result.pt"))))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    where = {"metadata": {"path": str(PROJECT)}}
    config = Config({"KernelManager": {"transport": "ipc"}})
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where, config=config).execute()
    result = torch.load(tmp_path / "result.pt", weights_only=True)

    def step(network, batch):
        return {name: 0.5 * term for name, term in two_terms(network, batch).items()}

    one, history = train(1, step)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(result["network"][name], value)
    assert result["totals"] == pytest.approx(history.steps["total"].tolist(), rel=1e-4)
    assert result["weights"][-1] == pytest.approx(one[0].weight.sum().item(), rel=1e-4)
    text = "".join(output["text"] for output in notebook.cells[0].outputs)
    assert [line.split(":")[0] for line in text.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_parameter_that_one_process_does_not_use():
    network = nn.ModuleDict(
        {"all": small_network(dropout=0, norm=False), "some": nn.Linear(2, 2), "none": nn.Linear(2, 2)}
    )

    def step(network, batch):
        outputs = network["all"](batch.images)
        terms = {"all": outputs.square().mean()}
        if torch.distributed.get_rank() == 1:
            terms["some"] = network["some"](outputs.detach()).square().mean()
        return terms

    before = {name: value.clone() for name, value in network.state_dict().items()}
    _, history = train(2, step=step, network=network)
    assert not torch.equal(network["some"].weight, before["some.weight"])
    assert torch.equal(network["none"].weight, before["none.weight"])  # no weight decay either
    assert (history.steps["total"] - history.steps["all"] - history.steps["some"]).abs().max() < 1e-6


def test_the_best_weights_and_scores_come_back():
    def evaluate(network, epoch):
        assert torch.distributed.get_rank() == 0
        return {"score": -float(epoch)}

    best, history = train(2, epochs=3, evaluate=evaluate, keep_best=("score", "max"))
    assert history.best_epoch == 0
    assert history.epochs["score"].tolist() == [0, -1, -2]
    assert weights_hash(best) == weights_hash(train(2, epochs=1)[0])


def test_each_process_draws_its_own_random_numbers():
    def step(network, batch):
        return {"draw": torch.rand(()) + 0 * network(batch.images).sum()}

    (_, one), (_, two) = train(1, step=step), train(2, step=step)
    assert (one.steps["draw"] - two.steps["draw"]).abs().min() > 0
    assert train(2, step=step)[1].steps.equals(two.steps)


def test_a_process_computes_on_one_thread():
    """The forked process cannot use the thread pool of this one."""

    def step(network, batch):
        return {"threads": two_terms(network, batch)["square"] * 0 + torch.get_num_threads()}

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _, history = train(2, step=step)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (history.steps["threads"] == 1).all()


def test_interrupted_and_continued_is_uninterrupted(tmp_path):
    network = small_network()
    expected, _ = train(2, noisy_terms, network=network, epochs=3)

    def slow(network, batch):
        (tmp_path / "begun").touch()
        time.sleep(0.05)
        return noisy_terms(network, batch)

    def interrupt():
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        train(2, slow, network=small_network(), epochs=3, checkpoint=tmp_path)
    assert (tmp_path / FILE).exists()
    continued, history = train(2, noisy_terms, network=small_network(), epochs=3, checkpoint=tmp_path)
    assert weights_hash(continued) == weights_hash(expected)
    assert len(history.steps) == 9


def test_nan_in_one_process_names_its_images():
    def step(network, batch):
        terms = two_terms(network, batch)
        if "image7" in batch.ids:
            terms["absolute"] = terms["absolute"] * math.nan
        return terms

    network = small_network(dropout=0, norm=False)
    with pytest.raises(NotFiniteError, match=r"step \d, epoch 0: the term 'absolute' is nan \(.*image7") as error:
        train(2, step, network=network)
    steps = int(str(error.value).split(",")[0].removeprefix("step "))
    assert weights_hash(network) == weights_hash(train(2, max_steps=steps)[0])


@pytest.mark.parametrize("error", [LookupError, FloatingPointError])
def test_an_error_in_a_process_comes_with_its_traceback(error):
    def fail(*_):
        raise error("no such class: zebra")

    with pytest.raises(ProcessRaisedException, match="no such class: zebra"):
        train(2, fail)
    with pytest.raises(ProcessRaisedException, match="no such class: zebra"):
        train(2, evaluate=fail)  # while the other process waits for the scores


def test_processes_end_with_the_one_that_started_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)  # other tests may have asked for GPUs before

    def slow(network, batch):
        (tmp_path / f"{os.getpid()}").touch()
        time.sleep(0.05)
        return two_terms(network, batch)

    parent = os.fork()
    if parent == 0:
        try:
            train(2, slow, epochs=1000)
        finally:
            os._exit(1)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_until(lambda: not any(is_running(int(path.name)) for path in tmp_path.iterdir()))


def wait_until(condition, seconds=30):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "waited in vain"
        time.sleep(0.02)


def is_running(process):
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_gpus_in_use_before_the_fork(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="restart the kernel"):
        train(2, device="cuda")


def test_a_loader_that_cannot_be_shared():
    with pytest.raises(ValueError, match="set_shard"):
        train(2, loader=list(shuffled_loader()))
