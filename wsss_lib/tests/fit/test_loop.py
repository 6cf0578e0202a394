"""The training loop in one process: the same as by hand, the same twice, and a stop before bad numbers."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import wsss_lib.fit
from wsss_lib.fit import NotFiniteError, fit
from wsss_lib.tests.fit.small import (
    Pairs,
    momentum_sgd,
    noisy_terms,
    parameters_hash,
    scaled_fabric,
    shuffled_loader,
    small_network,
    two_terms,
    weights_hash,
)


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_slow_twin(clip_norm, accumulate):
    """The loop equals plain torch, parameter by parameter, with schedule, clipping and a short last group."""
    ours, theirs = small_network(dropout=0), small_network(dropout=0)
    loader = shuffled_loader()

    def schedule(step):
        return 1 / (1 + step)

    history = fit(
        ours, two_terms, loader, momentum_sgd(ours), epochs=2, seed=0, schedule=schedule, clip_norm=clip_norm,
        accumulate=accumulate, channels_last=False, progress=False,
    )  # fmt: skip

    optimizer, totals, norms = momentum_sgd(theirs), [], []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        for start in range(0, len(batches), accumulate):
            group = batches[start : start + accumulate]
            optimizer.param_groups[0]["lr"] = 0.05 * schedule(len(totals))
            optimizer.zero_grad()
            losses = [sum(two_terms(theirs, batch).values()) / len(group) for batch in group]
            for loss in losses:
                loss.backward()
            norms.append(math.sqrt(sum(p.grad.square().sum().item() for p in theirs.parameters())))
            if clip_norm:
                nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
            optimizer.step()
            totals.append(sum(loss.item() for loss in losses))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
        assert not torch.equal(mine, small_network().state_dict()[_name(ours, mine)])
    assert history.steps["total"].tolist() == pytest.approx(totals, rel=1e-5)
    assert history.steps["gradient_norm"].tolist() == pytest.approx(norms, rel=1e-5)
    assert history.steps["lr"].tolist() == pytest.approx([0.05 / (1 + step) for step in range(len(totals))])


def _name(network, parameter):
    return next(name for name, value in network.named_parameters() if value is parameter)


def test_known_answer():
    """w = 1, terms (w - 3)^2 and 2 w: gradient -4 + 2, so a step of 0.1 leads to 1.2; the next one to 1.36."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    history = fit(
        network,
        lambda network, batch: {"square": (network.weight - 3).square().sum(), "line": 2 * network.weight.sum()},
        [None, None],
        torch.optim.SGD(network.parameters(), lr=0.1),
        epochs=1,
        seed=0,
    )
    assert network.weight.item() == pytest.approx(1.36)
    rows = history.steps.drop(columns="gradient_norm").round(5).to_dict("list")
    assert rows == {
        "step": [0, 1],
        "epoch": [0, 0],
        "lr": [0.1, 0.1],
        "square": [4.0, 3.24],
        "line": [2.0, 2.4],
        "total": [6.0, 5.64],
    }
    assert history.steps["gradient_norm"].tolist() == pytest.approx([2.0, 1.6])
    assert history.epochs.round(5).drop(columns="seconds").to_dict("list") == {
        "epoch": [0],
        "step": [2],
        "total": [5.82],
    }
    assert not network.training


def train(network=None, step=noisy_terms, seed=0, epochs=2, optimizer=None, **settings):
    network = network or small_network()
    optimizer = optimizer or momentum_sgd(network)
    history = fit(network, step, shuffled_loader(), optimizer, epochs=epochs, seed=seed, progress=False, **settings)
    return network, history


def test_same_seed_same_weights_bit_by_bit():
    first, second, other = train()[0], train()[0], train(seed=1)[0]
    assert weights_hash(first) == weights_hash(second) != weights_hash(other)


def test_random_numbers_of_the_caller_are_left_alone():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = draw()
    random.seed(3), np.random.seed(3)
    network = small_network()
    torch.manual_seed(3)
    train(network)
    assert draw() == expected


def test_evaluation_may_draw_and_differentiate_without_changing_the_training():
    def evaluate(network, epoch):
        assert not network.training
        loss = network(torch.randn(2, 3, 6, 6)).sum() * np.random.rand() * random.random()
        loss.backward()
        return {"score": loss.item()}

    assert weights_hash(train()[0]) == weights_hash(train(evaluate=evaluate)[0])


def test_evaluation_every_n_epochs_and_after_the_last():
    seen = []

    def evaluate(network, epoch):
        seen.append(epoch)
        return {"score": 10.0 * epoch}

    _, history = train(epochs=5, evaluate=evaluate, every=2)
    assert seen == [1, 3, 4]
    assert history.epochs["score"].fillna(-1).tolist() == [-1, 10, -1, 30, 40]
    assert history.best_epoch is None


