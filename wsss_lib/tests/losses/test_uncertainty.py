import math

import pytest
import torch

from wsss_lib.data.mixing import mixup
from wsss_lib.losses.uncertainty import concentration_loss, entropy_loss, spatial_moments


def test_entropy_is_the_mean_over_all_predictions():
    logits = 3 * torch.randn(3, 4, dtype=torch.float64)
    total = 0.0
    for logit in logits.flatten().tolist():
        p = 1 / (1 + math.exp(-logit))
        total -= p * math.log(p + 1e-5) + (1 - p) * math.log(1 - p + 1e-5)
    assert entropy_loss(logits).item() == pytest.approx(total / 12, rel=1e-5)


def test_entropy_falls_as_predictions_grow_sure():
    logits = torch.tensor([[0.5, -0.2]], requires_grad=True)
    loss = entropy_loss(logits)
    loss.backward()
    assert entropy_loss(logits - logits.grad) < loss < math.log(2)
    extreme = torch.tensor([[1e4, -1e4]], requires_grad=True)
    entropy_loss(extreme).backward()
    assert extreme.grad.isfinite().all()


def concentration_slowly(maps, class_labels, eps):
    """Centers and variances of the maps of the classes present, pixel by pixel."""
    num_images, num_classes, height, width = maps.shape
    loss = 0.0
    for b in range(num_images):
        for k in range(num_classes):
            pixels = [
                (j / width * 2 - 1, i / height * 2 - 1, maps[b, k, i, j] + eps)
                for i in range(height)
                for j in range(width)
            ]
            mass = sum(value for _, _, value in pixels)
            center_u = sum(u * value for u, _, value in pixels) / mass
            center_v = sum(v * value for _, v, value in pixels) / mass
            variance = sum(((u - center_u) ** 2 + (v - center_v) ** 2) * value for u, v, value in pixels) / mass
            loss = loss + class_labels[b, k] * variance
    return loss / num_images


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 3, 5), (3, 1, 6, 2), (2, 2, 1, 1)])
def test_concentration_is_the_variance_around_the_center(shape):
    maps = torch.rand(shape, dtype=torch.float64).requires_grad_()
    labels = torch.randint(0, 2, shape[:2]).double()
    labels[0, 0] = 0.3  # of mixed images
    found = concentration_loss(maps, labels, eps=1e-3)
    expected = concentration_slowly(maps, labels, eps=1e-3)
    torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-5, atol=1e-7)
    gradients = [torch.autograd.grad(loss, maps)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    if shape[2] * shape[3] > 1:
        assert found > 0.01 and gradients[0].any()


def test_a_map_of_one_pixel_has_no_variance_and_lies_there():
    single = torch.zeros(1, 4, 8)
    single[0, 1, 6] = 5.0
    centers, variances = spatial_moments(single, eps=0.0)
    torch.testing.assert_close(centers, torch.tensor([[0.5, -0.5]]))
    assert variances.abs().amax() < 1e-12


def test_concentration_ignores_where_a_map_lies_and_how_strong_it_is():
    spot = torch.rand(3, 3)
    maps = torch.zeros(1, 3, 9, 9)
    maps[0, 0, :3, :3], maps[0, 1, 4:7, 5:8], maps[0, 2, 4:7, 5:8] = spot, spot, 7 * spot
    first, moved, stronger = (concentration_loss(maps, torch.eye(3)[k : k + 1], eps=0.0) for k in range(3))
    torch.testing.assert_close(first, moved)
    torch.testing.assert_close(first, stronger)
    assert concentration_loss(torch.ones(1, 1, 9, 9), torch.ones(1, 1)) > 2 * first > 0


def test_concentration_of_mixed_labels_is_the_mix():
    maps, labels = torch.rand(4, 5, 6, 6), torch.randint(0, 2, (4, 5)).float()
    partners = torch.tensor([3, 2, 0, 1])
    both = concentration_loss(maps, labels), concentration_loss(maps, labels[partners])
    for share in (0.0, 0.4, 1.0):
        found = concentration_loss(maps, mixup(labels, share, partners))
        torch.testing.assert_close(found, share * both[0] + (1 - share) * both[1])


def test_nothing_present_gives_zero_with_a_gradient():
    maps = torch.rand(2, 3, 4, 4, requires_grad=True)
    loss = concentration_loss(maps, torch.zeros(2, 3))
    loss.backward()
    assert loss == 0 and not maps.grad.any()
    empty = torch.zeros(1, 1, 3, 3)  # a class the network does not see is spread evenly
    torch.testing.assert_close(
        concentration_loss(empty, torch.ones(1, 1)), concentration_loss(empty + 1, torch.ones(1, 1))
    )


def test_half_precision_is_summed_in_single():
    maps, labels = torch.rand(2, 3, 64, 64), torch.ones(2, 3)
    torch.testing.assert_close(
        concentration_loss(maps.half(), labels), concentration_loss(maps, labels), rtol=1e-3, atol=0
    )
    logits = torch.randn(2, 3)
    torch.testing.assert_close(entropy_loss(logits.half()), entropy_loss(logits), rtol=1e-3, atol=0)
