"""Speed of relevance maps: one vector-Jacobian product per class against the decoder unrolled layer by layer."""

import torch
import torch.nn.functional as F

from wsss_lib.maps.relevance import input_times_gradient, relevance_maps
from wsss_lib.maps.unrolled_decoder import epsilon_rules, unrolled_relevance
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.tests.bench import benchmark
from wsss_lib.tests.fill import fill_module

CLASSES = 21
NOISE = 1e-2  # of the divisions of the slow form in single precision; the tests compare in double precision
RULES = epsilon_rules(1e-8, unpool="last")


def classifier(name: str) -> Classifier:
    return fill_module(Classifier(build_backbone(name, output_stride=32), CLASSES, bias=True)).eval()


def forms_of_maps(name: str, *size: int):
    """Class after class through every layer, denominators anew each time, as the authors do; and the library's form."""
    network, images = classifier(name), torch.rand(size)

    @torch.no_grad()
    def slow():
        return relevance_maps(unrolled_relevance(network, images, RULES), CLASSES)

    @torch.no_grad()
    def fast():
        return relevance_maps(input_times_gradient(network, images, unpool="last"), CLASSES)

    return slow, fast


@benchmark("21 relevance maps, ResNet-18, 2 x 64 px", ratio=2, tolerance=NOISE)
def maps_of_resnet18():
    return forms_of_maps("resnet18", 2, 3, 64, 64)


@benchmark("21 relevance maps, ResNet-50, 1 x 128 px", ratio=2, tolerance=NOISE)
def maps_of_resnet50():
    return forms_of_maps("resnet50", 1, 3, 128, 128)


@benchmark("21 relevance maps, ResNet-50, 1 x 256 px", ratio=2, tolerance=NOISE)
def large_maps_of_resnet50():
    return forms_of_maps("resnet50", 1, 3, 256, 256)


@benchmark("relevance training, 21 classes, ResNet-18, 2 x 64 px", ratio=1.67)
def training_gradients():
    """The joint form with a decoder of its own weights, as the authors'; both hand back their maps (gradients are
    compared in the tests)."""
    network, images = UnrolledClassifier(classifier("resnet18"), tie="untied"), torch.rand(2, 3, 64, 64)
    masks = torch.randint(0, CLASSES, (2, 64, 64))
    copies, encoder = network.decoder_weights(), network.classifier

    def slow():
        maps = relevance_maps(unrolled_relevance(encoder, images, RULES, decoder_weights=copies), CLASSES)
        network.zero_grad()
        F.cross_entropy(maps, masks).backward()
        return maps.detach()

    def fast():
        maps = relevance_maps(input_times_gradient(encoder, images, unpool="last", decoder_weights=copies), CLASSES)
        network.zero_grad()
        F.cross_entropy(maps, masks).backward()
        return maps.detach()

    return slow, fast
