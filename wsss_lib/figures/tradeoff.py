"""Two scores that pull against each other, and the models that no other model beats in both."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wsss_lib.figures.style import COLORS, house_style, new_figure


def show_tradeoff(
    models: pd.DataFrame,
    *,
    x: str,
    y: Sequence[str],
    front: Sequence[bool],
    marked: Mapping[str, Mapping[str, float]] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """One panel for each score of ``y`` over the score ``x``: all models pale, those of the front joined by a line.

    Args:
        models: one row per model (epoch), one column per score, percent.
        x, y: columns.
        front: one flag per row, True for models of the Pareto front.
        marked: name in the legend -> scores of a point to mark, such as the model before guidance.
        labels: column -> text of its axis; the column's name by default.

    Raises:
        ValueError: no model, or another number of flags.
    """
    chosen = np.asarray(front, dtype=bool)
    if len(models) == 0 or len(chosen) != len(models):
        raise ValueError(f"{len(chosen)} flags for {len(models)} models; give one for each of at least one model")
    labels = labels or {}
    with house_style():
        figure = new_figure(3.4 * len(y), 3.0)
        panels = figure.subplots(1, len(y), squeeze=False)[0]
        for panel, name in zip(panels, y, strict=True):
            best = models[chosen].sort_values([x, name])
            panel.plot(models[x], models[name], "o", color="0.7", markersize=4, label="evaluated")
            panel.plot(best[x], best[name], "o-", color=COLORS[0], linewidth=1.2, markersize=5, label="Pareto front")
            for (text, point), color, marker in zip((marked or {}).items(), COLORS[1:], "sD^v<>", strict=False):
                panel.plot(point[x], point[name], marker, color=color, markersize=7, label=text)
            panel.set(xlabel=labels.get(x, x), ylabel=labels.get(name, name))
        handles, texts = panels[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
    return figure
