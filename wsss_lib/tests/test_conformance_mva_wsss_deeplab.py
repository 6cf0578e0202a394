"""DeepLab of deeplab-pytorch, the network of the sub-category and mixing report."""

import re

import torch
import torch.nn.functional as F

from wsss_lib.losses.segmentation import multi_scale_cross_entropy, resize_labels
from wsss_lib.networks.caffe_resnet import CAFFE_DEPTHS, CaffeResNet
from wsss_lib.networks.classifier import parameter_groups
from wsss_lib.networks.deeplab import (
    ASPP,
    DeepLab,
    SummedASPP,
    build_deeplab,
    deeplab_from_authors,
    multi_scale_logits,
)
from wsss_lib.tests.golden_files import Golden, conforms
from wsss_lib.tests.networks.filled import fill_from_names

NAMES = list[tuple[str, list[int]]]


def blocks_of(names: NAMES) -> list[int]:
    """Number of blocks of the stages layer2 to layer5, from the listed names."""
    blocks = {tuple(name.split(".")[:2]) for name, _ in names if ".block" in name}
    return [sum(layer == f"layer{stage}" for layer, _ in blocks) for stage in range(2, 6)]


def network_of(golden: Golden, version: str, output_stride: int, rates=(), multi_grid=()) -> DeepLab:
    names = golden.meta["state_dict"]
    num_labels = next(shape[0] for name, shape in reversed(names) if name.endswith("bias"))
    backbone = CaffeResNet(blocks_of(names), output_stride=output_stride, multi_grid=multi_grid)
    return fill_from_names(build_deeplab(version, backbone, num_labels, rates=rates), names, deeplab_from_authors)


@conforms("mva_wsss/deeplabv2_small")
@torch.no_grad()
def test_deeplabv2_small(golden):
    network = network_of(golden, "v2", 8, golden.params["rates"])
    assert blocks_of(golden.meta["state_dict"]) == golden.params["n_blocks"]
    images = golden.tensor("in_x")
    for number, tap in enumerate(network.backbone(images), start=1):
        golden.check(f"out_tap_layer{number}", tap[0, : golden[f"out_tap_layer{number}"].shape[0]])
    golden.check("out_logits", network(images))
    whole, half, three_quarters, maximum = multi_scale_logits(network, images, golden.params["scales"])
    golden.check("out_logits", whole)
    golden.check("out_msc_half", half)
    golden.check("out_msc_three_quarters", three_quarters)
    golden.check("out_msc_max", maximum)
    golden.check("out_msc_eval", maximum)

    full = build_deeplab("v2", CaffeResNet(CAFFE_DEPTHS["caffe_resnet101"]), network.head.aspp.c0.out_channels)
    listed = {deeplab_from_authors(name): shape for name, shape in golden.meta["full_resnet101_msc_state_dict"]}
    assert {name: [*value.shape] for name, value in full.state_dict().items()} == listed
    full.backbone.freeze(batch_norm_statistics=True, batch_norm_affine=True)
    weights, biases, new_weights, new_biases = parameter_groups(full)
    assert (len(weights), len(biases)) == (golden.meta["group_1x_count"], 0)
    name_of = {id(parameter): name for name, parameter in full.named_parameters()}
    for group, key in ((new_weights, "group_10x"), (new_biases, "group_20x")):
        assert [name_of[id(parameter)] for parameter in group] == [*map(deeplab_from_authors, golden.meta[key])]


@conforms("mva_wsss/deeplabv3_small")
@torch.no_grad()
def test_deeplabv3_small(golden):
    network = network_of(golden, "v3", golden.params["output_stride"], golden.params["rates"], (1, 2, 4))
    golden.check("out_logits", network(golden.tensor("in_x")))


@conforms("mva_wsss/deeplabv3plus_small")
@torch.no_grad()
def test_deeplabv3plus_small(golden):
    images = golden.tensor("in_x")
    for output_stride in (16, 8):
        network = network_of(golden, "v3plus", output_stride, multi_grid=(1, 2, 4))
        logits = F.interpolate(network(images), images.shape[-2:], mode="bilinear")
        golden.check(f"out_logits_os{output_stride}", logits[..., ::3, ::3])
        if output_stride == 16:
            golden.check("out_stat", torch.stack((logits.mean(), logits.std(correction=0))))


@conforms("mva_wsss/deeplab_aspp")
@torch.no_grad()
def test_deeplab_aspp(golden):
    features = golden.tensor("in_x")
    of_v2, of_v3 = golden.meta["state_dict"]
    channels = golden.params["in_ch"]
    rates_of_v2, rates_of_v3 = (tuple(map(int, pair)) for pair in re.findall(r"rates (\d+),(\d+)", golden.meta["what"]))
    summed = SummedASPP(channels, golden["out_v2"].shape[1], rates_of_v2)
    golden.check("out_v2", fill_from_names(summed, of_v2, str)(features))
    concatenated = ASPP(channels, dict(map(tuple, of_v3))["stages.c0.bn.weight"][0], rates_of_v3)
    golden.check("out_v3", fill_from_names(concatenated, of_v3, str)(features))


@conforms("mva_wsss/deeplab_multiscale_loss")
def test_deeplab_multiscale_loss(golden):
    masks = golden.tensor("in_labels").long()
    logits = [torch.from_numpy(of_scale).requires_grad_() for of_scale in golden.series("in_logits")]
    assert len(logits) == golden.params["n"]
    for number, of_scale in enumerate(logits):
        golden.check(f"out_labels_{number}", resize_labels(masks, of_scale.shape[-2:]))
    loss = multi_scale_cross_entropy(logits, masks)
    golden.check("out_loss", loss)
    loss.backward()
    for number, of_scale in enumerate(logits):
        golden.check(f"out_grad_{number}", of_scale.grad)
