"""One training step of model guidance, loss and gradients of the weights, against the authors' code."""

import torch
import torch.nn.functional as F

from wsss_lib.losses.localization import LOCALIZATION_LOSSES
from wsss_lib.maps.gradients import attributions, explained, prepare_attributions
from wsss_lib.networks.bcos import BcosBasicBlock, BcosClassifier, BcosResNet, bcos_from_authors
from wsss_lib.networks.checkpoints import classifier_from_authors
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import BasicBlock, ResNet
from wsss_lib.networks.xdnn import FixupBasicBlock, XdnnResNet
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names


def network_of(golden):
    """The network of the file in training mode, and how its names become ours."""
    params, backbone = golden.params, golden.params["backbone"]
    blocks = tuple(params["blocks"])
    if backbone == "bcos":
        # the authors' forward pass pools before the first batch norm whenever it explains another layer than the input
        options = {"width": params["bcos_inplanes"] / 64, "pool_first": params["layer"] != "Input"}
        network = BcosClassifier(BcosResNet(BcosBasicBlock, blocks, **options), params["num_classes"])
        rename = bcos_from_authors
    else:
        body = ResNet(BasicBlock, blocks) if backbone == "vanilla" else XdnnResNet(FixupBasicBlock, blocks)
        network, rename = Classifier(body, params["num_classes"], bias=True), classifier_from_authors
    return fill_from_names(network, golden.meta["state_dict"], rename).train(), rename


def box_masks_of(golden):
    """Pixels in any box of the chosen class of each image, [B, H, W]; which images have such a box."""
    height, width = golden.params["interpolate_dims"]
    masks = torch.zeros(len(golden["in_x"]), height, width)
    classes = golden["in_classes"].tolist()
    for image, k, left, top, right, bottom in golden["in_boxes"].astype(int).tolist():
        if k == classes[image]:
            masks[image, top:bottom, left:right] = 1
    annotated = torch.zeros(len(masks), dtype=torch.bool)
    annotated[golden["in_boxes"][:, 0].astype(int)] = True
    return masks, annotated


def relative_difference(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


def check_step(golden):
    params, rtol = golden.params, golden.meta["rtol"]
    network, rename = network_of(golden)
    images, classes = golden.tensor("in_x"), golden.tensor("in_classes").long()
    depth, method = params["layer"], params["attribution"]
    found = explained(network, images, depth)
    golden.check("out_logits", found.logits, rtol=1e-4, atol=1e-4)
    rows = torch.arange(len(images))
    raw = attributions(network, images, found, rows, classes, method=method, depth=depth, create_graph=True)
    loss = LOCALIZATION_LOSSES[params["loss"]]
    flags = {"only_positive": loss.only_positive, "divide_by_maximum": loss.divide_by_maximum}
    maps = prepare_attributions(raw, tuple(params["interpolate_dims"]), **flags)
    assert relative_difference(maps.detach(), golden.tensor("out_attributions")) <= rtol

    masks, annotated = box_masks_of(golden)
    classification = F.binary_cross_entropy_with_logits(found.logits, golden.tensor("in_labels"))
    localization = loss.function(maps[annotated], masks[annotated])
    total = classification + params["localization_loss_lambda"] * localization
    golden.check("out_class_loss", classification, rtol=1e-4)
    golden.check("out_loc_loss", localization)
    golden.check("out_total", total)

    total.backward()
    ours = dict(network.named_parameters())
    named = {name: ours[rename(name)] for name, _ in golden.meta["state_dict"] if rename(name) in ours}
    assert len(named) == len(ours)
    norms = torch.stack([p.grad.norm() if p.grad is not None else torch.tensor(-1.0) for p in named.values()])
    assert relative_difference(norms, golden.tensor("out_grad_norms")) <= rtol
    compared = 0
    for key in golden.arrays:
        if key.startswith("out_grad__"):
            expected = golden.tensor(key)
            gradient = named[key.removeprefix("out_grad__")].grad
            gradient = gradient.flatten()[: expected.numel()] if gradient.shape != expected.shape else gradient
            assert relative_difference(gradient, expected) <= rtol, key
            compared += 1
    assert compared >= 3


@conforms("model_guidance/guidance_step_bcos_BCos_Final_L1")
def test_guidance_step_bcos_BCos_Final_L1(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_bcos_BCos_Input_Energy")
def test_guidance_step_bcos_BCos_Input_Energy(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_bcos_BCos_Input_PPCE")
def test_guidance_step_bcos_BCos_Input_PPCE(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_bcos_BCos_Mid2_RRR")
def test_guidance_step_bcos_BCos_Mid2_RRR(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_vanilla_GradCam_Final_Energy")
def test_guidance_step_vanilla_GradCam_Final_Energy(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_vanilla_IxG_Final_L1")
def test_guidance_step_vanilla_IxG_Final_L1(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_vanilla_IxG_Input_RRR")
def test_guidance_step_vanilla_IxG_Input_RRR(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_xdnn_IxG_Input_Energy")
def test_guidance_step_xdnn_IxG_Input_Energy(golden):
    check_step(golden)


@conforms("model_guidance/guidance_step_xdnn_IxG_Mid3_PPCE")
def test_guidance_step_xdnn_IxG_Mid3_PPCE(golden):
    check_step(golden)
