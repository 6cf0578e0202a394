"""Files under the names of the authors' modules, which a stand-in with the same tree of modules gives them."""

from itertools import product

import pytest
import torch
from torch import nn

from wsss_lib.maps.relevance import input_times_gradient, relevance_maps
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import Bottleneck
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.networks.unrolled_checkpoints import decoder_layers, load_unrolled
from wsss_lib.tests.maps.small import random_images, small_classifier

ENCODERS = ("resnet18", "resnet50", "vgg16", "vgg16_bn")
PREFIXES = ("encoder.", "encoder.backbone.")
DECODER = "tied_weights_decoder.decoder."


class Inverse(nn.Module):
    """A layer as ``m`` and, of convolutions and linear layers, the decoder's weight in ``inv_m``."""

    def __init__(self, layer, change):
        super().__init__()
        self.m = layer
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach() + change * torch.randn_like(layer.weight)
            self.inv_m = nn.Module()
            self.inv_m.weight = nn.Parameter(weight.t() if isinstance(layer, nn.Linear) else weight)


class InverseBlock(nn.Module):
    """Inverses of a residual block, once more as a sequence, and the block itself."""

    def __init__(self, block, change):
        super().__init__()
        numbers = (3, 2, 1) if isinstance(block, Bottleneck) else (2, 1)
        names = [f"{kind}{number}" for number in numbers for kind in ("bn", "conv")]
        for name in names:
            self.add_module(f"inv_{name}", Inverse(getattr(block, name), change))
        self.inv_downsample = nn.Identity()
        if block.downsample is not None:
            self.inv_downsample = nn.Sequential(*[Inverse(layer, change) for layer in reversed(block.downsample)])
        self.inv_block = nn.Sequential(*[getattr(self, f"inv_{name}") for name in names])
        self.block = block


def decoder_of(classifier, change):
    decoder, backbone = nn.Module(), classifier.backbone
    if hasattr(backbone, "features"):
        linear = [layer for layer in classifier.head.classifier if isinstance(layer, nn.Linear)]
        for number, layer in enumerate(reversed(linear)):
            decoder.add_module(f"inv_linear_{number + 1}", Inverse(layer, change))
        features = [layer for layer in backbone.features if not isinstance(layer, nn.ReLU)]
        decoder.deconv = nn.Sequential(*[Inverse(layer, change) for layer in reversed(features)])
        return decoder
    decoder.inv_linear_1 = Inverse(classifier.head, change)
    for stage in range(backbone.num_stages, 0, -1):
        blocks = reversed(backbone.get_submodule(f"layer{stage}"))
        decoder.add_module(f"inv_layer{stage}", nn.Sequential(*[InverseBlock(block, change) for block in blocks]))
    decoder.inv_bn1 = Inverse(backbone.bn1, change)
    decoder.inv_conv1 = Inverse(backbone.conv1, change)
    return decoder


def saved_by_authors(classifier, change=0.0, prefix="encoder."):
    """State dict of their network, and the weights of its decoder by the names of our layers."""
    decoder = decoder_of(classifier, change)
    inverses = {module.m: module for module in decoder.modules() if hasattr(module, "inv_m")}
    stored = {}
    for name, value in classifier.state_dict().items():
        vgg = name.startswith("head.classifier.")
        name = name.removeprefix("head.") if vgg else name.replace("head.", "fc.").removeprefix("backbone.")
        stored[prefix + name] = value
    stored |= {DECODER + name: value for name, value in decoder.state_dict().items()}
    copies = {}
    for name, layer in classifier.named_modules():
        if layer in inverses:
            weight = inverses[layer].inv_m.weight.detach()
            copies[name] = weight.t() if isinstance(layer, nn.Linear) else weight
    return stored, copies


def other_classifier(name):
    """Same network, other numbers."""
    network = small_classifier(name)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    return network


def maps_of(network, images, copies):
    with torch.no_grad():
        return relevance_maps(input_times_gradient(network, images, decoder_weights=copies), 3)


@pytest.mark.parametrize("name, prefix", [*product(ENCODERS, PREFIXES)])
def test_a_file_with_an_untied_decoder_loads_whole(tmp_path, name, prefix):
    source, images = small_classifier(name), random_images(32, 40)
    stored, copies = saved_by_authors(source, change=0.01, prefix=prefix)
    torch.save(stored, tmp_path / "network.pth")
    network = UnrolledClassifier(other_classifier(name), tie="untied").eval()
    loaded = load_unrolled(network, tmp_path / "network.pth")

    assert torch.equal(network(images).logits, source(images).logits)
    maps = maps_of(network.classifier, images, network.decoder_weights())
    assert torch.equal(maps, maps_of(source, images, copies))
    assert not torch.allclose(maps, maps_of(source, images, None), rtol=0.01), "the decoder matters"
    assert loaded.missing == [] and all(entry.startswith(DECODER) for entry in loaded.unused)
    for layer, copy in network.decoder_weights().items():
        assert torch.equal(copy, copies[layer]), layer


