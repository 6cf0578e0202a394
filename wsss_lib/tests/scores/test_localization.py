import numpy as np
import pytest
import torch

from wsss_lib.scores import localization
from wsss_lib.scores.localization import (
    box_iou,
    energy_pointing_game,
    tuned_threshold,
    within_size,
)


def random_pairs(seed, num_pairs=6):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(num_pairs, 7, 5, generator=generator) - 0.3
    masks = torch.rand(num_pairs, 7, 5, generator=generator) < 0.4
    return maps, masks


def epg_in_loops(attribution, mask):
    inside = total = 0.0
    for value, in_box in zip(attribution.flatten().tolist(), mask.flatten().tolist(), strict=True):
        total += max(value, 0)
        inside += max(value, 0) if in_box else 0
    return 100 * inside / total


def iou_in_loops(attribution, mask, threshold):
    positive = [max(value, 0) for value in attribution.flatten().tolist()]
    lowest, highest = min(positive), max(positive)
    both = either = 0
    for value, in_box in zip(positive, mask.flatten().tolist(), strict=True):
        above = (value - lowest) / (highest - lowest) > threshold
        both += above and in_box
        either += above or in_box
    return 100 * both / either


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_equations_pixel_by_pixel(seed):
    maps, masks = random_pairs(seed)
    expected = [epg_in_loops(*pair) for pair in zip(maps, masks, strict=True)]
    assert energy_pointing_game(maps, masks).tolist() == pytest.approx(expected, rel=1e-5)
    for threshold in (0.3, 0.5, 0.85):
        expected = [iou_in_loops(*pair, threshold) for pair in zip(maps, masks, strict=True)]
        assert box_iou(maps, masks, threshold).tolist() == pytest.approx(expected, rel=1e-5)
    sweep = box_iou(maps, masks, [0.3, 0.5])
    torch.testing.assert_close(sweep, torch.stack([box_iou(maps, masks, 0.3), box_iou(maps, masks, 0.5)], 1))


def test_a_map_that_is_the_mask_is_perfect_and_the_opposite_scores_nothing():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[:, 1:3, 1:4] = True
    for maps, score in ((masks.float(), 100), ((~masks).float(), 0)):
        assert energy_pointing_game(maps, masks).item() == box_iou(maps, masks).item() == score


def test_scores_do_not_depend_on_the_scale_nor_on_negative_values():
    maps, masks = random_pairs(4)
    for score in (energy_pointing_game, box_iou):
        torch.testing.assert_close(score(50 * maps, masks), score(maps, masks))
        torch.testing.assert_close(score(torch.where(maps < 0, 9 * maps, maps), masks), score(maps, masks))
        torch.testing.assert_close(score(maps.flip(2), masks.flip(2)), score(maps, masks))


def test_maps_without_positive_values_are_undefined():
    maps, masks = torch.stack([-torch.ones(3, 3), torch.zeros(3, 3), torch.ones(3, 3)]), torch.ones(3, 3, 3).bool()
    assert energy_pointing_game(maps, masks).tolist() == [0, 0, 100]
    left_out = energy_pointing_game(maps, masks, undefined=float("nan"))
    assert left_out.isnan().tolist() == [True, True, False] and left_out.nanmean() == 100
    assert box_iou(maps, masks).tolist() == [0, 0, 100]


def test_no_box_and_no_pair_are_not_an_error():
    maps, masks = random_pairs(0)
    for score in (energy_pointing_game, box_iou):
        assert (score(maps, torch.zeros_like(masks)) == 0).all()
        assert score(maps[:0], masks[:0]).shape == (0,)
    assert box_iou(maps[:0], masks[:0], [0.3, 0.5]).shape == (0, 2)
    assert box_iou(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)).item() == 0


def test_the_threshold_is_strict_and_a_constant_map_becomes_one():
    maps, masks = torch.tensor([[[0.0, 0.5, 1.0]]]), torch.tensor([[[False, True, True]]])
    assert box_iou(maps, masks, 0.5).item() == 50 and box_iou(maps, masks, 0.49).item() == 100
    assert box_iou(torch.full((1, 1, 3), 3.0), masks, 0.9).item() == pytest.approx(200 / 3)


def test_the_tuned_threshold_is_the_best_on_the_held_out_pairs():
    maps, masks = random_pairs(1, num_pairs=50)
    thresholds = np.linspace(0.05, 0.95, 19).tolist()
    values = box_iou(maps, masks, thresholds)
    chosen = tuned_threshold(values, thresholds)
    means = [box_iou(maps, masks, threshold).mean().item() for threshold in thresholds]
    assert chosen == thresholds[int(np.argmax(means))]
    assert tuned_threshold(torch.tensor([[1.0, 2.0, 2.0]]), [0.1, 0.2, 0.3]) == 0.2


def test_pairs_of_a_size():
    masks = torch.zeros(3, 4, 4)
    masks[1, 0, 0], masks[2] = 1, 1
    assert within_size(masks).all()
    assert within_size(masks, 1, 16).tolist() == [False, True, False]


def test_wrong_shapes_are_refused():
    maps, masks = random_pairs(0)
    with pytest.raises(ValueError, match=r"should both be \[N, H, W\]"):
        energy_pointing_game(maps, masks[:, :3])
    with pytest.raises(ValueError, match="one pair of image and class each"):
        box_iou(maps[None], masks[None])
    with pytest.raises(ValueError, match="at least one pair"):
        tuned_threshold(torch.zeros(0, 2), [0.1, 0.2])
    with pytest.raises(ValueError, match="for 1 thresholds"):
        tuned_threshold(torch.zeros(4, 2), [0.1])


def test_pairs_are_scored_as_they_are_alone(monkeypatch):
    torch.manual_seed(0)
    maps, masks = torch.randn(7, 5, 6), torch.rand(7, 5, 6) > 0.5
    monkeypatch.setattr(localization, "PIECE", 65)  # two maps of 30 px a piece, the last piece is shorter
    for score in (energy_pointing_game, box_iou, lambda a, m: box_iou(a, m, [0.2, 0.5])):
        alone = torch.cat([score(a[None], m[None]) for a, m in zip(maps, masks, strict=True)])
        torch.testing.assert_close(score(maps, masks), alone, rtol=0, atol=0)
    assert box_iou(maps[:0], masks[:0], [0.2, 0.5]).shape == (0, 2)
    assert energy_pointing_game(maps[:0], masks[:0]).shape == (0,)
