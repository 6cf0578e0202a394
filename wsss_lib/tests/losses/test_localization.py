import math

import pytest
import torch

from wsss_lib.losses.localization import LOCALIZATION_LOSSES, energy_loss, l1_loss, ppce_loss, rrr_loss

LOSSES = [loss.function for loss in LOCALIZATION_LOSSES.values()]


def loss_of_one_map(function, attribution, mask):
    pixels = list(zip(attribution.flatten().tolist(), mask.flatten().tolist(), strict=True))
    if function is energy_loss:
        total = sum(max(value, 0) for value, _ in pixels)
        return 1 - sum(max(value, 0) for value, inside in pixels if inside) / total
    if function is l1_loss:
        return sum(abs(value - inside) for value, inside in pixels) / len(pixels)
    if function is ppce_loss:
        logs = [max(math.log(value), -100) if value > 0 else -100.0 for value, inside in pixels if inside]
        return -sum(logs) / len(logs)
    return sum(value**2 for value, inside in pixels if not inside)


def random_case(function, seed, num_images=4):
    generator = torch.Generator().manual_seed(seed)
    attributions = torch.rand(num_images, 6, 5, generator=generator, dtype=torch.float64)
    if function in (energy_loss, rrr_loss):
        attributions = 2 * attributions - 1
    masks = torch.rand(num_images, 6, 5, generator=generator) < 0.4
    masks[:, 2, 3] = True
    return attributions, masks


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_losses_equal_the_equations_pixel_by_pixel(function, seed):
    attributions, masks = random_case(function, seed)
    expected = [loss_of_one_map(function, *pair) for pair in zip(attributions, masks, strict=True)]
    assert min(expected) > 0.05
    assert function(attributions, masks, reduction="none").tolist() == pytest.approx(expected)
    assert function(attributions, masks).item() == pytest.approx(sum(expected))
    assert function(attributions, masks, reduction="mean").item() == pytest.approx(sum(expected) / 4)
    torch.testing.assert_close(function(attributions, masks.double()), function(attributions, masks))


@pytest.mark.parametrize("function", LOSSES)
def test_gradients_agree_with_finite_differences(function):
    attributions, masks = random_case(function, 7, num_images=2)
    assert torch.autograd.gradcheck(lambda maps: function(maps, masks), attributions.requires_grad_())


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("values", ["zeros", "ones", "random"])
@pytest.mark.parametrize("mask", [False, True])
def test_value_and_gradient_are_finite_for_empty_and_full_masks_and_maps_of_zeros(function, values, mask):
    maps = {"zeros": torch.zeros(2, 4, 4), "ones": torch.ones(2, 4, 4), "random": torch.rand(2, 4, 4)}[values]
    maps.requires_grad_()
    loss = function(maps, torch.full((2, 4, 4), mask))
    loss.backward()
    assert loss.ndim == 0 and loss.isfinite() and maps.grad.isfinite().all()


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_no_annotated_image_costs_nothing_and_can_be_backpropagated(function, reduction):
    maps = torch.zeros(0, 4, 4, requires_grad=True)
    loss = function(maps, torch.zeros(0, 4, 4, dtype=torch.bool), reduction=reduction)
    loss.backward()
    assert loss == 0 and loss.ndim == 0


def test_energy_does_not_depend_on_the_scale_and_others_do():
    maps, masks = random_case(energy_loss, 3)
    torch.testing.assert_close(energy_loss(100 * maps, masks), energy_loss(maps, masks))
    assert not torch.isclose(rrr_loss(0.5 * maps, masks), rrr_loss(maps, masks))


def test_a_faint_map_is_not_divided_by_its_sum():
    maps = torch.full((1, 2, 2), 1e-9, requires_grad=True)
    loss = energy_loss(maps, torch.tensor([[[True, False], [False, False]]]))
    assert loss.item() == pytest.approx(1)
    assert torch.autograd.grad(loss, maps)[0].flatten().tolist() == [-1, 0, 0, 0]


def test_an_image_with_an_empty_mask_does_not_change_the_others_in_ppce():
    maps, masks = random_case(ppce_loss, 1, num_images=3)
    masks[1] = False
    kept = [0, 2]
    torch.testing.assert_close(ppce_loss(maps, masks), ppce_loss(maps[kept], masks[kept]))
    assert ppce_loss(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)) == 100


def test_second_derivatives_exist():
    """Guidance differentiates through the attribution, so the loss itself must not end the graph."""
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    masks = torch.tensor([[[True, False], [True, False]]])
    for function in LOSSES:
        images = torch.tensor([[[0.9, 0.4], [0.7, 0.2]]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad((weight * images.square()).sum() / 2, images, create_graph=True)
        (of_weight,) = torch.autograd.grad(function(images * gradient, masks), weight, allow_unused=True)
        assert of_weight.isfinite() and (of_weight != 0 or function is energy_loss)  # one factor for all: no share


def test_wrong_shapes_and_reductions_are_refused():
    maps = torch.zeros(2, 4, 4)
    with pytest.raises(ValueError, match=r"\[2, 4, 4\] and box masks \[2, 8, 8\] should both be \[N, H, W\]"):
        energy_loss(maps, torch.zeros(2, 8, 8))
    with pytest.raises(ValueError, match="maps resized to the masks"):
        l1_loss(maps[None], maps[None])
    with pytest.raises(ValueError, match="'avg' is not known; choose sum"):
        rrr_loss(maps, maps, reduction="avg")
