"""Speed of maps."""

import torch
import torch.nn.functional as F

from wsss_lib.maps.cam import class_activation_maps
from wsss_lib.maps.modes import evaluation_mode
from wsss_lib.maps.multiscale import multiscale_maps, rescaled_images
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.classifier import Classifier
from wsss_lib.tests.bench import benchmark

SCALES = (1.0, 0.5, 1.5, 2.0)
NOT_SLOWER = 0.95  # large images are bound by the network, which both forms run; 5 % is the noise of a shared machine


def forms(network: Classifier, images: torch.Tensor, class_labels: torch.Tensor):
    """Eight passes, one for each image, scale and mirror image, with all classes resized; and the library's form."""
    size = tuple(images.shape[2:])
    pyramid = rescaled_images(images, SCALES)

    def maps_of(images):
        return class_activation_maps(network(images).features, network.head_weight)

    @torch.no_grad()
    def slow():
        total = torch.zeros(*class_labels.shape, *size)
        with evaluation_mode(network):
            for index in range(len(images)):
                for scaled in pyramid:
                    one = scaled[index : index + 1]
                    total[index] += F.interpolate(maps_of(one), size, mode="bilinear")[0]
                    total[index] += F.interpolate(maps_of(one.flip(-1)), size, mode="bilinear")[0].flip(-1)
        return total * class_labels[..., None, None]

    def fast():
        with evaluation_mode(network):
            return multiscale_maps(maps_of, pyramid, class_labels, size)

    return slow, fast


@benchmark("multi-scale CAM, 187 x 250 px photograph, 20 classes", ratio=NOT_SLOWER)
def cam_of_a_photograph():
    network = Classifier(build_backbone("mobilenet_v2", output_stride=16), 20)
    return forms(network, torch.randn(1, 3, 187, 250), torch.eye(20)[3:4])


@benchmark("multi-scale CAM, 8 benchmark images of 48 px", ratio=1.2)
def cam_of_a_batch():
    network = Classifier(build_backbone("resnet18", output_stride=4, width=0.25, small_stem=True), 8)
    return forms(network, torch.randn(8, 3, 48, 48), torch.eye(8))
