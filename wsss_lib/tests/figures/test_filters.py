"""The page of filters: size, words, a filter that never fires."""

import pytest
import torch

from wsss_lib.figures.filters import darkened, enlarged, show_filters


def row(count):
    return [torch.rand(3, 20, 24) for _ in range(count)], [torch.rand(5, 6) for _ in range(count)]


def test_one_row_a_filter_and_a_chart_of_words():
    images, heats = zip(row(4), row(2), row(0), strict=True)
    words = [[("dog", 5), ("cat", 2)], [("sky", 1)], []]
    marks = {"*": {"cat"}}
    figure = show_filters(["3", "17", "40"], images, heats, words, right=[{"dog"}, set(), set()], marks=marks)
    texts = [text.get_text() for axes in figure.axes for text in (*axes.get_yticklabels(), *axes.texts)]
    assert {"dog", "cat*", "sky", "never fires"} <= set(texts)
    assert {"5", "2", "1"} <= set(texts), "a bar says how many images voted"
    assert len(figure.axes) == 3 * 5 and figure.get_size_inches()[0] <= 8.0
    bars = next(axes for axes in figure.axes if axes.patches).patches
    assert [bar.get_width() for bar in bars] == [5, 2] and bars[0].get_facecolor() != bars[1].get_facecolor()
    figure.canvas.draw()


def test_a_line_goes_round_the_region_where_a_filter_fires():
    heats = [[torch.tensor([[0.0, 1.0], [0.0, 1.0]])], [torch.zeros(2, 2)]]
    images = [[torch.rand(3, 20, 20)]] * 2
    figure = show_filters(["1", "2"], images, heats, [[("dog", 1)]] * 2, thresholds=[0.5, 0.5])
    first, _, second, _ = figure.axes
    (line,) = first.collections
    assert line.get_paths()[0].vertices[:, 0].round(1).tolist() == pytest.approx([9.5] * 20), "half way to the right"
    assert not second.collections, "a filter that is silent in an image has no region there"
    figure.canvas.draw()


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="give equally"):
        show_filters(["1"], [], [], [])
    with pytest.raises(ValueError, match="give equally"):
        show_filters([], [], [], [])


def test_the_papers_picture():
    heat = enlarged(torch.tensor([[0.0, 1.0]]), (2, 4))
    shown = darkened(torch.ones(3, 2, 4), heat)
    assert heat.shape == (2, 4) and shown.max() == 1 and shown.min() == pytest.approx(0.3)
