"""Class mixing by loops over pixels, its random choices, and the outline of what was pasted."""

import pytest
import torch

from wsss_lib.data.class_mixing import Choices, boundary, draw_choices, mix_classes, partners, source_labels
from wsss_lib.data.mixing import MixingDraws


def batch(seed=0, size=(6, 5), num_images=4):
    torch.manual_seed(seed)
    labels = torch.randint(0, 4, (num_images, *size))
    labels[torch.rand(labels.shape) < 0.2] = 255
    online = torch.randint(0, 4, labels.shape), torch.randint(0, 2, labels.shape)
    return torch.randn(num_images, 3, *size), labels, torch.randint(0, 2, labels.shape), online


@pytest.mark.parametrize("with_online", [False, True])
def test_by_loops(with_online):
    images, labels, confident, online = batch()
    choices = Choices(torch.tensor([True, True, False, True]), torch.rand(4, 4) < 0.5)
    result = mix_classes(images, labels, confident, choices, online=online if with_online else None)
    new_labels, new_confident = online if with_online else (labels, confident)
    for n, (base, pasted) in enumerate([(0, 2), (2, 0), (1, 3), (3, 1)]):
        for y in range(6):
            for x in range(5):
                label = new_labels[pasted, y, x].item()
                allowed = label != 255 and (not with_online or new_confident[pasted, y, x])
                inside = bool(allowed and choices.classes[n, label])
                taken = pasted if inside and choices.mixed[n] else base
                known = (new_labels, new_confident) if choices.mixed[n] else (labels, confident)
                assert torch.equal(result.images[n, :, y, x], images[taken, :, y, x])
                assert result.labels[n, y, x] == known[0][taken, y, x]
                assert result.confident[n, y, x] == known[1][taken, y, x]
    assert not result.boundary[2].any() and (result.boundary.any() == with_online)


@pytest.mark.parametrize("size", [1, 2])
def test_boundary_by_loops(size):
    torch.manual_seed(0)
    inside = torch.rand(2, 9, 7) < 0.3
    found = boundary(inside, size)
    for n in range(2):
        for y in range(9):
            for x in range(7):
                near = inside[n, max(0, y - size) : y + size + 1, max(0, x - size) : x + size + 1]
                assert found[n, y, x] == (near.any() and not near.all())
    assert not boundary(torch.ones(1, 4, 4, dtype=torch.bool), size).any()


def test_half_of_the_classes_rounded_up_are_drawn():
    labels = torch.tensor([[[0, 1, 2, 3, 255]], [[0, 0, 0, 0, 0]]])
    seen = set()
    for seed in range(40):
        choices = draw_choices(labels, 5, MixingDraws(seed))
        assert choices.classes[1].sum() == 2 and not choices.classes[1, 0]  # of 1, 2, 3: into the second image
        assert not choices.classes[0].any()  # background alone
        seen.add(tuple(choices.classes[1].nonzero().flatten().tolist()))
    assert seen == {(1, 2), (1, 3), (2, 3)}
    assert draw_choices(labels, 5, MixingDraws(0), ignore_background=False).classes.sum(1).tolist() == [1, 2]


def test_probability_of_mixing():
    labels = torch.zeros(2000, 1, 1, dtype=torch.long)
    for probability in (0.0, 0.25, 1.0):
        mixed = draw_choices(labels, 2, MixingDraws(1), probability=probability).mixed
        assert mixed.float().mean().item() == pytest.approx(probability, abs=0.03)


def test_the_same_batch_is_mixed_alike():
    _, labels, *_ = batch()
    draws = [MixingDraws.of_batch(3, ["a", "b", "c", "d"]) for _ in range(2)]
    first, second = (draw_choices(labels, 4, one) for one in draws)
    assert torch.equal(first.mixed, second.mixed) and torch.equal(first.classes, second.classes)


def test_nothing_confident_pastes_nothing():
    images, labels, confident, (online, _) = batch()
    unsure = online, torch.zeros_like(online)
    assert (source_labels(*unsure) == 255).all()
    choices = draw_choices(source_labels(*unsure), 4, MixingDraws(0), probability=1.0)
    result = mix_classes(images, labels, confident, choices, online=unsure)
    assert torch.equal(result.images, images[partners(4)[0]]) and not result.boundary.any()


def test_ignored_images_stay_as_they_are():
    images, labels, confident, _ = batch()
    empty = torch.full_like(labels, 255)
    choices = draw_choices(empty, 4, MixingDraws(0), probability=1.0)
    result = mix_classes(images, empty, confident, choices)
    assert torch.equal(result.images, images[partners(4)[0]]) and (result.labels == 255).all()


@pytest.mark.parametrize("num_images", [0, 1, 3])
def test_batches_that_cannot_be_halved(num_images):
    with pytest.raises(ValueError, match="take an even batch"):
        partners(num_images)


def test_boundary_needs_a_width():
    with pytest.raises(ValueError, match="take 1 or more"):
        boundary(torch.zeros(1, 3, 3, dtype=torch.bool), 0)
