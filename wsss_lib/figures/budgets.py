"""A score over a budget, such as the number of masks that a model learns from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from wsss_lib.figures.style import COLORS, columns_that_fit, house_style, new_figure

MARKERS = "os^Dv<>"


def show_budgets(scores: pd.DataFrame, *, line: str, x: str, y: str, spread: str) -> Figure:
    """One line a model over a logarithmic axis of the budgets that were run, with bars where the spread is known.

    Args:
        scores: one row per model and budget.
        line: column that names the model.
        x, y: columns of budget and score, which label the axes.
        spread: column of half the length of the bar; NaN draws none.

    Raises:
        ValueError: no row, a budget that is not positive, or more models than can be told apart.
    """
    if scores.empty or (scores[x] <= 0).any():
        raise ValueError(f"{len(scores)} scores; give at least one, all of budgets above 0")
    names = list(dict.fromkeys(scores[line]))
    if len(names) > len(COLORS):
        raise ValueError(f"{len(names)} lines in one panel; show at most {len(COLORS)}, which eyes can tell apart")
    with house_style():
        figure = new_figure(5.0, 2.8)
        axes = figure.subplots()
        for name, color, marker in zip(names, COLORS, MARKERS, strict=False):
            of_model = scores[scores[line] == name].sort_values(x)
            axes.errorbar(
                of_model[x], of_model[y], of_model[spread], fmt=f"{marker}-", color=color, markersize=5, capsize=2.5
            )
            axes.plot([], [], f"{marker}-", color=color, markersize=5, label=name)  # a legend without bars
        budgets = np.unique(scores[x])
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel=x, ylabel=y, xlim=(budgets[0] / 1.25, budgets[-1] * 1.25))
        figure.legend(loc="outside upper center", ncols=columns_that_fit(names, 5.0), frameon=False)
    return figure
