"""Pareto fronts of many runs: two scores that pull against each other, a panel a network, a curve a loss."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wsss_lib.figures.style import COLORS, WIDTH, columns_that_fit, house_style, new_figure

STYLES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."), ("v", (0, (6, 2, 1, 2, 1, 2))))
BEFORE = {"color": "black", "markerfacecolor": "white", "markersize": 6, "linestyle": "none"}


def show_fronts(
    models: pd.DataFrame,
    front: Callable[[np.ndarray], Sequence[int]],
    *,
    x: str,
    y: Sequence[str],
    before: str,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """One row of panels for each score of ``y`` over ``x``: a color a loss, a marker a depth, fronts joined by a line.

    Args:
        models: one row per model: ``network`` (its panel), ``loss``, ``depth``, and the scores, percent.
        front: scores [N, 2] of the models of one curve -> rows that no other row beats.
        x, y: columns of the scores.
        before: value of ``loss`` of the models that no loss guided; they are marked, not joined.
        labels: column -> text of its axis; the column's name by default.

    Raises:
        ValueError: no model, or more losses or depths than can be told apart.
    """
    networks, losses, depths = (list(dict.fromkeys(models[name])) for name in ("network", "loss", "depth"))
    losses = sorted(set(losses) - {before})
    if not networks or len(losses) >= len(COLORS) or len(depths) > len(STYLES):
        raise ValueError(f"{len(models)} models of {len(losses)} losses at {len(depths)} depths do not fit in a figure")
    labels = labels or {}
    colors, styles = (dict(zip(*pairs, strict=False)) for pairs in ((losses, COLORS), (depths, STYLES)))
    with house_style():
        figure = new_figure(min(WIDTH, 1.2 + 2.4 * len(networks)), 0.6 + 1.9 * len(y))
        rows = figure.subplots(len(y), len(networks), squeeze=False, sharex="col", sharey="row")
        for panel, score, network in zip(rows.flat, np.repeat(y, len(networks)), networks * len(y), strict=True):
            for (loss, depth), curve in models[models["network"] == network].groupby(["loss", "depth"], sort=False):
                marker, line = styles[depth]
                if loss == before:
                    panel.plot(curve[x], curve[score], marker=marker, zorder=3, **BEFORE)
                    continue
                best = curve.iloc[front(curve[[x, score]].to_numpy())].sort_values(x)
                panel.plot(curve[x], curve[score], marker, color=colors[loss], alpha=0.35, markersize=3)
                panel.plot(best[x], best[score], marker=marker, linestyle=line, color=colors[loss], markersize=4)
            panel.margins(0.12)
        for panel, network in zip(rows[0], networks, strict=True):
            panel.set_title(network)
        for row, score in zip(rows, y, strict=True):
            row[0].set_ylabel(labels.get(score, score))
        for panel in rows[-1]:
            panel.set_xlabel(labels.get(x, x))
        handles = [Line2D([], [], color=color, label=loss) for loss, color in colors.items()]
        for depth, (marker, line) in styles.items():
            handles.append(Line2D([], [], color="0.5", marker=marker, linestyle=line, markersize=4, label=depth))
        if before in set(models["loss"]):
            handles.append(Line2D([], [], marker="o", label=before, **BEFORE))
        columns = columns_that_fit([handle.get_label() for handle in handles], figure.get_figwidth())
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure
