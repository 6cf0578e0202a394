from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.checkpoints import load_weights
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import BasicBlock, Bottleneck
from wsss_lib.networks.unet import POSITIVE, InverseBlock, UNet, build_unet, load_classifier, unet_from_authors
from wsss_lib.networks.vgg_classifier import VGGClassifier
from wsss_lib.tests.fill import fill_module

SMALL = {"resnet18": {"width": 1 / 8}, "resnet50": {"width": 1 / 16}, "vgg16": {"width": 1 / 32}}
SMALL |= {"vgg16_bn": {"width": 1 / 32}, "mobilenet_v2": {"width": 0.1}}


def test_numbers_are_as_many_as_the_authors():
    assert sum(p.numel() for p in build_unet("resnet18", 21, classification=True).parameters()) == 18_822_378


@pytest.mark.parametrize("name, size", [*product(SMALL, [(32, 32), (33, 47), (64, 40)])])
@torch.no_grad()
def test_maps_have_the_size_of_the_image(name, size):
    network = build_unet(name, 5, classification=True, **SMALL[name]).eval()
    logits, maps = network(torch.rand(2, 3, *size))
    assert logits.shape == (2, 5) and maps.shape == (2, 5, *size)
    assert maps.std() > 0


@pytest.mark.parametrize("small_stem, stages", [*product((False, True), (1, 2, 3))])
@torch.no_grad()
def test_shallow_resnets_of_any_stem_and_tiny_images(small_stem, stages):
    network = build_unet("resnet34", 3, width=1 / 16, stages=stages, small_stem=small_stem).eval()
    assert network(torch.rand(1, 3, 1, 5)).maps.shape == (1, 3, 1, 5)


def test_vgg_says_which_size_would_do():
    with pytest.raises(ValueError, match=r"31 x 40 px vanish in the pools of VGG; use 32 px"):
        build_unet("vgg16", 3, width=1 / 32)(torch.rand(1, 3, 31, 40))


def test_networks_without_a_decoder_are_refused():
    with pytest.raises(ValueError, match="no U-Net; choose"):
        build_unet("resnet38", 3)


@torch.no_grad()
def test_without_a_head_the_logits_are_means_of_the_maps():
    logits, maps = build_unet("resnet18", 4, width=1 / 8).eval()(torch.rand(2, 3, 32, 32))
    torch.testing.assert_close(logits, maps.mean((2, 3)))


def slow_basic(block, features, skip, size):
    joined = torch.cat([features, skip], 1)
    inside = block.bn1(F.conv2d(joined, block.conv1.weight, block.conv1.bias, padding=1)).relu()
    spread = torch.zeros(*inside.shape[:2], 2 * inside.shape[2] - 1, 2 * inside.shape[3] - 1)  # zeros between
    spread[..., ::2, ::2] = inside
    flipped = block.conv2.weight.flip(2, 3).transpose(0, 1)
    extra = [size[axis] - spread.shape[2 + axis] for axis in (0, 1)]
    inside = F.conv2d(F.pad(spread, (1, 1 + extra[1], 1, 1 + extra[0])), flipped, block.conv2.bias)
    shortcut = torch.zeros(*joined.shape[:2], *size)
    shortcut[..., ::2, ::2] = joined
    projection = block.downsample[0]
    shortcut = F.conv2d(shortcut, projection.weight.transpose(0, 1), projection.bias)
    return (block.bn2(inside) + block.downsample[1](shortcut)).relu()


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
@torch.no_grad()
def test_an_inverse_block_spreads_and_convolves(size):
    block = InverseBlock(BasicBlock(4, 6, 2, 1, 1), skip_channels=3).eval()
    features, skip = torch.randn(2, 6, 3, 4), torch.randn(2, 3, 3, 4)
    torch.testing.assert_close(block(features, torch.Size(size), skip), slow_basic(block, features, skip, size))


@torch.no_grad()
def test_an_inverse_block_without_projection_keeps_its_shortcut():
    block = InverseBlock(Bottleneck(16, 4, 1, 1, 1)).eval()
    nn.init.zeros_(block.bn3.weight)
    features = torch.randn(1, 16, 3, 3)
    torch.testing.assert_close(block(features, features.shape[-2:]), features.relu())


def test_a_new_decoder_leaves_the_encoder_as_it_is():
    encoder = build_backbone("resnet18", output_stride=32, width=1 / 8)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    network = UNet(encoder, 4)
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert not network.decoder["decoder"].inv_layer4[0].conv1.bias.any()


