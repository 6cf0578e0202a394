import numpy as np
import pandas as pd
import pytest

from wsss_lib.figures.curves import show_class_scores, show_sweep, show_terms
from wsss_lib.tests.figures.looks import check_texts

STEPS = np.arange(200)
NAMES = ["background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"]
NAMES += ["diningtable", "dog", "horse", "motorbike"]


def test_each_term_has_a_panel_with_raw_values_and_their_running_mean():
    terms = {
        "classification": np.exp(-STEPS / 50),
        "tiny_term": 1e-6 * np.cos(STEPS),
        "third": STEPS,
        "a": STEPS,
        "b": STEPS,
    }
    figure = show_terms(terms, span=3)
    check_texts(figure)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["classification", "tiny term", "third", "a", "b"]
    raw, smooth = (line.get_ydata() for line in panels[1].lines)
    np.testing.assert_allclose(raw, terms["tiny_term"])
    np.testing.assert_allclose(smooth[50], np.mean(terms["tiny_term"][49:52]))


def test_terms_of_a_frame_stand_at_its_steps():
    frame = pd.DataFrame({"classification": [3.0, 2.0, np.nan]}, index=[0, 10, 20])
    assert show_terms(frame).axes[0].lines[0].get_xdata().tolist() == [0, 10]
    with pytest.raises(ValueError, match="no step"):
        show_terms({})


def test_the_chosen_point_of_a_sweep_is_marked_and_named():
    thresholds = np.linspace(0.05, 0.95, 10)
    scores = {"one scale": 40 - 50 * (thresholds - 0.4) ** 2, "four scales": 45 - 50 * (thresholds - 0.35) ** 2}
    figure = show_sweep(thresholds, scores, chosen={"one scale": 0.61}, marks={"printed: 0.15": 0.15})
    check_texts(figure)
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [point.get_xdata()[0] for point in points] == pytest.approx([0.65, 0.35])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["one scale: 36.9 at 0.65", "four scales: 45.0 at 0.35", "printed: 0.15"]
    with pytest.raises(ValueError, match="9 scores for 10 thresholds"):
        show_sweep(thresholds, {"CAM": np.zeros(9)})


@pytest.mark.parametrize("num_classes, num_methods", [(15, 3), (6, 1), (3, 2)])
def test_class_scores_have_one_bar_each_and_the_mean(num_classes, num_methods):
    values = np.random.default_rng(0).uniform(20, 80, (num_classes, num_methods))
    frame = pd.DataFrame(values, index=NAMES[:num_classes], columns=["CAM", "FMix-CAM", "Mixup-CAM"][:num_methods])
    spread = pd.DataFrame(2.0, frame.index, frame.columns)
    figure = show_class_scores(frame, spread=spread)
    check_texts(figure)
    heights = np.array(
        [[bar.get_height() for bar in of_method.patches] for of_method in figure.axes[0].containers[::2]]
    )
    np.testing.assert_allclose(heights.T, np.vstack([values, values.mean(0)]))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [*frame.index, "mean"]


def test_a_missing_score_leaves_a_gap():
    frame = pd.DataFrame({"CAM": [50.0, np.nan, 40.0]}, index=["a", "b", "c"])
    bars = show_class_scores(frame, with_mean=False).axes[0].patches
    assert np.isnan(bars[1].get_height()) and bars[2].get_height() == 40


def test_too_many_lines_are_refused():
    with pytest.raises(ValueError, match="8 lines in one figure"):
        show_sweep([0.5], {f"method {i}": [1.0] for i in range(8)})
