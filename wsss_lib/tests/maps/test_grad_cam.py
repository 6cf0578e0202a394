import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from wsss_lib.maps.cam import class_activation_maps
from wsss_lib.maps.grad_cam import grad_cam, grad_cam_at
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier


class TinyClassifier(nn.Module):
    """Two convolutions, global average pooling and a linear head."""

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 4, 3, padding=1)
        self.late = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.Softplus())
        self.head = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> SimpleNamespace:
        features = self.late(self.early(images))
        return SimpleNamespace(logits=self.head(features.mean((2, 3))), features=features)


@pytest.fixture
def network():
    network = TinyClassifier().eval()
    with torch.no_grad():
        network.head.weight[0].abs_()  # one class for which every channel speaks: its map is not empty
    return network


def test_on_the_last_layer_it_is_the_class_activation_map(network):
    images = torch.randn(2, 3, 8, 6)
    maps = grad_cam_at(network, network.late, images)
    cams = class_activation_maps(network(images).features, network.head.weight)
    assert cams[:, 0].amin() > 0.01
    torch.testing.assert_close(maps * cams.shape[2] * cams.shape[3], cams)
    assert not maps.requires_grad


def test_an_early_layer_follows_the_definition(network):
    images = torch.randn(2, 3, 6, 6)
    found = grad_cam_at(network, network.early, images, classes=[2, 0])
    for b in range(2):
        activations = network.early(images[b : b + 1]).detach().requires_grad_()
        logits = network.head(network.late(activations.clone()).mean((2, 3)))
        for column, k in enumerate([2, 0]):
            (gradient,) = torch.autograd.grad(logits[0, k], activations, retain_graph=True)
            expected = sum(gradient[0, c].mean() * activations[0, c] for c in range(4)).clamp(min=0)
            torch.testing.assert_close(found[b, column], expected)


def test_gradients_of_the_maps_are_right(network):
    network.double()
    head = network.head

    def maps_of(activations):
        return grad_cam(activations, head(network.late(activations.clone()).mean((2, 3))), create_graph=True)

    activations = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    step = 1e-6 * torch.randn_like(activations)
    maps = maps_of(activations)
    cotangent = torch.randn_like(maps)
    (gradient,) = torch.autograd.grad((maps * cotangent).sum(), activations)
    difference = (maps_of(activations + step) - maps_of(activations - step)) * cotangent / 2
    assert (gradient * step).sum().abs() > 1e-9
    torch.testing.assert_close((gradient * step).sum(), difference.sum(), rtol=1e-5, atol=0)


def test_create_graph_trains_the_weights(network):
    images = torch.randn(2, 3, 6, 6)
    grad_cam_at(network, network.early, images, create_graph=True).sum().backward()
    assert all(parameter.grad is not None for parameter in network.early.parameters())
    assert network.head.weight.grad.abs().sum() > 0


def test_nothing_is_left_behind(network):
    network.early.requires_grad_(False)  # the tap is then the start of the graph
    images = torch.randn(1, 3, 6, 6)
    alive = []
    layer_hook = network.early.register_forward_hook(lambda module, inputs, output: alive.append(weakref.ref(output)))
    with torch.no_grad():
        maps = grad_cam_at(network, network.early, images)
    assert maps.amax() > 0
    layer_hook.remove()
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.early.weight.requires_grad and network.head.weight.requires_grad
    gc.collect()
    assert alive and all(reference() is None for reference in alive)


def test_a_layer_that_does_not_run_once_is_refused(network):
    with pytest.raises(ValueError, match="ran 0 times"):
        grad_cam_at(network, nn.Conv2d(3, 3, 1), torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize("frozen", [False, True])
def test_taps_of_a_backbone_are_its_stages(frozen):
    network = Classifier(build_backbone("resnet18", output_stride=8, width=0.25), 3).eval().requires_grad_(not frozen)
    images = torch.randn(2, 3, 32, 40)
    with pytest.raises(ValueError, match="returns 5 feature maps"):
        grad_cam_at(network, network.backbone, images)
    for tap, layer in ((-1, network.backbone.layer4), (2, network.backbone.layer2)):
        maps = grad_cam_at(network, network.backbone, images, [2], tap=tap)
        assert maps.amax() > 0
        torch.testing.assert_close(maps, grad_cam_at(network, layer, images, [2]))
    cams = class_activation_maps(network(images).features, network.head_weight)
    torch.testing.assert_close(grad_cam_at(network, network.backbone, images, tap=-1) * cams[0, 0].numel(), cams)
