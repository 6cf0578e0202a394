"""Networks of BECO against the authors' own."""

import torch
import torch.nn.functional as F

from wsss_lib.networks.dilated_resnet import torchvision_to_authors
from wsss_lib.networks.network_pair import build_segmenter, build_segmenter_backbone, segmenter_from_authors
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names

EVERY = 3  # logits_sub is every third row and column of the full-size logits


def network_of(golden, version, backbone, **options):
    """The authors' network under our names; built without drawing initial weights, which takes seconds."""
    names = golden.meta["state_dict"]
    num_labels = next(shape[0] for name, shape in reversed(names) if name.endswith("bias"))
    with torch.device("meta"):
        encoder = build_segmenter_backbone(backbone, **options)
        network = build_segmenter(version, encoder, num_labels)
    return fill_from_names(network.to_empty(device="cpu"), names, segmenter_from_authors(version, backbone))


def check_logits(golden, network, layer4=True):
    for case in golden.cases:
        images = golden.tensor(f"in_{case}_img")
        taps = network.backbone(images)
        logits = network.head(taps)
        golden.check(f"out_{case}_pre_logits", logits)
        full = F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)
        golden.check(f"out_{case}_logits_sub", full[..., ::EVERY, ::EVERY])
        if layer4:
            golden.check(f"out_{case}_layer4_mean", taps[-1].mean(1))


@conforms("ktse/beco_deeplabv2")
@torch.no_grad()
def test_beco_deeplabv2(golden):
    check_logits(golden, network_of(golden, "v2", "resnet101_b", output_stride=8))


@conforms("ktse/beco_deeplabv3plus")
@torch.no_grad()
def test_beco_deeplabv3plus(golden):
    network = network_of(golden, "v3plus_separable", "resnet101_d", output_stride=16, multi_grid=(1, 2, 4))
    check_logits(golden, network)


@conforms("ktse/beco_segformer")
@torch.no_grad()
def test_beco_segformer(golden):
    check_logits(golden, network_of(golden, "segformer", "mit_b2", output_stride=32), layer4=False)


@conforms("ktse/beco_pretrained_names")
def test_beco_pretrained_names(golden):
    for case in golden.cases:
        names = golden[f"in_{case}_names"].tolist()
        golden.check(f"out_{case}_names", [torchvision_to_authors(name) or "" for name in names])
        rename = segmenter_from_authors("v2", "resnet101_b")
        for name, theirs in zip(names, golden[f"out_{case}_names"].tolist(), strict=True):
            if theirs and "fc." not in theirs:
                assert rename(f"backbone.{theirs}") == f"backbone.{name}"