@pytest.mark.parametrize(
    "scores, mode, best", [([1, 3, 3, 2], "max", 1), ([4, 2, 5, 2], "min", 1), ([math.nan, 1, math.nan, 1], "max", 1)]
)
def test_the_network_comes_back_with_its_best_weights(scores, mode, best):
    hashes = []

    def evaluate(network, epoch):
        hashes.append(weights_hash(network))
        return {"score": scores[epoch]}

    network, history = train(epochs=4, evaluate=evaluate, keep_best=("score", mode))
    assert (history.best_epoch, history.best_score) == (best, scores[best])
    assert weights_hash(network) == hashes[best] != hashes[-1]


def test_patience_ends_the_training():
    scores = [1, 2, 1, 2, 3]
    _, history = train(
        epochs=5, evaluate=lambda network, epoch: {"score": scores[epoch]}, keep_best=("score", "max"), patience=2
    )
    assert len(history.epochs) == 4
    assert history.best_epoch == 1


@pytest.mark.parametrize("max_steps, epochs_run", [(0, 0), (1, 1), (6, 1), (8, 2)])
def test_max_steps(max_steps, epochs_run):
    seen = []
    _, history = train(max_steps=max_steps, evaluate=lambda network, epoch: seen.append(epoch) or {})
    assert len(history.steps) == max_steps
    assert len(history.epochs) == epochs_run
    assert seen == list(range(epochs_run))


def test_after_an_earlier_call_counts_go_on():
    whole = small_network()
    _, expected = train(whole, epochs=3, schedule=lambda step: 1 / (1 + step))
    parts = small_network()
    optimizer = momentum_sgd(parts)
    _, first = train(parts, epochs=1, optimizer=optimizer, schedule=lambda step: 1 / (1 + step))
    _, both = train(parts, epochs=2, optimizer=optimizer, schedule=lambda step: 1 / (1 + step), after=first)
    assert weights_hash(parts) == weights_hash(whole)
    assert both.steps.equals(expected.steps)
    assert both.epochs["epoch"].tolist() == [0, 1, 2]
    assert both.seconds > first.seconds


def test_schedule_scales_the_rate_of_each_group():
    network = small_network()
    optimizer = torch.optim.SGD(
        [{"params": network[0].parameters(), "lr": 1e-3}, {"params": network[-1].parameters()}], lr=0.1
    )
    train(network, optimizer=optimizer, epochs=1, schedule=lambda step: 0.5**step)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3 * 0.5**5, 0.1 * 0.5**5])


def test_a_step_may_call_backward_itself():
    def own_backward(network, batch):
        terms = two_terms(network, batch)
        terms["square"].backward(retain_graph=True)
        return terms | {"square": terms["square"].detach()}

    for accumulate in (1, 4):
        joint, joint_history = train(step=two_terms, accumulate=accumulate)
        apart, apart_history = train(step=own_backward, accumulate=accumulate)
        for mine, other in zip(apart.parameters(), joint.parameters(), strict=True):
            torch.testing.assert_close(mine, other)
        assert apart_history.steps["square"].tolist() == pytest.approx(joint_history.steps["square"].tolist(), rel=1e-4)


def test_a_term_may_be_absent_or_constant():
    def sometimes(network, batch):
        terms = two_terms(network, batch)
        if "image3" not in batch.ids:
            del terms["absolute"]
        return terms | {"constant": torch.tensor(2.0)}

    _, history = train(step=sometimes)
    assert (history.steps["constant"] == 2).all()
    assert history.steps["absolute"].notna().sum() == 2
    assert history.steps["total"].tolist() == pytest.approx(
        (history.steps["square"] + history.steps["absolute"].fillna(0) + 2).tolist()
    )


def test_frozen_parameters_and_layers_stay():
    network = small_network()
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    train(network, optimizer=torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1))
    assert torch.equal(network[0].weight, before)


def nan_from(step_number, name):
    """A step whose term turns NaN, and the hashes of the weights that it saw."""
    hashes = []

    def step(network, batch):
        hashes.append(parameters_hash(network))
        terms = two_terms(network, batch)
        if len(hashes) > step_number:
            terms[name] = terms[name] * math.nan
        return terms

    return step, hashes


