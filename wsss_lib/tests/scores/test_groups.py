import numpy as np
import pytest
import torch

from wsss_lib.scores.groups import group_accuracies


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_of_each_group_image_by_image(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, 3, generator=generator)
    truth, groups = torch.randint(0, 3, (40,), generator=generator), torch.randint(0, 4, (40,), generator=generator)
    right, counts = [0] * 4, [0] * 4
    for scores, label, group in zip(logits.tolist(), truth.tolist(), groups.tolist(), strict=True):
        counts[group] += 1
        right[group] += scores.index(max(scores)) == label
    labels = torch.nn.functional.one_hot(truth, 3)
    found = group_accuracies(logits, labels, groups, 4)
    np.testing.assert_allclose(found, [100 * a / b for a, b in zip(right, counts, strict=True)])


def test_groups_without_images_are_unknown_not_worst():
    found = group_accuracies(torch.eye(2), torch.eye(2), torch.tensor([0, 2]), 4)
    np.testing.assert_equal(found, [100, np.nan, 100, np.nan])
    assert np.isnan(group_accuracies(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0).long(), 2)).all()


def test_wrong_shapes_and_groups_are_refused():
    with pytest.raises(ValueError, match=r"\[N, K\], \[N, K\] and \[N\]"):
        group_accuracies(torch.eye(2), torch.eye(2), torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="groups 0 to 5 are not in 0 to 3"):
        group_accuracies(torch.eye(2), torch.eye(2), torch.tensor([0, 5]), 4)
