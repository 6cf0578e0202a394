import pytest
import torch

from wsss_lib.labels.affinity_labels import confident_labels, label_map_at_stride, pair_labels, pool_scores
from wsss_lib.labels.pixel_pairs import pad_for_pairs, pair_displacements, pair_indices


def confident_slowly(low, high):
    labels = torch.full(low.shape[1:], 255)
    for y in range(low.shape[1]):
        for x in range(low.shape[2]):
            of_low, of_high = low[:, y, x].tolist(), high[:, y, x].tolist()
            if max(of_low + of_high) < 1e-5:
                continue
            if of_high.index(max(of_high)) == 0:
                labels[y, x] = 0
            elif of_low.index(max(of_low)) > 0:
                labels[y, x] = of_low.index(max(of_low))
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_confident_labels_equal_the_search_pixel_by_pixel(seed):
    torch.manual_seed(seed)
    low, high = torch.randint(0, 5, (2, 3, 6, 7)) / 4 * (torch.rand(6, 7) > 0.2)  # ties, and pixels without a score
    found = confident_labels(low, high)
    assert torch.equal(found, confident_slowly(low, high))
    assert {0, 1, 2, 255} == set(found.flatten().tolist())
    assert torch.equal(confident_labels(low[None], high[None])[0], found)


def test_without_a_class_all_is_background():
    scores = torch.ones(1, 4, 5)
    assert not confident_labels(scores, scores).any()


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (3, 2)])
def test_pooled_scores_are_means_of_blocks_filled_with_zeros(size):
    scores = torch.rand(2, 3, *size)
    pooled = pool_scores(scores, 4)
    assert pooled.shape == (2, 3, -(-size[0] // 4), -(-size[1] // 4))
    for y in range(pooled.shape[2]):
        for x in range(pooled.shape[3]):
            block = scores[:, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            torch.testing.assert_close(pooled[:, :, y, x], block.sum((2, 3)) / 16)


def test_label_map_at_stride_decides_after_the_mean():
    scores = torch.rand(2, 3, 10, 9)
    expected = confident_slowly(*pool_scores(scores, 4))
    assert torch.equal(label_map_at_stride(scores, 4), expected) and expected.shape == (3, 3)


@pytest.mark.parametrize("radius, size", [(2, (5, 6)), (3, (6, 8))])
def test_pair_labels_equal_the_definition_pair_by_pair(radius, size):
    label_maps = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (2, *size))]
    displacements = pair_displacements(radius)
    background, foreground, negative = pair_labels(label_maps, displacements)
    sources, destinations = pair_indices(*size, displacements)
    assert background.any() and foreground.any() and negative.any()
    for image, labels in enumerate(label_maps.flatten(1).tolist()):
        for d in range(len(displacements)):
            for n, source in enumerate(sources.tolist()):
                pair = labels[source], labels[destinations[d, n]]
                assert background[image, d, n] == (pair == (0, 0))
                assert foreground[image, d, n] == (pair in ((1, 1), (2, 2)))
                assert negative[image, d, n] == (255 not in pair and pair[0] != pair[1])


def test_ignored_pixels_have_no_confident_pair():
    displacements = pair_displacements(5)
    assert not torch.stack(pair_labels(torch.full((1, 9, 9), 255), displacements)).any()
    lonely = torch.full((1, 9, 12), 255)
    lonely[0, 0, 0] = lonely[0, 8, 11] = 1  # too far from each other
    padded = pad_for_pairs(lonely, displacements, 255)
    assert not torch.stack(pair_labels(padded, displacements)).any()


def test_labels_of_small_maps_are_refused():
    with pytest.raises(ValueError, match="5 x 8 px holds no pixel pair"):
        pair_labels(torch.zeros(1, 5, 8, dtype=torch.int64), pair_displacements(5))
