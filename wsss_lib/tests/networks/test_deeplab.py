"""Heads of DeepLab on small backbones of every kind."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsss_lib.losses.segmentation import multi_scale_cross_entropy
from wsss_lib.networks.base import CAFFE, TENSORFLOW
from wsss_lib.networks.caffe_resnet import CaffeResNet
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.deeplab import (
    ASPP,
    ENCODERS,
    VERSIONS,
    SummedASPP,
    build_deeplab,
    build_encoder,
    load_classifier_backbone,
    multi_scale_logits,
)
from wsss_lib.networks.mobilenet import MobileNetV2
from wsss_lib.scores.segmentation import confusion_matrix, mean_iou
from wsss_lib.store import save_weights
from wsss_lib.tests.fill import fill_module
from wsss_lib.tests.networks.test_backbones import folded_arrays


def small_encoder(width: float = 1 / 8):
    return build_encoder("resnet18", output_stride=8, width=width, stages=3)


def small_deeplab(version: str, backbone=None, num_labels: int = 4):
    return build_deeplab(version, backbone or small_encoder(), num_labels, rates=(1, 2), channels=16, low_width=8)


def convolved(features, weight, dilation):
    """One image through a 3x3 convolution, pixel by pixel; zeros beyond the border."""
    _, height, width = features.shape
    result = torch.zeros(len(weight), height, width)
    for y in range(height):
        for x in range(width):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    row, column = y + dilation * dy, x + dilation * dx
                    if 0 <= row < height and 0 <= column < width:
                        result[:, y, x] += weight[:, :, dy + 1, dx + 1] @ features[:, row, column]
    return result


@torch.no_grad()
@pytest.mark.parametrize("rates", [(1,), (2, 5)])
def test_summed_pyramid_is_the_sum_of_dilated_convolutions(rates):
    aspp = fill_module(SummedASPP(3, 2, rates))
    features = torch.randn(1, 3, 6, 7)
    expected = sum(
        convolved(features[0], branch.weight, rate) + branch.bias[:, None, None]
        for branch, rate in zip(aspp.children(), rates, strict=True)
    )
    assert torch.allclose(aspp(features)[0], expected, atol=1e-5)


@torch.no_grad()
def test_concatenated_pyramid():
    aspp = fill_module(ASPP(3, 2, (2,))).eval()
    features = torch.randn(2, 3, 6, 7)
    one, three, pool = aspp.stages.c0, aspp.stages.c1, aspp.stages.imagepool.conv
    pointwise = torch.einsum("bchw,kc->bkhw", features, one.conv.weight[..., 0, 0])
    dilated = torch.stack([convolved(image, three.conv.weight, 2) for image in features])
    pooled = torch.einsum("bchw,kc->bk", features / 42, pool.conv.weight[..., 0, 0])[..., None, None].expand(2, 2, 6, 7)
    expected = [layer.bn(part).relu() for layer, part in ((one, pointwise), (three, dilated), (pool, pooled))]
    assert aspp.out_channels == 6
    assert torch.allclose(aspp(features), torch.cat(expected, 1), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("scales", [(0.5, 0.75), (0.5,)])
def test_maximum_over_scales(scales):
    network = fill_module(small_deeplab("v2")).eval()
    images = torch.randn(2, 3, 48, 64)
    *parts, maximum = multi_scale_logits(network, images, scales)
    copies = [images, *(F.interpolate(images, scale_factor=scale, mode="bilinear") for scale in scales)]
    assert len(parts) == len(copies)
    expected = torch.full_like(parts[0], -torch.inf)
    for part, copy in zip(parts, copies, strict=True):
        assert torch.equal(part, network(copy))
        expected = torch.maximum(expected, F.interpolate(part, expected.shape[-2:], mode="bilinear"))
    assert torch.equal(maximum, expected)
    assert not torch.equal(maximum, parts[0])


@torch.no_grad()
def test_one_scale_has_no_maximum():
    (logits,) = multi_scale_logits(lambda images: 2 * images, torch.ones(1, 2, 4, 4), ())
    assert torch.equal(logits, torch.full((1, 2, 4, 4), 2.0))


@torch.no_grad()
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "backbone",
    [
        small_encoder,
        lambda: build_encoder("resnet50", output_stride=4, width=1 / 16, small_stem=True, stages=4),
        lambda: build_encoder("mobilenet_v2", output_stride=16, width=0.25),
        lambda: build_encoder("vgg16_bn", output_stride=8, width=1 / 16),
        lambda: CaffeResNet((1, 1, 1, 1), width=1 / 16),
    ],
    ids=["resnet18", "small_stem", "mobilenet_v2", "vgg16_bn", "caffe"],
)
def test_any_backbone_carries_any_head(backbone, version):
    encoder = backbone()
    network = small_deeplab(version, encoder).eval()
    images = torch.randn(1, 3, 64, 96)
    tap = encoder(images)[network.head.low_tap if version == "v3plus" else -1]
    logits = network(images)
    assert logits.shape == (1, 4, *tap.shape[-2:])
    assert network.normalization is encoder.normalization
    assert not torch.allclose(logits, network(images.flip(0) + 1))


@pytest.mark.parametrize("output_stride, expected", [(16, (6, 12, 18)), (8, (12, 24, 36))])
def test_rates_of_the_papers(output_stride, expected):
    def rates_of(version):
        network = build_deeplab(version, MobileNetV2(output_stride=output_stride, width=0.25), 2, channels=8)
        branches = network.head.aspp if version == "v2" else network.head.aspp.stages
        convs = [branch if version == "v2" else branch.conv for branch in branches.children()]
        return tuple(conv.dilation[0] for conv in convs if getattr(conv, "kernel_size", 0) == (3, 3))

    assert rates_of("v2") == (6, 12, 18, 24)
    assert rates_of("v3") == rates_of("v3plus") == expected


def test_low_level_features_are_the_last_of_stride_four():
    network = build_deeplab("v3plus", MobileNetV2(output_stride=16, width=0.25), 2, channels=8)
    assert network.backbone.tap_strides[network.head.low_tap] == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_frozen_batch_norm_of_the_backbone_stays_while_the_head_learns(version):
    network = small_deeplab(version)
    network.backbone.freeze(batch_norm_statistics=True, batch_norm_affine=True)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    multi_scale_cross_entropy([network(torch.randn(2, 3, 32, 32))], torch.randint(4, (2, 32, 32))).backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    norms = {name for name in before if name.startswith("backbone.") and (".bn" in name or "downsample.1" in name)}
    assert norms and not changed & norms
    assert any(name.startswith("head.") for name in changed) and "backbone.conv1.weight" in changed


@pytest.mark.parametrize("version", VERSIONS)
def test_four_images_are_learned_by_heart(version):
    torch.manual_seed(0)
    size = (48, 48)
    masks = torch.zeros(4, *size, dtype=torch.long)
    for image in range(4):  # a square in the color of its class
        top, left = 8 * (image % 2), 8 * (image // 2)
        masks[image, top : top + 32, left : left + 32] = 1 + image % 3
    colors = torch.tensor([[0.0, 0, 0], [2, -1, 0], [-1, 2, 0], [0, -1, 2]])
    images = colors[masks].permute(0, 3, 1, 2) + 0.1 * torch.randn(4, 3, *size)
    network = build_deeplab(version, small_encoder(1 / 4), 4, rates=(1, 2), channels=64, low_width=8).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.005)

    def logits_of_the_image():
        logits = multi_scale_logits(network, images, (0.5,) if version == "v2" else ())
        return [F.interpolate(of_scale, size, mode="bilinear") for of_scale in logits]

    for _ in range(60):
        optimizer.zero_grad()
        multi_scale_cross_entropy(logits_of_the_image(), masks).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        label_maps = logits_of_the_image()[-1].argmax(1)
    assert mean_iou(confusion_matrix(label_maps, masks, 4)) >= 95


def test_initial_weights_of_the_classifiers():
    (aspp,) = small_deeplab("v2").head.children()
    assert all(abs(branch.weight.std().item() - 0.01) < 0.002 and not branch.bias.any() for branch in aspp.children())
    for classifier in (small_deeplab("v3").head.fc2, small_deeplab("v3plus").head.fc2.conv3):
        assert classifier.weight.std() > 0.3 / classifier.in_channels**0.5, "too small to learn on few channels"


def test_a_single_image_cannot_train_the_image_pool():
    network = small_deeplab("v3")
    with pytest.raises(ValueError, match="batches of two or more"):
        network.train()(torch.randn(1, 3, 32, 32))
    assert network.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 4, 4, 4)


def test_caffe_encoder():
    encoder = build_encoder("caffe_resnet50", output_stride=16, width=1 / 16, multi_grid=(1, 2, 4))
    assert isinstance(encoder, CaffeResNet) and encoder.normalization is CAFFE
    assert [block.conv3x3.conv.dilation[0] for block in encoder.layer5] == [2, 4, 8]
    assert {"caffe_resnet101", "resnet18", "resnet38"} < set(ENCODERS)


def test_what_does_not_exist():
    with pytest.raises(ValueError, match="choose one of v2, v3, v3plus"):
        build_deeplab("v4", small_encoder(), 2)
    with pytest.raises(ValueError, match="use another backbone, or v3"):
        build_deeplab("v3plus", build_encoder("resnet18", output_stride=1, small_stem=True, stages=1), 2)
    with pytest.raises(ValueError, match="no backbone 'resnet19'; choose one of caffe_resnet50"):
        build_encoder("resnet19", output_stride=8)
    with pytest.raises(ValueError, match="no option multi_grid; it belongs to caffe_resnet50"):
        build_encoder("resnet18", output_stride=8, multi_grid=(1, 2))
    with pytest.raises(ValueError, match="no option stages"):
        build_encoder("caffe_resnet50", output_stride=8, stages=3)


@torch.no_grad()
def test_backbone_of_a_classifier_keeps_the_scaling_and_padding_of_its_first_weights(tmp_path):
    shape = {"output_stride": 16, "width": 0.25}
    arrays = folded_arrays(fill_module(build_encoder("mobilenet_v2", **shape)))
    np.savez(tmp_path / "first.npz", **arrays)
    classifier = Classifier(build_encoder("mobilenet_v2", **shape, weights=tmp_path / "first.npz"), 5)
    for parameter in classifier.parameters():
        parameter.mul_(1.1)
    save_weights(tmp_path / "weights.safetensors", classifier)
    backbone = build_encoder("mobilenet_v2", **shape, weights=tmp_path / "first.npz")
    load_classifier_backbone(backbone, tmp_path / "weights.safetensors")
    images = torch.randn(1, 3, 33, 40)
    assert backbone.normalization == TENSORFLOW
    torch.testing.assert_close(backbone.train()(images)[-1], classifier.backbone.train()(images)[-1], rtol=0, atol=0)
    with pytest.raises(ValueError, match="layer1"):
        load_classifier_backbone(small_encoder(), tmp_path / "weights.safetensors")