@pytest.mark.parametrize("accumulate", [1, 2])
def test_nan_stops_before_the_weights_are_touched(accumulate):
    network = small_network()
    step, hashes = nan_from(8 * accumulate, "absolute")
    with pytest.raises(
        FloatingPointError, match=r"step 8, epoch \d: the term 'absolute' is nan \(images image"
    ) as error:
        train(network, step=step, epochs=9, accumulate=accumulate)
    assert parameters_hash(network) == hashes[8 * accumulate]
    loader = shuffled_loader()
    loader.sampler.set_epoch(8 * accumulate // 6)
    batch = list(loader)[8 * accumulate % 6]
    assert f"(images {', '.join(batch.ids)})" in str(error.value)


def test_infinite_gradient_of_a_finite_term():
    """The square root of 0 is finite, its slope is not."""
    network = small_network()
    before = parameters_hash(network)
    with pytest.raises(NotFiniteError, match=r"step 0, epoch 0: the norm of the gradient is (nan|inf)"):
        train(network, step=lambda network, batch: {"root": (0 * network(batch.images)).sum().abs().sqrt()})
    assert parameters_hash(network) == before


def test_bfloat16_covers_the_step_only():
    kinds = []

    def step(network, batch):
        outputs = network(batch.images)
        kinds.append(outputs.dtype)
        return {"square": F.mse_loss(outputs.float(), batch.targets)}

    def evaluate(network, epoch):
        return {"full": float(network(torch.zeros(1, 3, 6, 6)).dtype == torch.float32)}

    network, history = train(step=step, precision="bf16-mixed", evaluate=evaluate)
    full, _ = train(step=step)
    assert set(kinds[:12]) == {torch.bfloat16}
    assert history.epochs["full"].tolist() == [1, 1]
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    torch.testing.assert_close(network[-1].weight, full[-1].weight, atol=0.05, rtol=0.05)


def test_scaled_losses_skip_steps_until_gradients_are_finite(monkeypatch):
    monkeypatch.setattr(wsss_lib.fit, "make_fabric", lambda *_: scaled_fabric(2.0**24))
    _, history = train(step=two_terms, precision="16-mixed", epochs=6)
    finite = np.isfinite(history.steps["gradient_norm"])
    assert 0 < (~finite).sum() < 20
    assert finite[-10:].all()
    monkeypatch.setattr(wsss_lib.fit, "make_fabric", lambda *_: scaled_fabric(2.0**8))
    _, plain_history = train(step=two_terms, precision="16-mixed", epochs=6)
    assert np.isfinite(plain_history.steps["gradient_norm"]).all()
    assert plain_history.steps["gradient_norm"][0] == pytest.approx(
        train(step=two_terms)[1].steps["gradient_norm"][0], rel=0.02
    )


def test_scaled_losses_that_never_become_finite(monkeypatch):
    monkeypatch.setattr(wsss_lib.fit, "make_fabric", lambda *_: scaled_fabric(1.0))
    with pytest.raises(NotFiniteError, match="step 20, epoch 3: the norm of the gradient"):
        train(step=lambda n, b: {"root": (0 * n(b.images).float()).sum().abs().sqrt()}, precision="16-mixed", epochs=9)


def test_scaled_losses_refuse_a_step_with_its_own_backward(monkeypatch):
    def step(network, batch):
        terms = two_terms(network, batch)
        terms["square"].backward(retain_graph=True)
        return terms

    monkeypatch.setattr(wsss_lib.fit, "make_fabric", lambda *_: scaled_fabric(8.0))
    with pytest.raises(ValueError, match="calls backward itself needs precision"):
        train(step=step, precision="16-mixed")


def test_channels_last_is_the_memory_format_of_the_network():
    last, first = train(step=two_terms)[0], train(step=two_terms, channels_last=False)[0]
    assert last[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert first[0].weight.is_contiguous()
    torch.testing.assert_close(last[0].weight, first[0].weight, atol=1e-5, rtol=1e-4)


def test_any_batches_will_do():
    batches = [{"x": torch.randn(2, 3, 6, 6), "y": torch.zeros(2, 2)} for _ in range(3)]
    network = small_network()
    history = fit(
        network,
        lambda n, b: {"square": F.mse_loss(n(b["x"]), b["y"])},
        batches,
        momentum_sgd(network),
        epochs=2,
        seed=0,
    )
    assert len(history.steps) == 6


def test_batches_that_can_be_had_once_only():
    network = small_network()
    batches = (Pairs(torch.randn(2, 3, 6, 6), torch.zeros(2, 2), []) for _ in range(3))
    with pytest.raises(ValueError, match="no batch in epoch 1"):
        fit(network, two_terms, batches, momentum_sgd(network), epochs=2, seed=0, progress=False)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": -1}, "should not be negative"),
        ({"seed": -1}, "should not be negative"),
        ({"max_steps": -1}, "should not be negative"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"every": 0}, "every=0"),
        ({"processes": 0}, "processes=0"),
        ({"clip_norm": 0.0}, "clip_norm=0.0 should be positive"),
        ({"precision": "16"}, "choose one of 32-true, bf16-mixed, 16-mixed"),
        ({"precision": "16-mixed", "device": "cpu"}, "needs a GPU"),
        ({"keep_best": ("score", "max")}, "should name a score of evaluate"),
        ({"keep_best": ("score", "most"), "evaluate": lambda n, e: {"score": 1}}, "'max' or 'min'"),
        ({"keep_best": ("f1", "max"), "evaluate": lambda n, e: {"score": 1}}, "'f1'; the scores of evaluate are score"),
        ({"patience": 3}, "needs keep_best"),
        ({"evaluate": lambda n, e: {"total": 1}}, "score named 'total'"),
    ],
)
def test_arguments_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        train(**settings)


@pytest.mark.parametrize(
    "terms, message",
    [
        ({}, "no term"),
        ({"square": torch.zeros(3)}, r"'square' is of shape \[3\]"),
        ({"square": 1.0}, "'square' is a float"),
        ({"lr": torch.zeros(())}, "named 'lr'"),
        ({"square": torch.zeros(())}, "is everything frozen"),
    ],
)
def test_terms_that_do_not_fit(terms, message):
    with pytest.raises(ValueError, match=message):
        train(step=lambda network, batch: terms)
