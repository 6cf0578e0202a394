import pandas as pd
import pytest

from wsss_lib.figures.tradeoff import show_tradeoff
from wsss_lib.tests.figures.looks import check_texts

MODELS = pd.DataFrame({"f1": [80.0, 70.0, 75.0], "epg": [50.0, 60.0, 40.0], "iou": [20.0, 30.0, 10.0]})


def test_front_is_joined_in_order_and_points_are_marked():
    before = {"before guidance": {"f1": 82.0, "epg": 30.0, "iou": 5.0}}
    figure = show_tradeoff(
        MODELS, x="f1", y=["epg", "iou"], front=[True, True, False], marked=before, labels={"f1": "F1 (%)"}
    )
    check_texts(figure)
    everything, front, point = figure.axes[0].lines
    assert len(everything.get_xdata()) == 3 and front.get_xdata().tolist() == [70, 80]
    assert front.get_ydata().tolist() == [60, 50] and point.get_xdata() == [82]
    assert [panel.get_ylabel() for panel in figure.axes] == ["epg", "iou"] and figure.axes[0].get_xlabel() == "F1 (%)"


def test_refuses_flags_that_do_not_fit():
    with pytest.raises(ValueError, match="2 flags for 3 models"):
        show_tradeoff(MODELS, x="f1", y=["epg"], front=[True, False])
