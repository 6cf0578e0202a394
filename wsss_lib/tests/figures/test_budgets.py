import numpy as np
import pandas as pd
import pytest

from wsss_lib.figures.budgets import show_budgets
from wsss_lib.tests.figures.looks import check_texts

COLUMNS = {"line": "model", "x": "masks", "y": "mIoU", "spread": "std"}
SCORES = pd.DataFrame(
    [("A", 300, 80.0, np.nan), ("A", 16, 40.0, 2.0), ("A", 50, 60.0, 1.0), ("B", 16, 45.0, np.nan)],
    columns=["model", "masks", "mIoU", "std"],
)


def test_lines_go_from_few_to_many_and_ticks_are_what_was_run():
    figure = show_budgets(SCORES, **COLUMNS)
    (axes,) = figure.axes
    texts = check_texts(figure)
    assert axes.get_xscale() == "log" and [t.get_text() for t in axes.get_xticklabels()] == ["16", "50", "300"]
    assert {"A", "B", "masks", "mIoU"} <= set(texts)
    first, second = axes.containers
    assert first.lines[0].get_xdata().tolist() == [16, 50, 300] and first.lines[0].get_ydata().tolist() == [40, 60, 80]
    (bars,) = first.lines[2]
    heights = [segment[:, 1].tolist() for segment in bars.get_segments() if len(segment)]
    assert heights[:2] == [[38, 42], [59, 61]] and np.isnan(heights[2:]).all(), "one seed has no bar"
    assert second.lines[0].get_xdata().tolist() == [16]


def test_one_budget_is_a_point():
    check_texts(show_budgets(SCORES[:1], **COLUMNS))


def test_refuses_nothing_and_budgets_without_a_logarithm():
    for scores in (SCORES[:0], SCORES.assign(masks=0)):
        with pytest.raises(ValueError, match="above 0"):
            show_budgets(scores, **COLUMNS)
