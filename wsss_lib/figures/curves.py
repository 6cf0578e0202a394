"""Numbers over steps, thresholds and classes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wsss_lib.figures.style import COLORS, FONT_SIZE, WIDTH, columns_that_fit, house_style, new_figure

PANELS = 4  # side by side


def show_terms(terms: pd.DataFrame | Mapping[str, Sequence[float]], *, span: int | None = None) -> Figure:
    """Loss terms over training steps, one panel a term: raw values pale, their running mean on top.

    Args:
        terms: one column per term, one row per step; the index of a frame is the step.
        span: length of the centered running mean, rows; a twentieth of the run by default.
    """
    terms = pd.DataFrame(terms)
    if terms.empty:
        raise ValueError("there is no step to show; give one value per step and term")
    span = span or max(1, len(terms) // 20)
    num_columns = min(PANELS, terms.shape[1])
    num_rows = -(-terms.shape[1] // num_columns)
    with house_style():
        figure = new_figure(max(3.5, WIDTH * num_columns / PANELS), 1.9 * num_rows)
        axes = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True).flat
        for panel in axes[terms.shape[1] :]:
            panel.set_visible(False)
        for panel, (name, values) in zip(axes, terms.items(), strict=False):
            values = values.dropna()
            panel.plot(values.index, values, color=COLORS[0], alpha=0.3, linewidth=0.7)
            panel.plot(
                values.index, values.rolling(span, center=True, min_periods=1).mean(), color=COLORS[0], linewidth=1.5
            )
            panel.set_title(str(name).replace("_", " "))
            panel.xaxis.get_major_locator().set_params(nbins=4, integer=True)
            panel.yaxis.set_major_formatter("{x:g}")
            panel.tick_params(labelbottom=True)
        figure.supxlabel("step", fontsize=FONT_SIZE)
    return figure


def show_sweep(
    thresholds: Sequence[float],
    scores: Mapping[str, Sequence[float]],
    *,
    chosen: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    label: str = "mIoU (%)",
) -> Figure:
    """Score over the background score, one line a method, with the chosen point of each.

    Args:
        thresholds: background scores.
        scores: name of the line -> score at each threshold, percent.
        chosen: name of the line -> threshold marked on it (chosen on other data, say); its best one by default.
        marks: text -> threshold of a dotted vertical line, such as the value printed in a paper.
        label: of the vertical axis.
    """
    thresholds = np.asarray(thresholds, float)
    with house_style():
        figure = new_figure(5.0, 2.6 + 0.17 * (len(scores) + len(marks or ())))
        axes = figure.subplots()
        for (name, values), color in zip(scores.items(), _colors(len(scores)), strict=True):
            values = np.asarray(values, float)
            if values.shape != thresholds.shape:
                raise ValueError(f"{name!r} has {values.size} scores for {thresholds.size} thresholds")
            point = int(np.nanargmax(values))
            if chosen is not None and name in chosen:
                point = int(np.abs(thresholds - chosen[name]).argmin())
            axes.plot(thresholds, values, color=color, linewidth=1.5)
            place = f"{name}: {values[point]:.1f} at {thresholds[point]:.3g}"
            axes.plot(thresholds[point], values[point], "o", color=color, markersize=5, label=place)
        for (text, threshold), style in zip((marks or {}).items(), (":", "--", "-.") * len(marks or ()), strict=False):
            axes.axvline(threshold, color="0.4", linewidth=1, linestyle=style, label=text)
        axes.set(xlabel="background score", ylabel=label)
        figure.legend(loc="outside lower center", frameon=False)
    return figure


def show_class_scores(
    scores: pd.DataFrame, *, spread: pd.DataFrame | None = None, label: str = "IoU (%)", with_mean: bool = True
) -> Figure:
    """Bars per class, side by side for several methods.

    Args:
        scores: one row per class, one column per method; NaN leaves a gap.
        spread: same shape, half length of the error bars (standard deviation over seeds, say).
        label: of the vertical axis.
        with_mean: add the mean over the classes as a last group.
    """
    spread = pd.DataFrame(np.nan, scores.index, scores.columns) if spread is None else spread.loc[scores.index]
    if with_mean:
        scores = pd.concat([scores, scores.mean().rename("mean").to_frame().T])
        spread = spread.reindex(scores.index)
    places, width = np.arange(len(scores)), 0.8 / scores.shape[1]
    places = places + 0.4 * (np.array(scores.index) == "mean")
    with house_style():
        figure_width = min(WIDTH, max(4.0, len(scores) * (0.3 + 0.2 * scores.shape[1])))
        legend_columns = columns_that_fit([str(name) for name in scores], figure_width)
        figure = new_figure(figure_width, 2.4 + 0.17 * -(-scores.shape[1] // legend_columns))
        axes = figure.subplots()
        for column, (name, color) in enumerate(zip(scores, _colors(scores.shape[1]), strict=True)):
            left = places + (column - (scores.shape[1] - 1) / 2) * width
            axes.bar(left, scores[name], width * 0.92, color=color, label=str(name))
            known = spread[name].notna().to_numpy()
            if known.any():
                bars = {"yerr": spread[name][known], "fmt": "none", "ecolor": "0.2", "elinewidth": 0.8, "capsize": 1.5}
                axes.errorbar(left[known], scores[name][known], **bars)
        longest = max(len(str(name)) for name in scores.index) * 0.6 * FONT_SIZE / 72  # inches
        slanted = {"rotation": 40, "rotation_mode": "anchor", "horizontalalignment": "right"}
        crowded = longest > 0.85 * figure.get_figwidth() / len(scores)
        axes.set_xticks(places, scores.index, **(slanted if crowded else {}))
        axes.set(ylabel=label, xlim=(places[0] - 0.6, places[-1] + 0.6))
        axes.grid(False, axis="x")
        if scores.shape[1] > 1:
            figure.legend(loc="outside upper center", ncols=legend_columns, frameon=False)
    return figure


def _colors(number: int) -> list[str]:
    if number > len(COLORS):
        raise ValueError(f"{number} lines in one figure; show at most {len(COLORS)}, which eyes can tell apart")
    return list(COLORS[:number])