@pytest.mark.parametrize("classification", [False, True])
def test_a_classifier_becomes_encoder_and_head(classification):
    classifier = Classifier(build_backbone("resnet18", output_stride=32, width=1 / 8), 4, bias=True).eval()
    network = build_unet("resnet18", 4, width=1 / 8, classification=classification).eval()
    loaded = load_classifier(network, classifier.state_dict())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network.encoder(images)[-1], classifier(images).features)
    if classification:
        torch.testing.assert_close(network(images).logits, classifier(images).logits)
    assert ("head.weight" in loaded.unused) != classification


@torch.no_grad()
def test_a_vgg_classifier_becomes_encoder_and_head():
    classifier = VGGClassifier(build_backbone("vgg16", output_stride=32, width=1 / 32), 4).eval()
    network = build_unet("vgg16", 4, width=1 / 32, classification=True).eval()
    load_classifier(network, classifier.state_dict())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network(images).logits, classifier(images).logits)


@pytest.mark.parametrize("prefix", ["encoder.", "encoder.backbone."])
def test_both_prefixes_of_the_authors_pretraining(prefix):
    network = build_unet("resnet18", 4, width=1 / 8, classification=True)
    stored = {f"{prefix}{name}": value + 1 for name, value in network.encoder.state_dict().items()}
    stored |= {f"{prefix}fc.weight": torch.ones(4, 64), f"{prefix}fc.bias": torch.ones(4)}
    stored["tied_weights_decoder.decoder.inv_conv1.inv_m.weight"] = torch.ones(1)
    load_classifier(network, stored)
    assert network.classification_head.fc.weight.eq(1).all()
    torch.testing.assert_close(network.encoder.conv1.weight, stored[f"{prefix}conv1.weight"])


def test_a_classifier_of_other_classes_is_refused():
    classifier = Classifier(build_backbone("resnet18", output_stride=32, width=1 / 8), 7, bias=True)
    with pytest.raises(ValueError, match=r"other shapes: classification_head\.fc"):
        load_classifier(build_unet("resnet18", 4, width=1 / 8, classification=True), classifier.state_dict())


def test_the_authors_second_copy_of_the_encoder_is_left_aside():
    network = build_unet("resnet18", 3, width=1 / 8)
    names = [*network.state_dict(), "decoder.decoder.encoder.conv1.weight"]
    assert [unet_from_authors(name) for name in names] == [*network.state_dict(), None]


def saved_by_authors(network):
    """State dict of their U-Net; that of a ResNet has the encoder twice."""
    stored = network.state_dict()
    if hasattr(network.encoder, "features"):
        return stored
    return stored | {f"decoder.decoder.encoder.{name}": value for name, value in network.encoder.state_dict().items()}


@pytest.mark.parametrize(
    "name, classification", [*product(("resnet18", "resnet50", "vgg16", "vgg16_bn"), (False, True))]
)
@torch.no_grad()
def test_files_of_the_authors_load_whole(tmp_path, name, classification):
    source = fill_module(build_unet(name, 4, classification=classification, **SMALL[name])).eval()
    torch.save(saved_by_authors(source), tmp_path / "network.pth")
    network = build_unet(name, 4, classification=classification, **SMALL[name]).eval()
    loaded = load_weights(network, tmp_path / "network.pth", rename=unet_from_authors)
    images = torch.rand(2, 3, 64, 32)
    for ours, theirs in zip(network(images), source(images), strict=True):
        assert torch.equal(ours, theirs) and ours.std() > 0
    assert bool(loaded.unused) == name.startswith("resnet") and not loaded.missing


def test_files_of_the_authors_other_networks_are_refused():
    def refused(stored, match):
        network = fill_module(build_unet("resnet18", 4, **SMALL["resnet18"]))
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with pytest.raises(ValueError, match=match):
            load_weights(network, stored, rename=unet_from_authors)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    with_head = build_unet("resnet18", 4, classification=True, **SMALL["resnet18"])
    refused(saved_by_authors(with_head), r"unexpected: classification_head\.fc\.weight")
    deeper = build_unet("resnet34", 4, **SMALL["resnet18"])
    refused(saved_by_authors(deeper), r"unexpected: encoder\.layer1\.2\.conv1\.weight")
    classes = build_unet("resnet18", 5, **SMALL["resnet18"])
    refused(saved_by_authors(classes), r"other shapes: segmentation_head\.0\.bias \[5\] instead of \[4\]")
    unrolled = {
        "encoder.fc.weight": torch.zeros(4, 64),
        "tied_weights_decoder.decoder.inv_conv1.m.weight": torch.ones(1),
    }
    refused(unrolled, r"missing: encoder\.conv1\.weight.*unexpected: encoder\.fc\.weight, tied_weights_decoder")


def test_inputs_of_the_authors_are_positive():
    torch.testing.assert_close(
        POSITIVE.normalize(torch.tensor([0.0, 1.0]).expand(3, 1, 2))[0, 0] * 256, torch.tensor([1.0, 256.0])
    )
