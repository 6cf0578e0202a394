"""Labels of the relation network: both thresholds, the CRF on label maps, and what is left open."""

import pytest
import torch

from wsss_lib.labels.relation_labels import agreed_labels, crf_label_maps, place_labels
from wsss_lib.labels.threshold import threshold_labels


def test_places_are_labels_where_all_classes_are_present():
    maps = torch.rand(3, 7, 9)
    high, low = place_labels(maps, [0.6, 0.2])
    assert torch.equal(high, threshold_labels(maps[None], torch.ones(1, 3), 0.6)[0])
    assert torch.equal(low, threshold_labels(maps[None], torch.ones(1, 3), 0.2)[0])
    assert high.min() == 0 < high.max() and (low > 0).sum() > (high > 0).sum()


def test_an_image_without_a_class_is_background():
    label_maps = place_labels(torch.zeros(0, 4, 5), [0.3, 0.1])
    assert label_maps.shape == (2, 4, 5) and not label_maps.any()
    image = torch.zeros(4, 5, 3, dtype=torch.uint8)
    assert not crf_label_maps(image, label_maps, 1).any()
    assert not agreed_labels(*label_maps).any()


def test_agreement_pixel_by_pixel():
    foreground, background = torch.randint(0, 3, (2, 6, 8))
    agreed = agreed_labels(foreground, background)
    for ours, high, low in zip(*(each.flatten().tolist() for each in (agreed, foreground, background)), strict=True):
        assert ours == (high if high else 0 if low == 0 else 255)


@pytest.mark.parametrize("thresholds", [[1.5, 0.5], [0.9, 0.0]])
def test_maps_may_be_sure_of_nothing(thresholds):
    """Never above the high score, never below the low one: everything is left open."""
    maps = 0.6 + 0.2 * torch.rand(1, 4, 4)
    assert agreed_labels(*place_labels(maps, thresholds)).eq(255).all()


def test_the_crf_moves_labels_to_the_edges_of_the_image():
    image = torch.full((12, 16, 3), 30, dtype=torch.uint8)
    image[:, 8:] = 220
    label_maps = torch.zeros(2, 12, 16, dtype=torch.int64)
    label_maps[0, :, 9:], label_maps[1, :, 7:] = 1, 1
    refined = crf_label_maps(image, label_maps, 2, confidence=0.7)
    expected = torch.zeros(12, 16, dtype=torch.int64)
    expected[:, 8:] = 1
    assert all((each != expected).float().mean() < 0.02 for each in refined)
    assert torch.equal(crf_label_maps(image, label_maps, 2, iterations=0), label_maps), "no step, no change"
