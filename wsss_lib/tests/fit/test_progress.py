"""What a training shows: one bar for people who watch, at most twelve plain lines for a page."""

import sys

import pytest

from wsss_lib.fit import fit
from wsss_lib.fit.progress import MOST_LINES, Progress
from wsss_lib.tests.fit.small import momentum_sgd, shuffled_loader, small_network, two_terms


def show(epochs, steps_per_epoch=2, first_epoch=0, **settings):
    last_epoch = first_epoch + epochs
    progress = Progress(True, first_epoch, last_epoch, done=0, total=epochs * steps_per_epoch, **settings)
    for epoch in range(first_epoch, last_epoch):
        for _ in range(steps_per_epoch):
            progress.step({"epoch": epoch, "total": 0.5})
        progress.epoch({"epoch": epoch, "total": 0.5, "seconds": 1.5}, {"f1": 90.5}, 0.01, epoch + 1 == last_epoch)
    progress.close()


@pytest.mark.parametrize("epochs", [1, 2, 11, 12, 13, 24, 25, 100, 133, 144, 1001])
def test_few_plain_lines_on_a_page(epochs, monkeypatch, capsys):
    monkeypatch.setenv("WSSS_HEADLESS", "1")
    show(epochs, first_epoch=3)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert min(epochs, 7) <= len(lines) <= MOST_LINES
    assert lines[-1] == f"epoch {epochs + 3}/{epochs + 3}: total 0.5, lr 0.01, f1 90.5, 1.5 s"
    assert "\r" not in shown.out
    assert not shown.err


def test_one_bar_for_people_who_watch(monkeypatch, capsys):
    monkeypatch.delenv("WSSS_HEADLESS", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show(3, widgets=False)
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1
    assert "epoch 3/3: 100%" in shown.err
    assert "6/6" in shown.err and "total 0.5, f1 90.5" in shown.err


def test_nothing_unless_asked_for(monkeypatch, capsys):
    network = small_network()
    for progress in (False, True):
        fit(network, two_terms, shuffled_loader(), momentum_sgd(network), epochs=1, seed=0, progress=progress)
        shown = capsys.readouterr()
        assert bool(shown.out) == progress
        assert not shown.err
