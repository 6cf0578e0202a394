import pytest
import torch
import torch.nn.functional as F

from wsss_lib.networks.bcos_layers import BcosConv2d, BcosLinear, SixChannels, UncenteredBatchNorm2d, explanation_mode


def slow_bcos(patch, weight, exponent):
    """One output of a B-cos layer: the length of the projection, times the cosine to the power B - 1."""
    dot = sum(a * b for a, b in zip(patch.tolist(), weight.tolist(), strict=True))
    length = sum(a * a for a in patch.tolist()) ** 0.5
    weight_length = sum(b * b for b in weight.tolist()) ** 0.5
    cosine = dot / (length * weight_length)
    return abs(cosine) ** (exponent - 1) * dot / weight_length


@pytest.mark.parametrize("exponent", [1, 1.5, 2])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 1, 1), (2, 0, 1), (1, 2, 2)])
def test_conv_is_the_equation_at_every_place(exponent, stride, padding, dilation):
    layer = BcosConv2d(2, 3, 3, stride, padding, dilation, exponent=exponent)
    features = torch.randn(1, 2, 6, 5)
    output = layer(features)
    patches = F.unfold(features, 3, dilation, padding, stride)[0]  # [2 * 9, places]
    weights = layer.linear.weight.flatten(1)
    for k, place in ((0, 0), (1, 3), (2, patches.shape[1] - 1)):
        expected = slow_bcos(patches[:, place].double(), weights[k].double(), exponent)
        assert output[0, k].flatten()[place].item() == pytest.approx(expected, abs=1e-4)


def test_linear_known_answer():
    layer = BcosLinear(2, 1)
    layer.linear.weight.data = torch.tensor([[3.0, 0.0]])
    assert layer(torch.tensor([[3.0, 4.0]])).item() == pytest.approx(3 * 3 / 5, rel=1e-5)


def test_largest_candidate_counts():
    layer = BcosLinear(4, 2, max_out=3)
    single = BcosLinear(4, 6)
    single.linear.weight.data = layer.linear.weight.data
    features = torch.randn(5, 4)
    projections = F.linear(features, F.normalize(layer.linear.weight)).view(5, 2, 3)
    chosen = projections.argmax(2, keepdim=True)
    assert torch.allclose(layer(features)[..., None], single(features).view(5, 2, 3).gather(2, chosen))


def test_weights_of_any_norm_give_the_same_cosine():
    features = torch.randn(2, 4, 5, 5)
    layer, free = BcosConv2d(4, 3, 3), BcosConv2d(4, 3, 3, unit_weight=False)
    free.linear.weight.data = 5 * layer.linear.weight.data
    length = 5 * layer.linear.weight.flatten(1).norm(dim=1)[:, None, None]
    assert torch.allclose(free(features), length * layer(features), rtol=1e-4, atol=1e-5)
    linear, free = BcosLinear(4, 3), BcosLinear(4, 3, unit_weight=False)
    free.linear.weight.data = F.normalize(linear.linear.weight.data)
    assert torch.allclose(free(features[..., 0, 0]), linear(features[..., 0, 0]), rtol=1e-4)


@pytest.mark.parametrize("layer", [BcosConv2d(3, 4, 3, padding=1), UncenteredBatchNorm2d(3).eval()])
def test_contributions_add_up_in_explanation_mode_only(layer):
    features = torch.randn(2, 3, 4, 4, requires_grad=True)
    score = layer(features)[0].sum()
    with explanation_mode(layer):
        (weight,) = torch.autograd.grad(score, features, retain_graph=True)
    assert torch.allclose((weight * features).sum(), score, rtol=1e-4)
    if isinstance(layer, BcosConv2d):
        (gradient,) = torch.autograd.grad(score, features)
        assert not torch.allclose(gradient, weight, rtol=0.1)


def test_a_loss_on_the_explanation_is_differentiated_through_the_scales():
    """Against finite differences of the explanation, and unlike scales that are constants in the forward pass."""
    layer = BcosConv2d(2, 3, 3).double()
    features = torch.randn(1, 2, 4, 4, dtype=torch.float64)

    def loss():
        inputs = features.clone().requires_grad_()
        with explanation_mode(layer):
            (weight,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
        return (weight * features).clamp(min=0).square().sum()

    (gradient,) = torch.autograd.grad(loss(), layer.linear.weight)
    step, raw = 1e-6, layer.linear.weight.data
    for index in ((0, 0, 0, 0), (2, 1, 1, 2)):
        moved = []
        for sign in (1, -1):
            raw[index] += sign * step
            moved.append(loss().item())
            raw[index] -= sign * step
        assert gradient[index].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-4)

    projection = F.conv2d(features, layer.weight_and_norm()[0])
    scale = (projection.abs() / layer.patch_norm(features)).detach()
    constant = F.grad.conv2d_input(features.shape, layer.weight_and_norm()[0], scale)
    (wrong,) = torch.autograd.grad((constant * features).clamp(min=0).square().sum(), layer.linear.weight)
    assert (wrong - gradient).abs().max() > 0.1 * gradient.abs().max()


def test_mode_ends_even_when_the_body_fails():
    layer = BcosLinear(2, 2)
    with pytest.raises(RuntimeError, match="stop"), explanation_mode(layer):
        assert layer.explaining
        raise RuntimeError("stop")
    assert not layer.explaining


def test_batch_norm_divides_without_centering():
    layer = UncenteredBatchNorm2d(2, bias=True, eps=0.0)
    features = 3 + torch.randn(4, 2, 5, 5)
    variance = features.var((0, 2, 3), correction=0)
    layer.weight.data, layer.bias.data = torch.tensor([2.0, 1.0]), torch.tensor([0.0, 5.0])
    output = layer(features)
    assert torch.allclose(output[:, 0], 2 * features[:, 0] / variance[0].sqrt(), rtol=1e-4)
    assert torch.allclose(output[:, 1], features[:, 1] / variance[1].sqrt() + 5, rtol=1e-4)
    assert torch.allclose(layer.running_var, 0.9 + 0.1 * variance) and not layer.running_mean.any()
    assert torch.allclose(layer.eval()(features)[:, 0], 2 * features[:, 0] / layer.running_var[0].sqrt(), rtol=1e-4)


def test_encoding_is_idempotent():
    images = torch.rand(2, 3, 4, 4)
    encoded = SixChannels()(images)
    assert torch.equal(SixChannels()(encoded), encoded) and torch.allclose(
        encoded[:, :3] + encoded[:, 3:], torch.ones(1)
    )


def test_refusals():
    with pytest.raises(ValueError, match="at least 1"):
        BcosLinear(2, 2, exponent=0.5)
    with pytest.raises(ValueError, match="needs unit_weight"):
        BcosConv2d(2, 2, 3, max_out=2, unit_weight=False)
    with pytest.raises(ValueError, match="needs unit_weight"):
        BcosLinear(2, 2, max_out=2, unit_weight=False)
    with pytest.raises(ValueError, match="4 channels"):
        SixChannels()(torch.zeros(1, 4, 2, 2))
    with pytest.raises(ValueError, match=r"expected \[B, C, h, w\]"):
        UncenteredBatchNorm2d(2)(torch.zeros(2, 2))
