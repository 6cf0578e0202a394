import pytest
import torch

from wsss_lib.data.random_targets import random_positive_classes


def test_present_classes_are_drawn_alike():
    class_labels = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]]).repeat(3000, 1)
    drawn = random_positive_classes(class_labels, torch.Generator().manual_seed(0)).view(3000, 2)
    shares = torch.bincount(drawn[:, 0], minlength=4) / 3000
    torch.testing.assert_close(shares, torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]), atol=0.04, rtol=0)
    assert (drawn[:, 1] == 1).all()


def test_images_without_a_label_have_no_class():
    drawn = random_positive_classes(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert drawn.tolist() == [-1, 1]
    assert random_positive_classes(torch.zeros(0, 3)).shape == (0,)


def test_the_generator_decides():
    class_labels = torch.ones(50, 6)
    first, again, other = (random_positive_classes(class_labels, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\[B, K\]"):
        random_positive_classes(torch.ones(5))