@pytest.mark.parametrize("name, prefix", [*product(ENCODERS, PREFIXES)])
def test_a_tied_network_takes_the_encoder_of_a_tied_file(name, prefix):
    source, images = small_classifier(name), random_images(32, 40)
    stored, _ = saved_by_authors(source, prefix=prefix)
    network = UnrolledClassifier(other_classifier(name)).eval()
    loaded = load_unrolled(network, stored)
    assert torch.equal(network(images).logits, source(images).logits)
    assert set(loaded.unused) == {entry for entry in stored if entry.startswith(DECODER)}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_tied_network_refuses_an_untied_decoder_and_its_classifier_leaves_it_aside(name):
    source, images = small_classifier(name), random_images(32, 40)
    stored, _ = saved_by_authors(source, change=0.01)
    network = UnrolledClassifier(other_classifier(name)).eval()
    before = network(images).logits
    with pytest.raises(ValueError, match=r"not tied: .* at (head|backbone).*\. Build the network with tie='untied'"):
        load_unrolled(network, stored)
    assert torch.equal(network(images).logits, before)
    load_unrolled(network.classifier, stored)
    assert torch.equal(network(images).logits, source(images).logits)


def test_older_resnets_have_the_linear_layer_of_the_encoder_in_the_decoder():
    source = small_classifier("resnet50")
    stored, copies = saved_by_authors(source, change=0.01)
    stored = {name.replace("inv_linear_1.m.", "bottle_conv.m."): value for name, value in stored.items()}
    del stored[f"{DECODER}inv_linear_1.inv_m.weight"]
    network = UnrolledClassifier(other_classifier("resnet50"), tie="untied")
    load_unrolled(network, stored)
    for layer, copy in network.decoder_weights().items():
        assert torch.equal(copy, source.head.weight if layer == "head" else copies[layer])


@pytest.mark.parametrize("name", ENCODERS)
def test_every_layer_of_the_decoder_has_one_name(name):
    classifier = small_classifier(name)
    layers = list(decoder_layers(classifier).values())
    assert sorted(layers) == sorted(UnrolledClassifier(classifier, "untied").mirrored)


def test_numbers_of_vgg16():
    layers = decoder_layers(small_classifier("vgg16"))
    convolutions = [28, 26, 24, 21, 19, 17, 14, 12, 10, 7, 5, 2, 0]
    inverses = [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 16, 17]
    for convolution, inverse in zip(convolutions, inverses, strict=True):
        assert layers[f"deconv.{inverse}"] == f"backbone.features.{convolution}"
    assert [layers[f"inv_linear_{n}"][-1] for n in (1, 2, 3)] == ["6", "3", "0"]


def test_numbers_of_a_bottleneck():
    layers = decoder_layers(small_classifier("resnet50"))
    assert layers["inv_layer1.0.inv_conv3"] == "backbone.layer1.2.conv3"
    assert layers["inv_layer2.3.inv_downsample.1"] == "backbone.layer2.0.downsample.0"


@pytest.mark.parametrize("tie", ["shared", "untied"])
def test_files_of_other_networks_are_refused_with_their_entries(tie):
    network = UnrolledClassifier(small_classifier("resnet18"), tie)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deeper, _ = saved_by_authors(small_classifier("resnet50"))
    more, _ = saved_by_authors(small_classifier("resnet18", num_classes=5))
    vgg, _ = saved_by_authors(small_classifier("vgg16"))
    with pytest.raises(ValueError, match=r"unexpected: .*backbone\.layer1\.0\.conv3\.weight"):
        load_unrolled(network, deeper)
    with pytest.raises(ValueError, match=r"other shapes: .*head\.weight \[5, 16\] instead of \[3, 16\]"):
        load_unrolled(network, more)
    with pytest.raises(ValueError, match=r"features\.0\.weight|missing: .*backbone\.conv1\.weight"):
        load_unrolled(network, vgg)
    with pytest.raises(ValueError, match=r"conv7\.weight"):
        load_unrolled(network, {"conv7.weight": torch.zeros(1)})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_untied_network_needs_a_decoder():
    stored, _ = saved_by_authors(small_classifier())
    encoder = {name: value for name, value in stored.items() if not name.startswith(DECODER)}
    with pytest.raises(ValueError, match=r"no weights of a decoder .* it has encoder\.conv1\.weight.* before"):
        load_unrolled(UnrolledClassifier(small_classifier(), "untied"), encoder)
    load_unrolled(UnrolledClassifier(small_classifier()), encoder)


def test_a_decoder_with_gaps_is_refused():
    stored, _ = saved_by_authors(small_classifier("vgg16"))
    del stored[f"{DECODER}deconv.5.inv_m.weight"]
    with pytest.raises(ValueError, match=r"missing: copies\.\d+\."):
        load_unrolled(UnrolledClassifier(small_classifier("vgg16"), "untied"), stored)


def test_backbones_that_the_authors_do_not_have():
    classifier = Classifier(build_backbone("mobilenet_v2", output_stride=32, width=0.1), 3, bias=True)
    with pytest.raises(ValueError, match="ResNet and VGG-16, not MobileNetV2"):
        load_unrolled(UnrolledClassifier(classifier, "untied"), {})


@pytest.mark.parametrize("name, prefix", [*product(("resnet18", "resnet50", "vgg16_bn"), PREFIXES)])
def test_a_file_gives_weights_to_a_backbone(tmp_path, name, prefix):
    """As by the parameter ``weights`` of the notebooks."""
    source = small_classifier(name)
    torch.save(saved_by_authors(source, change=0.01, prefix=prefix)[0], tmp_path / "network.pth")
    size = {"width": 1 / 16} if name.startswith("vgg") else {"width": 0.125, "stages": 2}
    stride = 32 if name.startswith("vgg") else 8
    backbone = build_backbone(name, output_stride=stride, weights=tmp_path / "network.pth", **size)
    ours, theirs = backbone.state_dict(), source.backbone.state_dict()
    assert all(torch.equal(ours[entry], theirs[entry].to(ours[entry])) for entry in ours)
