import pytest
import torch
from torch import nn

from wsss_lib.networks.ktse import build_ktse, holds_whole_network
from wsss_lib.networks.resnet38 import GatedPyramidClassifier, GatedPyramidHead, ResNet38

NARROW = {"width": 1 / 16, "channels": 8}


def names_of_authors(network):
    """State dict as KTSE's code names it, from ours: no ``backbone.`` and ``head.``, and the unused ``bn8``."""
    ours = network.state_dict()
    stored = {name.removeprefix("backbone.").removeprefix("head."): value for name, value in ours.items()}
    return stored | {"bn8.weight": torch.ones(4), "bn8.running_mean": torch.zeros(4)}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_the_authors_loads_unchanged(tmp_path, prefix):
    torch.manual_seed(1)
    source = build_ktse("resnet38", 3, **NARROW).eval()
    torch.save({f"{prefix}{name}": value for name, value in names_of_authors(source).items()}, tmp_path / "net.pth")
    torch.manual_seed(2)
    network = build_ktse("resnet38", 3, weights=tmp_path / "net.pth", **NARROW).eval()
    images = torch.randn(1, 3, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images).maps, source(images).maps)
        assert not torch.equal(build_ktse("resnet38", 3, **NARROW).eval()(images).maps, source(images).maps)
    frozen = [name for name, parameter in network.backbone.named_parameters() if not parameter.requires_grad]
    assert "conv1a.weight" in frozen, "as from backbone weights"


def test_another_number_of_classes_is_named(tmp_path):
    torch.save(names_of_authors(build_ktse("resnet38", 3, **NARROW)), tmp_path / "net.pth")
    with pytest.raises(ValueError, match="fc9"):
        build_ktse("resnet38", 4, weights=tmp_path / "net.pth", **NARROW)


def test_backbone_weights_leave_the_head_as_it_is(tmp_path):
    source = ResNet38(width=1 / 16)
    torch.save(source.state_dict(), tmp_path / "backbone.pth")
    assert not holds_whole_network(tmp_path / "backbone.pth")
    network = build_ktse("resnet38", 3, weights=tmp_path / "backbone.pth", **NARROW)
    torch.testing.assert_close(network.backbone.b7.conv_branch2a.weight, source.b7.conv_branch2a.weight)
    assert network.head.fc9.out_channels == 4


def test_names_of_weight_sets_are_not_files():
    assert not holds_whole_network("IMAGENET1K_V1")


def test_dropout_of_the_paper():
    network = build_ktse("resnet38", 3, **NARROW)
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout2d)} == {0.2}


@torch.no_grad()
@pytest.mark.parametrize(
    "name, size, options",
    [
        ("resnet18", (96, 96), {"stages": 3, "width": 0.25}),
        ("resnet18", (75, 101), {"stages": 3, "width": 0.25}),
        ("mobilenet_v2", (33, 40), {"width": 0.25}),
    ],
)
def test_any_backbone(name, size, options):
    network = build_ktse(name, 5, channels=16, **options).eval()
    assert isinstance(network, GatedPyramidClassifier)
    output = network(torch.randn(2, 3, *size))
    rows, columns = (-(-side // 8) for side in size)
    assert output.logits.shape == (2, 5) and output.maps.shape == (2, 5, rows, columns)
    assert output.segmentation_logits.shape == (2, 6, rows, columns) and output.logits.isfinite().all()


@torch.no_grad()
def test_sides_of_the_pyramid():
    torch.manual_seed(3)
    features = torch.randn(1, 16, 12, 12)
    fine = build_ktse("resnet18", 3, channels=16, stages=3, width=0.25, sides=[12, 12, 12, 12]).head
    coarse = build_ktse("resnet18", 3, channels=16, stages=3, width=0.25, sides=[1, 1, 1, 1]).head
    coarse.load_state_dict(fine.state_dict())
    assert torch.equal(fine(features).maps, coarse(features).maps)
    # one cell: the pooled maps are even, and only zeros beyond the border, up to three gates away, tell places apart
    assert coarse(features).gated_maps[..., 3:-3, 3:-3].std((2, 3)).max() < 1e-6
    assert fine(features).gated_maps[..., 3:-3, 3:-3].std((2, 3)).min() > 1e-3
    assert GatedPyramidHead.SIDES == (2, 4, 8, 16) == build_ktse("resnet38", 3, **NARROW).head.SIDES


@pytest.mark.parametrize("sides", [[2, 4, 8], [1, 2, 3, 5, 8], [4, 2, 8, 16], [0, 1, 2, 3]])
def test_sides_that_are_no_pyramid_are_refused(sides):
    with pytest.raises(ValueError, match="coarse to fine"):
        build_ktse("resnet38", 3, sides=sides, **NARROW)
