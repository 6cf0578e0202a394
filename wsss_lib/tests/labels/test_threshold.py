import pytest
import torch

from wsss_lib.labels.threshold import threshold_labels


def labelled_slowly(maps, class_labels, background_score):
    label_maps = torch.zeros(maps.shape[0], *maps.shape[2:], dtype=torch.int64)
    for b in range(maps.shape[0]):
        for y in range(maps.shape[2]):
            for x in range(maps.shape[3]):
                best = background_score
                for k in range(maps.shape[1]):
                    if class_labels[b, k] and maps[b, k, y, x] > best:
                        best, label_maps[b, y, x] = maps[b, k, y, x], k + 1
    return label_maps


@pytest.mark.parametrize("seed, background_score", [(0, 0.25), (1, 0.5), (2, 0.75)])
def test_labels_equal_the_search_pixel_by_pixel(seed, background_score):
    torch.manual_seed(seed)
    maps = torch.randint(0, 9, (3, 4, 5, 6)) / 8  # coarse values: ties between classes and with the background
    class_labels = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]]).float()
    found = threshold_labels(maps, class_labels, background_score)
    expected = labelled_slowly(maps, class_labels, background_score)
    assert found.dtype == torch.int64 and found.unique().numel() > 2
    assert torch.equal(found, expected)


def test_background_grows_with_its_score():
    maps, class_labels = torch.rand(2, 3, 20, 20), torch.ones(2, 3)
    shares = [(threshold_labels(maps, class_labels, t / 10) == 0).float().mean().item() for t in range(11)]
    assert shares == sorted(shares) and shares[0] < 0.01 and shares[-1] == 1
