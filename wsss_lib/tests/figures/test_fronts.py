import pandas as pd
import pytest

from wsss_lib.figures.fronts import show_fronts
from wsss_lib.scores.pareto import pareto_front
from wsss_lib.tests.figures.looks import check_texts

AXES = {"x": "f1", "y": ["epg", "iou"], "before": "none", "labels": {"f1": "F1 (%)"}}
MODELS = pd.DataFrame(
    [
        ("bcos", "none", "Final", 82.0, 30.0, 20.0),
        ("bcos", "L1", "Final", 80.0, 50.0, 40.0),
        ("bcos", "L1", "Final", 70.0, 60.0, 30.0),
        ("bcos", "L1", "Input", 75.0, 40.0, 30.0),
        ("vanilla", "Energy", "Final", 90.0, 70.0, 50.0),
    ],
    columns=["network", "loss", "depth", "f1", "epg", "iou"],
)


def joined(panel):
    return [(line.get_xdata().tolist(), line.get_color()) for line in panel.lines if line.get_linestyle() != "None"]


def test_fronts_differ_by_panel_and_marks_tell_what_was_not_guided():
    figure = show_fronts(MODELS, pareto_front, **AXES)
    texts = check_texts(figure)
    epg, vanilla, iou, _ = figure.axes
    assert [xs for xs, _ in joined(epg)] == [[70, 80], [75]] and [xs for xs, _ in joined(iou)] == [[80], [75]]
    assert joined(epg)[0][1] == joined(epg)[1][1] != joined(vanilla)[0][1], "a color is a loss"
    (mark,) = [line for line in epg.lines if line.get_markerfacecolor() == "white"]
    assert mark.get_xdata().tolist() == [82] and mark.get_ydata().tolist() == [30]
    assert {"bcos", "vanilla", "L1", "Energy", "Final", "Input", "none", "F1 (%)", "epg", "iou"} <= set(texts)


def test_networks_that_nothing_guided_are_marked_alone():
    figure = show_fronts(MODELS[:1], pareto_front, **AXES)
    assert {"Final", "none"} <= set(check_texts(figure)) and not joined(figure.axes[0])


def test_refuses_nothing():
    with pytest.raises(ValueError, match="0 models"):
        show_fronts(MODELS[:0], pareto_front, **AXES)
