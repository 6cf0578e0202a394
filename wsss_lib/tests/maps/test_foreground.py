import pytest
import torch
import torch.nn.functional as F

from wsss_lib.maps.foreground import foreground_map


def stretched(one, eps=1e-5):
    """One map [h, w], rectified, from 0 at its lowest to 1 at its highest pixel."""
    one = one.clamp(min=0)
    return (one - one.min() - eps).clamp(min=0) / (one.max() - one.min() + eps)


@pytest.mark.parametrize("size", [None, (5, 6), (13, 20)])
def test_it_is_the_best_of_the_classes_present(size):
    maps, class_labels = torch.randn(3, 4, 5, 6), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    found = foreground_map(maps, class_labels, size)
    assert found.shape == (3, 1, *(size or (5, 6))) and found.min() >= 0 and found.max() <= 1
    for image in range(3):
        chosen = [torch.zeros(size or (5, 6))]
        for k in class_labels[image].nonzero().flatten():
            resized = F.interpolate(maps[image, k].clamp(min=0)[None, None], size or (5, 6), mode="bilinear")[0, 0]
            chosen.append(stretched(resized))
        torch.testing.assert_close(found[image, 0], torch.stack(chosen).amax(0))
    assert found[0].max() > 0.99 and found[2].max() == 0


@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_maps_without_a_peak_are_nowhere(value):
    assert foreground_map(torch.full((1, 2, 3, 3), value), torch.ones(1, 2), (7, 9)).abs().max() == 0
