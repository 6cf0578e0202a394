"""Rules of single layers: loops over weights, conservation, refusals."""

import pytest
import torch
from torch import nn

from wsss_lib.maps import lrp_rules
from wsss_lib.maps.lrp_rules import LinearMap


def shares(inputs, weight, relevance, *, epsilon=0.0, bias=0.0, keep=lambda w: w):
    """One linear layer, one connection after the other."""
    result = torch.zeros_like(inputs)
    for b in range(len(inputs)):
        for k in range(len(weight)):
            parts = [keep(w) * x for w, x in zip(weight[k].tolist(), inputs[b].tolist(), strict=True)]
            total = sum(parts) + (bias if isinstance(bias, float) else bias[k].item()) + epsilon
            for i, share in enumerate(parts):
                result[b, i] += share / total * relevance[b, k] if total else 0.0
    return result


@pytest.fixture
def linear():
    layer = nn.Linear(6, 4).double()
    return LinearMap.of(layer), torch.rand(3, 6).double(), torch.randn(3, 4).double()


def test_epsilon_rule_connection_by_connection(linear):
    of, inputs, relevance = linear
    expected = shares(inputs, of.weight, relevance, epsilon=0.1, bias=of.layer.bias)
    torch.testing.assert_close(lrp_rules.epsilon_rule(of, inputs, relevance, epsilon=0.1), expected)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.5])
def test_alpha_beta_rule_connection_by_connection(linear, alpha):
    of, inputs, relevance = linear
    positive = shares(inputs, of.weight, relevance, keep=lambda w: max(w, 0))
    negative = shares(inputs, of.weight, relevance, keep=lambda w: min(w, 0))
    ours = lrp_rules.alpha_beta_rule(of, inputs, relevance, alpha=alpha)
    torch.testing.assert_close(ours, alpha * positive - (alpha - 1) * negative, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours.sum(1), relevance.sum(1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (3, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (3, 2, 1, 1), (1, 2, 0, 1), (3, 1, 2, 2)]
)
def test_convolutions_of_any_size_are_linear_layers(size, kernel, stride, padding, dilation):
    layer = nn.Conv2d(8, 3, kernel, stride, padding, dilation).double()
    inputs = torch.rand(1, 8, *size).double().requires_grad_()
    outputs = layer(inputs)
    relevance = torch.randn_like(outputs)
    ours = lrp_rules.epsilon_rule(LinearMap.of(layer), inputs, relevance, epsilon=0.0)
    (gradient,) = torch.autograd.grad(outputs, inputs, relevance / outputs.detach())
    expected = inputs * gradient
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    positive = lrp_rules.alpha_beta_rule(LinearMap.of(layer), inputs.detach(), relevance, alpha=1)
    torch.testing.assert_close(positive.sum(), relevance.sum(), rtol=1e-6, atol=1e-6)


def test_z_box_keeps_the_sum_and_takes_negative_inputs():
    layer = nn.Conv2d(3, 4, 3, padding=1, bias=False).double()
    inputs, relevance = torch.randn(2, 3, 6, 5).double(), torch.rand(2, 4, 6, 5).double()
    ours = lrp_rules.z_box_rule(LinearMap.of(layer), inputs, relevance)
    torch.testing.assert_close(ours.sum((1, 2, 3)), relevance.sum((1, 2, 3)), rtol=1e-6, atol=0)
    shifted = lrp_rules.z_box_rule(LinearMap.of(layer), inputs[:, :, 1:-1, 1:-1] + 7, relevance[:, :, 1:-1, 1:-1])
    assert shifted.min() > -1e-9, "the parts of the box are positive"


def test_contrast_sums_to_zero_and_by_sign_is_a_difference(linear):
    of, inputs, _ = linear
    logits = of.layer(inputs)
    target = torch.zeros_like(logits)
    target[:, 1] = logits[:, 1]
    with_positive = of.weight.abs()
    layer = nn.Linear(6, 4).double()
    layer.weight.data, layer.bias.data = with_positive.detach(), of.layer.bias.detach()
    logits = layer(inputs)
    target[:, 1] = logits[:, 1]
    first = lrp_rules.contrast_by_difference(LinearMap.of(layer), inputs, target)
    torch.testing.assert_close(first.sum(1), torch.zeros(3).double(), rtol=0, atol=1e-6)
    assert first.abs().max() > 1e-3
    second = lrp_rules.contrast_by_sign(LinearMap.of(layer), inputs, target)
    expected = shares(inputs, layer.weight, target.abs())
    torch.testing.assert_close(second, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "pooled"), [((7, 7), (7, 7)), ((14, 9), (7, 7)), ((16, 15), (7, 7)), ((3, 2), (7, 7)), ((5, 6), (1, 1))]
)
def test_average_pool_of_any_size_keeps_the_sum(size, pooled):
    inputs = torch.rand(2, 3, *size).double()
    relevance = torch.randn(4, 2, 3, *pooled).double()
    ours = lrp_rules.average_pool_relevance(inputs, pooled, relevance)
    torch.testing.assert_close(ours.sum((-1, -2)), relevance.sum((-1, -2)), rtol=1e-6, atol=1e-6)
    inputs.requires_grad_()
    outputs = nn.functional.adaptive_avg_pool2d(inputs, pooled)
    (gradient,) = torch.autograd.grad(outputs, inputs, relevance[0] / outputs.detach())
    torch.testing.assert_close(ours[0], inputs * gradient, rtol=1e-6, atol=1e-7)


def test_residual_parts_add_up():
    shortcut, main, relevance = torch.randn(3, 2, 3, 4, 4).double().unbind()
    parts = lrp_rules.split_residual(shortcut, shortcut + main, relevance)
    torch.testing.assert_close(sum(parts), relevance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts[0] * main, parts[1] * shortcut, rtol=1e-5, atol=1e-6)


def test_alpha_below_one():
    with pytest.raises(ValueError, match=r"alpha is 0\.5.*at least 1"):
        lrp_rules.alpha_beta_rule(LinearMap.of(nn.Linear(2, 2)), torch.ones(1, 2), torch.ones(1, 2), alpha=0.5)


def test_negative_inputs_of_alpha_beta():
    with pytest.raises(ValueError, match="z-box"):
        lrp_rules.alpha_beta_rule(
            LinearMap.of(nn.Linear(2, 2)), torch.tensor([[1.0, -0.25]]), torch.ones(1, 2), alpha=1
        )
