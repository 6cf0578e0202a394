"""B-cos, X-DNN and vanilla networks of model guidance, and their attributions, against the authors' code."""

import numpy as np
import torch

from wsss_lib.losses.localization import LOCALIZATION_LOSSES
from wsss_lib.maps.bcos_colors import colored_explanation
from wsss_lib.maps.gradients import attributions, dynamic_weights, explained, integrated_gradient, prepare_attributions
from wsss_lib.networks.base import IMAGENET
from wsss_lib.networks.bcos import BCOS_DEPTHS, BcosClassifier, BcosResNet, LogitLayer, bcos_from_authors
from wsss_lib.networks.bcos_layers import BcosConv2d, BcosLinear, SixChannels, UncenteredBatchNorm2d, explanation_mode
from wsss_lib.networks.checkpoints import classifier_from_authors
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.resnet import DEPTHS, ResNet
from wsss_lib.networks.xdnn import XDNN_DEPTHS, XdnnResNet
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names


def check_layer(golden, case, layer):
    """Output, its gradients, the gradient in explanation mode, and the gradients of that."""
    inputs = golden.tensor(f"in_x_{case}").requires_grad_()
    weight = layer.linear.weight
    weight.data = golden.tensor(f"in_w_{case}")
    output = layer(inputs)
    golden.check(f"out_y_{case}", output)
    score = (output * golden.tensor(f"in_g_{case}")).sum()
    of_inputs, of_weight = torch.autograd.grad(score, (inputs, weight), retain_graph=True)
    golden.check(f"out_gx_{case}", of_inputs)
    golden.check(f"out_gw_{case}", of_weight)
    with explanation_mode(layer):
        (explanation,) = torch.autograd.grad(score, inputs, create_graph=True)
    golden.check(f"out_gx_expl_{case}", explanation)
    again = torch.autograd.grad(
        (explanation * inputs * golden.tensor(f"in_v_{case}")).sum(), (weight, inputs), allow_unused=True
    )
    for key, gradient, like in zip(("ggw", "ggx"), again, (weight, inputs), strict=True):
        golden.check(f"out_{key}_{case}", torch.zeros_like(like) if gradient is None else gradient)


@conforms("model_guidance/bcos_conv2d")
def test_bcos_conv2d(golden):
    for case, size in enumerate(golden.params["cases"]):
        geometry = (size["ci"], size["co"], size["k"], size["s"], size["p"], size["d"], size["g"])
        check_layer(golden, case, BcosConv2d(*geometry, exponent=size["b"], max_out=size["mo"]))


@conforms("model_guidance/bcos_linear")
def test_bcos_linear(golden):
    for case, size in enumerate(golden.params["cases"]):
        features = (golden[f"in_x_{case}"].shape[1], golden[f"out_y_{case}"].shape[1])
        check_layer(golden, case, BcosLinear(*features, exponent=size["b"], max_out=size["mo"]))


@conforms("model_guidance/batchnorm_uncentered")
def test_batchnorm_uncentered(golden):
    for case, options in enumerate(golden.params["cases"]):
        weight = golden.tensor(f"in_weight_{case}")
        bias = golden.tensor(f"in_bias_{case}")
        layer = UncenteredBatchNorm2d(len(weight), bias=len(bias) > 0, momentum=options["mom"], eps=options["eps"])
        state = {"weight": weight} | ({"bias": bias} if len(bias) else {})
        state |= {name: golden.tensor(f"in_{name}_{case}") for name in ("running_var", "running_mean")}
        layer.load_state_dict(state, strict=False)
        inputs, direction = golden.tensor(f"in_x_{case}").requires_grad_(), golden.tensor(f"in_g_{case}")
        for mode in ("eval", "train"):
            output = layer.train(mode == "train")(inputs)
            golden.check(f"out_y_{mode}_{case}", output)
            score = (output * direction).sum()
            golden.check(f"out_gx_{mode}_{case}", torch.autograd.grad(score, inputs, retain_graph=True)[0])
        with explanation_mode(layer):
            golden.check(f"out_gx_train_expl_{case}", torch.autograd.grad(score, inputs)[0])
        for name in ("running_var", "running_mean", "num_batches_tracked"):
            golden.check(f"out_{name}_{case}", getattr(layer, name))


