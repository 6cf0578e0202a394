import pandas as pd
import pytest

from wsss_lib.figures.lines import show_lines

FRAME = pd.DataFrame({"Energy": [50.0, 60.0, 70.0], "L1": [40.0, 45.0, 48.0]}, index=[1, 10, 100])


def test_a_panel_for_each_score_with_its_lines_and_reference():
    figure = show_lines({"EPG": FRAME, "F1": FRAME + 10}, "share", references={"EPG": {"none": 30.0}})
    epg, f1 = figure.axes
    assert (epg.get_ylabel(), f1.get_ylabel()) == ("EPG", "F1")
    assert [line.get_ydata().tolist() for line in epg.lines[:2]] == [[50, 60, 70], [40, 45, 48]]
    assert len(epg.lines) == 3 and len(f1.lines) == 2
    assert [text.get_text() for text in epg.get_xticklabels()] == ["1", "10", "100"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Energy", "L1", "none"]


def test_values_to_scale():
    (panel,) = show_lines({"EPG": FRAME}, "share", categories=False).axes
    assert panel.lines[0].get_xdata().tolist() == [1, 10, 100]


def test_nothing_and_too_much_are_refused():
    with pytest.raises(ValueError, match="nothing to show"):
        show_lines({}, "share")
    with pytest.raises(ValueError, match="nothing to show"):
        show_lines({"EPG": FRAME.iloc[:0]}, "share")
    with pytest.raises(ValueError, match="9 lines"):
        show_lines({"EPG": pd.DataFrame([range(9)])}, "share")
