"""Confidence masks: against a sort for each label, and the bad cases."""

import pytest
import torch

from wsss_lib.labels.confidence import confidence_mask, score_margins


def slow_mask(scores, label_map, fraction):
    """Label by label, pixel by pixel."""
    mask = torch.zeros(label_map.shape, dtype=torch.bool)
    for label in set(label_map.flatten().tolist()):
        pixels = [tuple(place.tolist()) for place in (label_map == label).nonzero()]
        best = [sorted(scores[:, row, column].tolist())[-2:] for row, column in pixels]
        order = sorted(range(len(pixels)), key=lambda index: best[index][1] - best[index][0], reverse=True)
        for index in order[: int(fraction * len(pixels))]:
            mask[pixels[index]] = True
    return mask


@pytest.mark.parametrize("size, num_labels, fraction", [((9, 11), 3, 0.5), ((6, 5), 2, 0.25), ((1, 7), 6, 0.8)])
def test_the_widest_margins_of_each_label(size, num_labels, fraction):
    torch.manual_seed(num_labels)
    scores = torch.rand(num_labels, *size)
    label_map = scores.argmax(0)
    expected = slow_mask(scores, label_map, fraction)
    assert expected.any() and not expected.all()
    assert torch.equal(confidence_mask(scores, fraction=fraction), expected)
    assert torch.equal(confidence_mask(scores, 20 * label_map + 3, fraction), expected), "any numbering"


def test_margins():
    scores = torch.rand(5, 4, 3)
    best = scores.sort(0, descending=True).values
    torch.testing.assert_close(score_margins(scores), best[0] - best[1])
    assert score_margins(torch.full((3, 2, 2), 0.4)).eq(0).all(), "equal scores have no margin"


def test_a_label_of_one_pixel_is_not_trusted_and_a_mask_may_be_empty():
    scores = torch.tensor([[[0.9, 0.1]], [[0.1, 0.9]]])
    assert not confidence_mask(scores).any()
    assert not confidence_mask(torch.rand(3, 8, 8), fraction=0.0).any()
    assert confidence_mask(torch.rand(3, 8, 8), fraction=1.0).all()


def test_equal_margins_are_counted_exactly():
    assert confidence_mask(torch.tensor([0.7, 0.3]).view(2, 1, 1).expand(2, 5, 5)).sum() == 12


def test_background_alone_is_trusted_everywhere():
    assert confidence_mask(torch.full((1, 3, 4), 0.25)).all()


def test_errors():
    with pytest.raises(ValueError, match="NaN"):
        confidence_mask(torch.full((2, 3, 3), torch.nan))
    with pytest.raises(ValueError, match="at one size"):
        confidence_mask(torch.rand(2, 3, 3), torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="fraction 50"):
        confidence_mask(torch.rand(2, 3, 3), fraction=50)
