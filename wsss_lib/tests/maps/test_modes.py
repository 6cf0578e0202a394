import pytest
import torch
from torch import nn

from wsss_lib.maps.modes import evaluation_mode, kept_outputs


def test_each_module_gets_its_own_mode_back():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    network[1].eval()  # frozen statistics
    with pytest.raises(RuntimeError, match="inside"), evaluation_mode(network) as same:
        assert same is network and not any(module.training for module in network.modules())
        raise RuntimeError("inside")
    assert [module.training for module in network.modules()] == [True, True, False, True]


def test_no_hook_remains_after_an_error():
    layer = nn.Conv2d(1, 1, 1)
    with pytest.raises(RuntimeError, match="inside"), kept_outputs(layer):
        assert len(layer._forward_hooks) == 1
        raise RuntimeError("inside")
    assert not layer._forward_hooks


def test_a_later_in_place_activation_leaves_the_kept_output():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
    with kept_outputs(network[0]) as outputs:
        after = network(torch.randn(1, 1, 4, 4))
    assert (outputs[0] < 0).any()
    torch.testing.assert_close(after, outputs[0].relu())


def test_the_result_of_the_network_is_unchanged():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 1))
    images = torch.randn(2, 1, 5, 5)
    expected = network(images)
    with kept_outputs(network[1]):
        torch.testing.assert_close(network(images), expected)


def test_several_outputs_are_kept_as_they_are():
    class TwoTaps(nn.Module):
        def forward(self, images):
            return [images + 1, images * 2]

    network = TwoTaps()
    with kept_outputs(network) as outputs:
        taps = network(torch.ones(1, requires_grad=True))
        network(torch.zeros(1))
    assert len(outputs) == 2
    assert all(kept is tap for kept, tap in zip(outputs[0], taps, strict=True))
