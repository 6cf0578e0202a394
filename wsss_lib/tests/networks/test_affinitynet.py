import pytest
import torch
import torch.nn.functional as F

from wsss_lib.networks.affinitynet import AffinityNet, affinitynet_from_authors, psa_affinitynet
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.base import IMAGENET
from wsss_lib.networks.checkpoints import load_weights
from wsss_lib.networks.classifier import Classifier, SubCategoryClassifier, parameter_groups
from wsss_lib.networks.resnet38 import ResNet38
from wsss_lib.networks.vgg import PSAVGG16


def small_backbone(output_stride=8):
    return build_backbone("resnet18", output_stride=output_stride, width=1 / 16, stages=3)


@torch.no_grad()
@pytest.mark.parametrize("group_norm", [False, True])
def test_features_equal_the_layers_one_by_one(group_norm):
    network = AffinityNet(small_backbone(), taps=(-2, -1), channels=(8, 16), group_norm=group_norm).eval()
    images = torch.randn(2, 3, 40, 56)
    parts = []
    for place, tap in enumerate(network.backbone(images)[-2:]):
        part = torch.einsum("bchw,dc->bdhw", tap, network.reductions[place].weight[:, :, 0, 0])
        if group_norm:
            groups = part.unflatten(1, (-1, 8))
            variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0, keepdim=True)
            part = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        parts.append(torch.where(part > 0, part, part.exp() - 1))
    mixed = torch.einsum("bchw,dc->bdhw", torch.cat(parts, 1), network.fusion.weight[:, :, 0, 0])
    expected = torch.where(mixed > 0, mixed, mixed.exp() - 1)
    found = network(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.shape == (2, 24, 5, 7) and found.std() > 1e-3 and network.stride == 8
    assert network.normalization == IMAGENET


@torch.no_grad()
def test_taps_of_different_strides_meet_at_the_finest():
    network = AffinityNet(small_backbone(), taps=(1, 2, 3), channels=(4, 4, 4)).eval()
    images = torch.randn(1, 3, 48, 40)
    taps = network.backbone(images)[1:]
    assert [tap.shape[2:] for tap in taps] == [(12, 10), (6, 5), (6, 5)] and network.stride == 4
    parts = [F.elu(layer(tap)) for layer, tap in zip(network.reductions, taps, strict=True)]
    parts[1:] = [F.interpolate(part, (12, 10), mode="bilinear") for part in parts[1:]]
    torch.testing.assert_close(network(images), F.elu(network.fusion(torch.cat(parts, 1))))


@torch.no_grad()
def test_images_are_filled_up_to_whole_strides():
    network = AffinityNet(small_backbone(), taps=(1, 3), channels=(4, 4)).eval()
    images = torch.randn(1, 3, 42, 41)
    padded = F.pad(images, (0, 7, 0, 6))
    assert torch.equal(network(images), network(padded)) and network(images).shape[2:] == (12, 12)


def test_networks_of_the_paper():
    resnet = psa_affinitynet(ResNet38(width=1 / 16))
    assert [layer.out_channels for layer in resnet.reductions] == [64, 128, 256] and resnet.stride == 8
    groups = parameter_groups(resnet)
    assert sum(weight.numel() for weight in groups.new_weights) == 448**2 + 64 * 32 + 128 * 64 + 256 * 256
    assert not groups.pretrained_biases and not groups.new_biases
    resnet.train()
    assert not resnet.backbone.bn7.training and not resnet.backbone.b2.conv_branch2a.weight.requires_grad

    vgg = psa_affinitynet(PSAVGG16(width=1 / 16))
    assert vgg.backbone.fc6.dilation == vgg.backbone.fc6.padding == (4, 4)
    assert [norm.num_groups for norm in vgg.norms] == [8, 16, 32]
    assert vgg(torch.randn(1, 3, 32, 32)).shape == (1, 448, 4, 4)


@pytest.mark.parametrize("kind", [Classifier, SubCategoryClassifier])
def test_backbone_starts_from_a_trained_classifier(kind):
    sizes = (3, 7) if kind is SubCategoryClassifier else (3,)
    classifier, network = kind(small_backbone(), *sizes), AffinityNet(small_backbone(4), channels=(4, 4, 4))
    before = network.fusion.weight.clone()
    new = ["reductions.*", "fusion.*"]
    loaded = load_weights(network, classifier.state_dict(), rename=affinitynet_from_authors, allow_missing=new)
    assert {name.split(".")[0] for name in loaded.missing} == {"reductions", "fusion"}
    assert {name.split(".")[0] for name in loaded.unused} <= {"head", "sub_head"}
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], value)
    assert torch.equal(network.fusion.weight, before)


@pytest.mark.parametrize("taps, channels", [((1, 2), (4,)), ((), ()), ((4,), (4,)), ((-5,), (4,))])
def test_taps_that_do_not_exist_are_refused(taps, channels):
    with pytest.raises(ValueError, match=r"ResNet has the taps 0 to 3 with strides \[2, 4, 8, 8\]"):
        AffinityNet(small_backbone(), taps=taps, channels=channels)


def test_channels_that_make_no_groups_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 8, not \[8, 12\]"):
        AffinityNet(small_backbone(), taps=(1, 2), channels=(8, 12), group_norm=True)
