"""What a reader would see at once: text that is cut off or lies on other text."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from wsss_lib.run import FIGURE_DPI


def check_texts(figure: Figure) -> list[str]:
    """Draw the figure with the dots of a run and assert that all texts are inside and apart; returns them."""
    figure.set_dpi(FIGURE_DPI)
    FigureCanvasAgg(figure).draw()
    hidden = {text for axes in figure.axes if not axes.get_visible() for text in axes.findobj(Text)}
    off = {text for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in _outside_ticks(axis)}
    texts = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden | off
    ]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for name, box in boxes:
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1
        assert inside, f"{name!r} is cut off by the edge of the figure"
    for (one, first), (other, second) in combinations(boxes, 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        upright = not any(text.get_rotation() % 90 for text in texts if text.get_text() in (one, other))
        assert not (upright and width > 1 and height > 1), f"{one!r} lies on {other!r}"
    return [name for name, _ in boxes]


def _outside_ticks(axis) -> list[Text]:
    """Labels of ticks beyond the view, which matplotlib keeps but does not draw."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [label for tick in ticks if not low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)]