@conforms("model_guidance/logit_layers")
def test_logit_layers(golden):
    bias, temperature = golden.params["bias"], golden.params["temperature"]
    scores = golden.tensor("in_x")
    for key, options in {
        "bias_only": {"bias": bias},
        "v2_temp_bias": {"bias": bias, "temperature": temperature},
        "v2_none": {},
        "v2_temp": {"temperature": temperature},
    }.items():
        golden.check(f"out_{key}", LogitLayer(**options)(scores))


@conforms("model_guidance/bcos_encoding")
def test_bcos_encoding(golden):
    images = golden.tensor("in_x")
    golden.check("out_add_inverse_batch", SixChannels()(images))
    golden.check("out_add_inverse_image", torch.cat([SixChannels()(image[None]) for image in images]))
    golden.check("out_imagenet_normalised", IMAGENET.normalize(images))
    image, weights = golden.tensor("in_image6")[None], golden.tensor("in_linear_mapping")[None]
    for key in (key for key in golden.arrays if key.startswith("out_rgba_smooth")):
        smooth = int(key.removeprefix("out_rgba_smooth"))
        found = colored_explanation(image, weights, smooth=smooth, percentile=golden.params["alpha_percentile"])
        golden.check(key, found[0])


@conforms("model_guidance/attribution_postprocess")
def test_attribution_postprocess(golden):
    size = tuple(golden.params["interpolate_dims"])
    for case, maps in enumerate(golden.series("in_a")):
        for name, loss in LOCALIZATION_LOSSES.items():
            assert list(loss[1:]) == golden.params["flags"][name]
            for key, wanted in (("raw", None), ("up", size)):
                found = prepare_attributions(
                    torch.from_numpy(maps)[:, 0],
                    wanted,
                    only_positive=loss.only_positive,
                    divide_by_maximum=loss.divide_by_maximum,
                )
                golden.check(f"out_{name}_{key}_{case}", found[:, None])


def near(golden, key, found, rtol=None):
    """Compare by the largest difference, as the file asks; zeros and a constant must fail."""
    expected = golden[key].astype(np.float64)
    found = found.detach().double().numpy()
    rtol = golden.meta["rtol"] if rtol is None else rtol
    largest = np.abs(expected).max()
    assert found.shape == expected.shape, f"{key}: {found.shape} instead of {expected.shape}"
    difference = np.abs(found - expected).max()
    assert difference <= rtol * largest + golden.meta["atol"], f"{key}: {difference} of {largest}"
    assert expected.size == 1 or np.abs(expected - expected.mean()).max() > rtol * largest, (
        f"{key}: constant would pass"
    )


def check_attributions(golden, network, methods):
    """Maps of every method and depth of the file, raw, resized, and prepared for L1."""
    images, classes = golden.tensor("in_x"), golden.tensor("in_classes").long()
    rows, size = torch.arange(len(images)), tuple(golden.params["interpolate_dims"])
    with torch.no_grad():
        near(golden, "out_logits", network(images).logits, 1e-4)
    checked = 0
    for depth in golden.params["layers"]:
        found = explained(network, images, depth)
        if f"out_logits_via_{depth}" in golden:
            near(golden, f"out_logits_via_{depth}", found.logits, 1e-4)
        for method in methods:
            if f"out_{method}_{depth}" not in golden:
                continue
            maps = attributions(network, images, found, rows, classes, method=method, depth=depth)
            near(golden, f"out_{method}_{depth}", maps[:, None])
            checked += 1
            raw = {"only_positive": False, "divide_by_maximum": False}
            if f"out_{method}_{depth}_up" in golden:
                near(golden, f"out_{method}_{depth}_up", prepare_attributions(maps, size, **raw)[:, None])
            if f"out_{method}_{depth}_single_posnorm_img0" in golden:
                prepared = prepare_attributions(maps[:1], size, only_positive=True, divide_by_maximum=True)
                near(golden, f"out_{method}_{depth}_single_posnorm_img0", prepared[:, None])
    assert checked >= 2 * len(golden.params["layers"]) - 1, "maps of every depth"
    return images, classes


@conforms("model_guidance/vanilla_resnet50")
def test_vanilla_resnet50(golden):
    network = Classifier(ResNet(*DEPTHS["resnet50"]), golden.params["num_classes"], bias=True)
    fill_from_names(network, golden.meta["state_dict"], classifier_from_authors)
    check_attributions(golden, network, ("IxG", "GradCam"))


