"""Scores over a quantity that was varied: one panel a score, one line a method."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from wsss_lib.figures.style import COLORS, FONT_SIZE, WIDTH, columns_that_fit, house_style, new_figure


def show_lines(
    panels: Mapping[str, pd.DataFrame],
    label: str,
    *,
    references: Mapping[str, Mapping[str, float]] | None = None,
    categories: bool = True,
) -> Figure:
    """Lines with a marker at each value that was tried.

    Args:
        panels: score, which labels its vertical axis -> one row per value of the quantity (the index, in the order of
            the axis), one column per line.
        label: of the quantity.
        references: score -> name of a dotted horizontal line and its height, such as the value without the method.
        categories: values stand at equal distances (shares of 1, 10 and 100, say), not to scale.

    Raises:
        ValueError: no panel, a panel without a value, or more lines than can be told apart.
    """
    if not panels or any(frame.empty for frame in panels.values()):
        raise ValueError("there is nothing to show; give each panel at least one row and one column")
    names = list(dict.fromkeys(name for frame in panels.values() for name in frame.columns))
    if len(names) > len(COLORS):
        raise ValueError(f"{len(names)} lines in one panel; show at most {len(COLORS)}, which eyes can tell apart")
    colors = dict(zip(names, COLORS, strict=False))
    with house_style():
        figure = new_figure(min(WIDTH, 2.7 * len(panels)), 2.6)
        drawn = {}
        for panel, (score, frame) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            places = range(len(frame)) if categories else frame.index
            for name, values in frame.items():
                (drawn[name],) = panel.plot(places, values, "o-", color=colors[name], markersize=4, linewidth=1.5)
            for name, height in (references or {}).get(score, {}).items():
                drawn[name] = panel.axhline(height, color="0.4", linestyle=":", linewidth=1.2)
            if categories:
                panel.set_xticks(
                    list(places), [f"{at:g}" if isinstance(at, int | float) else str(at) for at in frame.index]
                )
            panel.set(ylabel=score)
            panel.margins(x=0.1)
        figure.supxlabel(label, fontsize=FONT_SIZE)
        texts = [str(name) for name in drawn]
        columns = columns_that_fit(texts, figure.get_figwidth())
        figure.legend(list(drawn.values()), texts, loc="outside upper center", ncols=columns, frameon=False)
    return figure
