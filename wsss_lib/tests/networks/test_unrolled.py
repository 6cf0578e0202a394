"""Tied weights stay tied, untied ones do not."""

import pytest
import torch
from torch import nn

from wsss_lib.maps.relevance import input_times_gradient, relevance_maps
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.base import CAFFE
from wsss_lib.networks.unet import POSITIVE
from wsss_lib.networks.unrolled import UnrolledClassifier, fold_input_scaling
from wsss_lib.tests.maps.small import random_images, small_classifier


def test_tied_weights_stay_tied_when_moved_and_loaded():
    network = UnrolledClassifier(small_classifier()).float()
    assert network.decoder_weights() == {} and len(list(network.parameters())) == len(
        list(network.classifier.parameters())
    )
    network.load_state_dict(network.state_dict())
    assert network.decoder_weights() == {}, "the decoder uses whatever the classifier has"


def test_maps_follow_weights_that_are_loaded_after_a_move():
    """Of a file that is read after the move, encoder and decoder change together (the authors' decoder does not)."""
    network, images = UnrolledClassifier(small_classifier()).float(), random_images(9, 9).float()
    halved = {
        name: value / 2 if name == "classifier.head.weight" else value for name, value in network.state_dict().items()
    }
    with torch.no_grad():
        before = relevance_maps(input_times_gradient(network.classifier, images), 3)
        network.load_state_dict(halved)
        after = relevance_maps(input_times_gradient(network.classifier, images), 3)
    assert before.any()
    torch.testing.assert_close(after, before / 2)


def test_untied_weights_begin_equal_and_are_parameters_of_their_own():
    network = UnrolledClassifier(small_classifier(), tie="untied")
    layers = network.classifier
    for name, copy in network.decoder_weights().items():
        weight = layers.get_submodule(name).weight
        assert torch.equal(copy, weight) and copy.data_ptr() != weight.data_ptr() and copy.requires_grad
    state = {name: value + 1 for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    assert torch.equal(network.decoder_weights()["head"], layers.head.weight), "both parts are stored and loaded"


def test_forward_is_that_of_the_classifier():
    network, images = UnrolledClassifier(small_classifier(), tie="untied"), random_images(9, 9)
    assert torch.equal(network(images).logits, network.classifier(images).logits)
    assert network.normalization is network.classifier.normalization


def test_unknown_tie():
    with pytest.raises(ValueError, match="shared, untied"):
        UnrolledClassifier(small_classifier(), tie="loose")


@pytest.mark.parametrize("name", ["mobilenet_v2", "vgg16"])
def test_folded_input_scaling_changes_the_input_and_no_feature(name):
    encoder = build_backbone(name, output_stride=32, width=0.25).eval()
    pixels, first = torch.rand(2, 3, 40, 40), next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        before = first(encoder.normalization.normalize(pixels))
        fold_input_scaling(encoder, POSITIVE)
        after = first(encoder.normalization.normalize(pixels))
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(after[inside], before[inside], rtol=1e-4, atol=1e-5)
    assert encoder.normalization is POSITIVE and (encoder.normalization.normalize(pixels) > 0).all()
    with pytest.raises(ValueError, match="reads rgb, the new scaling is for bgr"):
        fold_input_scaling(encoder, CAFFE)
