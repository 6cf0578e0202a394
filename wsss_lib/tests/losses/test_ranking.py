"""Margin ranking against loops; rows without right or wrong words."""

import pytest
import torch

from wsss_lib.losses.ranking import margin_ranking_loss


def slow(cosines, targets, margin, form, dropped):
    total, rows = 0.0, 0
    for row, right in zip(cosines.tolist(), targets.tolist(), strict=True):
        words = [j for j, t in enumerate(right) if t]
        rows += bool(words) or not dropped
        if not words:
            continue
        if form == "official":
            mean = sum(row[j] for j in words) / len(words)
            total += sum(max(0, margin - mean + s) for c, s in enumerate(row) if c not in words)
        else:
            hinges = [max(0, margin - row[j] + s) for j in words for c, s in enumerate(row) if c != j]
            total += sum(hinges) / len(words)
    return total / max(rows, 1)


@pytest.mark.parametrize("form", ["official", "paper"])
@pytest.mark.parametrize("empty_rows", ["count", "drop"])
def test_loss_is_the_definition(form, empty_rows):
    for seed in range(4):
        torch.manual_seed(seed)
        cosines, targets = torch.rand(6, 9) * 2 - 1, (torch.rand(6, 9) > 0.75).float()
        targets[1], targets[2] = 0, 1
        options = {"margin": 0.7, "form": form, "empty_rows": empty_rows}
        wanted = slow(cosines, targets, 0.7, form, empty_rows == "drop")
        assert margin_ranking_loss(cosines, targets, **options).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("form", ["official", "paper"])
def test_rows_without_a_right_word_give_no_nan(form):
    cosines = torch.rand(3, 4, requires_grad=True)
    loss = margin_ranking_loss(cosines, torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]), form=form)
    loss.backward()
    assert cosines.grad.isfinite().all() and not cosines.grad[1].any() and cosines.grad[0].any()
    nothing = margin_ranking_loss(cosines, torch.zeros(3, 4), form=form)
    assert nothing.item() == 0


def test_both_forms_agree_for_one_right_word():
    cosines, targets = torch.rand(5, 6), torch.eye(6)[:5]
    losses = [margin_ranking_loss(cosines, targets, form=form).item() for form in ("official", "paper")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(ValueError, match="official or paper"):
        margin_ranking_loss(cosines, targets, form="seed")