def check_xdnn(golden):
    depth, num_classes = f"resnet{golden.params['depth']}", golden.params["num_classes"]
    lists = {key: names for key, names in golden.meta.items() if key.startswith("state_dict")}
    with_bias = next(names for names in lists.values() if any(name == "fc.bias" for name, _ in names))
    free = next(names for names in lists.values() if all(name != "fc.bias" for name, _ in names))
    images, classes = golden.tensor("in_x"), golden.tensor("in_classes").long()
    rows = torch.arange(len(images))

    network = Classifier(XdnnResNet(*XDNN_DEPTHS[depth]), num_classes)
    fill_from_names(network, free, classifier_from_authors)
    found = explained(network, images, "Input")
    near(golden, "out_logits_biasfree", found.logits, 1e-4)
    maps = attributions(network, images, found, rows, classes, method="IntGrad", depth="Input")
    near(golden, "out_IxG_biasfree_Input", maps[:, None])
    near(golden, "out_IntGrad16_biasfree_Input", maps[:, None], 1e-2)
    near(golden, "out_sum_IxG_biasfree", maps.sum((1, 2)), 1e-4)
    near(golden, "out_logit_biasfree", maps.sum((1, 2)), 1e-4)

    biased = Classifier(network.backbone, num_classes, bias=True)
    fill_from_names(biased, with_bias, classifier_from_authors)
    check_attributions(golden, biased, ("IxG", "GradCam"))
    maps = attributions(biased, images, explained(biased, images, "Input"), rows, classes, method="IxG", depth="Input")
    near(golden, "out_sum_IxG_Input", maps.sum((1, 2)), 1e-4)
    near(golden, "out_logit_minus_fc_bias", maps.sum((1, 2)), 1e-4)
    return network, images, classes


@conforms("model_guidance/xdnn_resnet18")
def test_xdnn_resnet18(golden):
    network, images, classes = check_xdnn(golden)
    chosen = torch.nn.functional.one_hot(classes, golden.params["num_classes"]).float()
    gradient = integrated_gradient(network, images, "Input", chosen, steps=16)
    near(golden, "out_IntGrad16_biasfree_Input", (gradient * images).sum(1, keepdim=True), 1e-2)


@conforms("model_guidance/xdnn_resnet50")
def test_xdnn_resnet50(golden):
    check_xdnn(golden)


def set_running_variances(network, flat):
    """Overwrite the running variances, in the order of the state dict."""
    variances = [value for name, value in network.state_dict().items() if name.endswith("running_var")]
    for variance, part in zip(variances, flat.split([len(value) for value in variances]), strict=True):
        variance.copy_(part)


def check_bcos(golden):
    block, depths = BCOS_DEPTHS[f"resnet{golden.params['depth']}"]
    bias = golden.params["logit_bias"]
    network = BcosClassifier(BcosResNet(block, depths), golden.params["num_classes"], logit_bias=bias)
    fill_from_names(network, golden.meta["state_dict"], bcos_from_authors)
    variances = golden.tensor("in_running_var_flat")
    set_running_variances(network, variances)

    images, classes = check_attributions(golden, network, ("IxG", "BCos", "GradCam"))
    weights, inputs = dynamic_weights(network, images, classes)
    near(golden, "out_dynamic_weights", weights)
    near(golden, "out_sum_contrib", (weights * inputs).sum((1, 2, 3)), 1e-4)
    near(golden, "out_logit_minus_bias", (weights * inputs).sum((1, 2, 3)), 1e-4)

    for order, pool_first in (("plain", False), ("layered", True)):
        set_running_variances(network, variances)
        network.backbone.pool_first = pool_first
        with torch.no_grad():
            near(golden, f"out_logits_train_{order}", network.train()(golden.tensor("in_x_calib")).logits, 1e-4)
        near(golden, f"out_bn1_running_var_after_{order}", network.backbone.bn1.running_var)
    downsample = network.backbone.layer2[0].downsample[1]
    near(golden, "out_layer2_0_downsample_1_running_var_after_layered", downsample.running_var)


@conforms("model_guidance/bcos_resnet18")
def test_bcos_resnet18(golden):
    check_bcos(golden)


@conforms("model_guidance/bcos_resnet50")
def test_bcos_resnet50(golden):
    check_bcos(golden)
