"""U-Nets against the authors' own, with their names and weights."""

import torch

from wsss_lib.networks.unet import UNet, build_unet, unet_from_authors
from wsss_lib.tests.golden_files import Golden, conforms
from wsss_lib.tests.networks.filled import fill_from_names


def check(golden: Golden) -> None:
    params = golden.params
    with torch.device("meta"):  # the weights are all listed
        network = build_unet(params["encoder"], params["classes"], classification=params["add_classification"])
    network: UNet = fill_from_names(network.to_empty(device="cpu"), golden.meta["state_dict"], unet_from_authors)
    images = golden.tensor("in_x")
    with torch.no_grad():
        logits, maps = network(images)
        taps = network.encoder(images)
        decoded = network.decoder["decoder"](taps, images.shape[-2:])
    golden.check("out_masks", maps)
    golden.check("out_bottleneck_mean", taps[-1].mean((2, 3)))
    golden.check("out_decoder_mean", decoded.mean((2, 3)))
    if params["add_classification"]:
        golden.check("out_labels", logits)


@conforms("unrolled_lrp/std_unet_resnet18")
def test_std_unet_resnet18(golden):
    check(golden)


@conforms("unrolled_lrp/std_unet_vgg16")
def test_std_unet_vgg16(golden):
    check(golden)


@conforms("unrolled_lrp/mt_unet_resnet34")
def test_mt_unet_resnet34(golden):
    check(golden)


@conforms("unrolled_lrp/mt_unet_resnet50")
def test_mt_unet_resnet50(golden):
    check(golden)


@conforms("unrolled_lrp/mt_unet_vgg16_bn")
def test_mt_unet_vgg16_bn(golden):
    check(golden)
