import pytest
import torch
import torch.nn.functional as F

from wsss_lib.labels.pixel_adaptive import refine_scores
from wsss_lib.labels.refined_labels import eight_bit, present_first, refined_labels


def slow_labels(maps, class_labels, images, background_scores, form, shrink=2):
    """One image, one background score and one class at a time, as section 3.1 of the specification has it."""
    size = images.shape[2:]
    small = [side // shrink for side in size]
    label_maps = []
    for own_maps, labels, image in zip(maps, class_labels, images, strict=True):
        present = labels.nonzero().flatten().tolist()
        readings = []
        for score in background_scores:
            layers = [torch.full(tuple(size), score)]
            for k in present:
                one = own_maps[k] if form == "official" else own_maps[k].clamp(min=0)
                layers.append(F.interpolate((one / (one.max() + 1e-5))[None, None], size, mode="bilinear")[0, 0])
            stack = F.interpolate(torch.stack(layers)[None], small, mode="bilinear").softmax(1)
            refined = refine_scores(stack, F.interpolate(image[None], small, mode="bilinear"))
            best = F.interpolate(refined, size, mode="bilinear")[0].argmax(0)
            readings.append(torch.tensor([0, *(k + 1 for k in present)])[best])
        high, low = readings
        of_image = torch.full_like(high, 255)
        of_image[(high == 0) & (low == 0)] = 0
        of_image[high > 0] = high[high > 0]
        label_maps.append(of_image)
    return torch.stack(label_maps)


@pytest.mark.parametrize("form", ["official", "paper"])
@pytest.mark.parametrize("size, features", [((24, 32), (3, 4)), ((17, 23), (3, 3))])
def test_labels_equal_their_slow_twin(form, size, features):
    torch.manual_seed(3)
    images, maps = torch.rand(4, 3, *size), 3 * torch.rand(4, 5, *features) - 0.5
    maps[0, 1] -= 4  # nowhere positive
    class_labels = torch.tensor([[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 1]])
    expected = slow_labels(maps, class_labels, images, (0.6, 0.4), form)
    found = refined_labels(maps, class_labels, images, background_scores=(0.6, 0.4), form=form)
    assert (found != expected).float().mean() < 0.001
    assert {0, 255} < set(expected.unique().tolist()), "the case has all three kinds of labels"


def test_labels_do_not_depend_on_the_other_images():
    images, maps = torch.rand(3, 3, 24, 24), torch.randn(3, 4, 3, 3)
    class_labels = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]])
    together = refined_labels(maps, class_labels, images)
    alone = [refined_labels(maps[i : i + 1], class_labels[i : i + 1], images[i : i + 1]) for i in range(3)]
    assert (together != torch.cat(alone)).float().mean() < 0.005
    assert torch.equal(refined_labels(maps.double(), class_labels, images), together)


@pytest.mark.parametrize("value", [-3.0, 0.0, -1e-5])
def test_a_map_without_a_positive_value(value):
    """The authors' form lets it cover the image where it is negative; the paper's gives the class nowhere."""
    maps = torch.full((1, 2, 4, 4), value)
    labels, images = torch.tensor([[0.0, 1.0]]), torch.rand(1, 3, 32, 32)
    assert set(refined_labels(maps, labels, images, form="paper").unique().tolist()) == {0}
    official = refined_labels(maps, labels, images, form="official")
    assert set(official.unique().tolist()) == ({2} if value == -3 else {0})


def test_images_without_a_class_are_background():
    labels = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    found = refined_labels(torch.rand(2, 2, 3, 3), labels, torch.rand(2, 3, 17, 19))
    assert (found[0] == 0).all() and (found[1] == 1).any()
    assert (refined_labels(torch.rand(1, 2, 3, 3), labels[:1], torch.rand(1, 3, 1, 1)) == 0).all()


def test_gradient_and_half_precision_maps():
    maps = torch.randn(1, 2, 3, 3, requires_grad=True)
    labels, images = torch.tensor([[1.0, 1.0]]), torch.rand(1, 3, 16, 16)
    found = refined_labels(maps.bfloat16(), labels, images)
    assert found.dtype == torch.int64 and not found.requires_grad


def test_present_first_keeps_the_order_of_classes():
    classes, present = present_first(torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]))
    assert classes[0].tolist() == [1, 3] and classes[1, 0] == 0
    assert present.tolist() == [[True, True], [True, False], [False, False]]


def test_normalized_images_are_turned_into_colors():
    images, maps, labels = torch.rand(1, 3, 24, 24), torch.randn(1, 2, 3, 3), torch.ones(1, 2)
    expected = refined_labels(maps, labels, eight_bit(images))
    assert torch.equal(
        refined_labels(maps, labels, 2 * images - 1, denormalize=lambda given: (given + 1) / 2), expected
    )


def test_eight_bit_cuts():
    torch.testing.assert_close(
        eight_bit(torch.tensor([0.0, 0.9999 / 255, 1.01 / 255])) * 255, torch.tensor([0.0, 0, 1])
    )


def test_errors_name_the_remedy():
    images, maps, labels = torch.rand(1, 3, 8, 8), torch.rand(1, 2, 2, 2), torch.ones(1, 2)
    with pytest.raises(ValueError, match="choose official or paper"):
        refined_labels(maps, labels, images, form="printed")
    with pytest.raises(ValueError, match="the high one, then the low one"):
        refined_labels(maps, labels, images, background_scores=(0.1, 0.3))
