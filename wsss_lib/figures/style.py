"""One look for all figures: sizes, colours that colour-blind readers can tell apart, and the colormap of maps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito, "Color universal design" (2008), without yellow, which vanishes on white
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MAP_COLORMAP = "inferno"
WIDTH = 8.0  # inches; 704 px at the 88 dpi of a run
FONT_SIZE = 8  # points, of all text
TEXT = {f"{part}size": FONT_SIZE for part in ("font.", "axes.title", "axes.label", "xtick.label", "ytick.label")}
LINES = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Text sizes and lines of this project for what is drawn inside the block."""
    with mpl.rc_context({**TEXT, "legend.fontsize": FONT_SIZE, **LINES, "axes.prop_cycle": mpl.cycler(color=COLORS)}):
        yield


def new_figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """Empty figure, in inches, whose texts make room for each other; it is no window, so nothing has to be closed."""
    return Figure(figsize=(width, height), layout=layout)


def columns_that_fit(names: Sequence[str], width: float) -> int:
    """How many entries of a legend stand side by side in ``width`` inches, at about 0.55 em a letter; at least one."""
    letters = max(map(len, names), default=0)
    return max(1, min(len(names), int(width * 72 / (FONT_SIZE * (0.55 * letters + 2.6)))))


def hide_axes(axes: Axes) -> None:
    """No ticks, frame or grid, but keep the labels."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
