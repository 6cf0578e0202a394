"""Model guidance: every backbone, attribution, depth and loss trains, or is refused before it does with the reason."""

import copy

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.losses.localization import LOCALIZATION_LOSSES
from wsss_lib.maps.gradients import METHODS, attributions, check_combination, explained, prepare_attributions
from wsss_lib.tests.networks.small_explainable import CLASSES, images_of, network_of

REFUSED = {("vanilla", "BCos"), ("xdnn", "BCos"), ("GradCam", "Input")}


@pytest.mark.parametrize("kind", ["vanilla", "xdnn", "bcos"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("depth", ["Input", "Mid1", "Final"])
def test_trains_or_is_refused(kind, method, depth):
    network, images = network_of(kind), images_of(2)
    if {(kind, method), (method, depth)} & REFUSED:
        with pytest.raises(ValueError, match="choose"):
            check_combination(network, method, depth)
        return
    check_combination(network, method, depth)
    network = copy.deepcopy(network).train()
    found, pairs = explained(network, images, depth), torch.tensor([[0, 1], [2, 3]])
    how = {"method": method, "depth": depth, "create_graph": True, "steps": 2}
    raw = attributions(network, images, found, *pairs, **how)
    masks = torch.zeros(2, 32, 32)
    masks[0, 4:20, 8:30] = 1  # the second image has no box
    total = F.binary_cross_entropy_with_logits(found.logits, torch.eye(CLASSES)[pairs[1]])
    for name, loss in LOCALIZATION_LOSSES.items():
        flags = {"only_positive": loss.only_positive, "divide_by_maximum": loss.divide_by_maximum}
        value = loss.function(prepare_attributions(raw, (32, 32), **flags), masks)
        assert torch.isfinite(value) and value.requires_grad, name
        total = total + 0.01 * value
    total.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert all(gradient.abs().sum() > 0 for gradient in gradients[:1])
