"""Rules of single layers and blocks against the authors' unrolled decoder."""

import torch
from torch import nn

from wsss_lib.maps import lrp_rules
from wsss_lib.maps.lrp_rules import LinearMap
from wsss_lib.maps.max_unpooling import max_unpool
from wsss_lib.maps.relevance import gradient_maps
from wsss_lib.maps.unrolled_decoder import Recorder, epsilon_rules, initial_relevance, propagate
from wsss_lib.networks.resnet import BasicBlock, Bottleneck
from wsss_lib.tests.fill import fill_module
from wsss_lib.tests.golden_files import conforms


def convolution(golden, case, weight, bias=None):
    """Layer of a case, in double precision."""
    kernel = weight.shape[2]
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], kernel, case["s"], case["p"], bias=bias is not None).double()
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = bias
    return layer


def linear_layer(golden):
    layer = nn.Linear(*reversed(golden["in_weight"].shape)).double()
    layer.weight.data, layer.bias.data = golden.double("in_weight"), golden.double("in_bias")
    return LinearMap.of(layer)


@conforms("unrolled_lrp/lrp_safe_divide")
def test_safe_divide(golden):
    golden.check("out_q", lrp_rules.guarded_ratio(golden.double("in_a"), golden.double("in_b")))


@conforms("unrolled_lrp/lrp_conv_epsilon")
def test_conv_epsilon(golden):
    for number, case in enumerate(golden.params["cases"]):
        bias = golden.double(f"in_bias{number}") if case["bias"] else None
        linear = LinearMap.of(convolution(golden, case, golden.double(f"in_weight{number}"), bias))
        inputs, relevance = golden.double(f"in_x{number}"), golden.double(f"in_R{number}")
        golden.check(f"out_R{number}", lrp_rules.epsilon_rule(linear, inputs, relevance, epsilon=case["eps"]))


@conforms("unrolled_lrp/lrp_conv_epsilon_grads")
def test_conv_epsilon_gradients(golden):
    for number, bias_gradient in enumerate((False, True)):
        weight, bias = golden.double(f"in_weight{number}"), golden.double(f"in_bias{number}")
        layer = convolution(golden, golden.params["conv"], weight, bias)
        back_weight = weight.clone().requires_grad_()
        inputs, relevance = (golden.double(f"in_{key}{number}").requires_grad_() for key in ("x", "R"))
        settings = {"epsilon": golden.params["epsilon"], "bias_gradient": bias_gradient}
        result = lrp_rules.epsilon_rule(LinearMap.of(layer, back_weight), inputs, relevance, **settings)
        total = (result * golden.double(f"in_V{number}")).sum()
        wanted = {"x": inputs, "R": relevance, "encoder_weight": layer.weight, "decoder_weight": back_weight}
        wanted |= {"bias": layer.bias}
        gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True, materialize_grads=True)
        for key, gradient in zip(wanted, gradients, strict=True):
            golden.check(f"out_grad_{key}{number}", gradient)


@conforms("unrolled_lrp/lrp_conv_alphabeta")
def test_conv_alpha_beta(golden):
    for number, case in enumerate(golden.params["cases"]):
        linear = LinearMap.of(convolution(golden, case, golden.double(f"in_weight{number}")))
        inputs, relevance = golden.double(f"in_x{number}"), golden.double(f"in_R{number}")
        if case["ci"] == 3:
            golden.check(f"out_R{number}", lrp_rules.z_box_rule(linear, inputs, relevance))
        else:
            ours = lrp_rules.alpha_beta_rule(linear, inputs, relevance, alpha=case["alpha"])
            golden.check(f"out_R{number}", ours)


@conforms("unrolled_lrp/lrp_linear_epsilon")
def test_linear_epsilon(golden):
    ours = lrp_rules.epsilon_rule(
        linear_layer(golden), golden.double("in_x"), golden.double("in_R"), epsilon=golden.params["epsilon"]
    )
    golden.check("out_R", ours)


@conforms("unrolled_lrp/lrp_linear_alphabeta_clrp")
def test_linear_alpha_beta_and_contrastive(golden):
    linear, inputs, relevance = linear_layer(golden), golden.double("in_x"), golden.double("in_R")
    ours = lrp_rules.alpha_beta_rule(linear, inputs, relevance, alpha=golden.params["alpha"])
    golden.check("out_R_alphabeta", ours)
    one_hot = initial_relevance(linear.layer(inputs), [int(golden["in_target"])])[0]
    golden.check("out_R_cLRP_type1_top", lrp_rules.contrast_by_difference(linear, inputs, one_hot))
    golden.check("out_R_cLRP_type2_top", lrp_rules.contrast_by_sign(linear, inputs, one_hot))
    inner = lrp_rules.alpha_beta_rule(linear, inputs, relevance, alpha=1)
    golden.check("out_R_cLRP_type1_inner", inner)
    golden.check("out_R_cLRP_type2_inner", inner)


@conforms("unrolled_lrp/lrp_batchnorm")
def test_batch_norm(golden):
    inputs, relevance = golden.double("in_x"), golden.double("in_R")
    norm = nn.BatchNorm2d(inputs.shape[1], eps=golden.params["bn_eps"]).double()
    stored = ("weight", "bias", "running_mean", "running_var")
    for mode in ("eval", "train"):
        norm.load_state_dict({key: golden.double(f"in_{key}") for key in stored}, strict=False)
        norm.train(mode == "train")
        outputs = norm(inputs)
        golden.check(f"out_R_{mode}", lrp_rules.batch_norm_relevance(norm, inputs, outputs, relevance))
        rectified = outputs.relu()
        golden.check(f"out_R_{mode}_relu", lrp_rules.batch_norm_relevance(norm, inputs, rectified, relevance))
        golden.check(f"out_R_{mode}_alphabeta", lrp_rules.batch_norm_pass(norm, inputs, outputs, relevance))


@conforms("unrolled_lrp/lrp_avgpool")
def test_average_pool(golden):
    for number, (pooled, *_) in enumerate(golden.params["out_and_in_sizes"]):
        inputs, relevance = golden.double(f"in_x{number}"), golden.double(f"in_R{number}")
        golden.check(f"out_R{number}", lrp_rules.average_pool_relevance(inputs, (pooled, pooled), relevance))


@conforms("unrolled_lrp/lrp_maxpool")
def test_max_pool(golden):
    for number, (kernel, stride, padding, *size) in enumerate(golden.params["kernel_stride_padding_h_w"]):
        pool = nn.MaxPool2d(kernel, stride, padding, return_indices=True)
        _, indices = pool(golden.double(f"in_x{number}"))
        relevance = golden.double(f"in_R{number}").requires_grad_()
        last = max_unpool(relevance, indices, tuple(size), "last")
        golden.check(f"out_R{number}", last)
        (gradient,) = torch.autograd.grad((last * golden.double(f"in_V{number}")).sum(), relevance)
        golden.check(f"out_grad_R{number}", gradient)
        golden.check(f"out_R{number}_accumulated", max_unpool(relevance, indices, tuple(size), "sum"))


@conforms("unrolled_lrp/lrp_bottle_conv")
def test_pooled_head(golden):
    features, weight = golden.double("in_x").requires_grad_(), golden.double("in_fc_weight")
    logits = features.mean((2, 3)) @ weight.T
    by_channel = golden["out_R"]
    golden.check(
        "out_R",
        torch.stack(
            [features * torch.autograd.grad(z.sum(), features, retain_graph=True)[0] for z in logits.unbind(1)], 1
        ),
    )
    summed = gradient_maps(features, logits, range(by_channel.shape[1]))
    assert torch.allclose(summed.detach(), torch.from_numpy(by_channel.sum(2)))


@conforms("unrolled_lrp/relevance_init")
def test_initial_relevance(golden):
    logits, targets = golden.tensor("in_z"), golden.tensor("in_targets")
    every = initial_relevance(logits, range(logits.shape[1]))
    golden.check("out_all_classes", every)
    normal = every[targets, torch.arange(len(logits))]
    golden.check("out_normal", normal)
    golden.check("out_contrastive", (logits - normal).abs())
    golden.check("out_normal_contrastive", 2 * normal - logits)


def block_of(kind, listed):
    """Block with the listed names and shapes."""
    out_channels = dict(listed)["conv3.weight" if kind is Bottleneck else "conv2.weight"][0]
    in_channels = dict(listed)["conv1.weight"][1]
    stride = 2 if any(name.startswith("downsample") for name, _ in listed) else 1
    block = fill_module(kind(in_channels, out_channels // kind.expansion, stride, 1, 1))
    assert {name: list(value.shape) for name, value in block.state_dict().items()} == dict(listed)
    return block.double()


def check_block(golden, kind):
    for case, listed in golden.meta["state_dict"].items():
        inputs, relevance = golden.double(f"in_x_{case}"), golden.double(f"in_R_{case}")
        for mode in ("eval", "train"):
            block = block_of(kind, listed).train(mode == "train")
            outputs, kept = Recorder(block).run([block], inputs)
            golden.check(f"out_y_{case}_{mode}", outputs)
            rules = epsilon_rules(golden.params["epsilon"])
            golden.check(f"out_R_{case}_{mode}", propagate(kept, relevance[None], rules)[0])
        fresh = block_of(kind, listed)
        assert torch.equal(block.bn1.running_mean, fresh.bn1.running_mean), "relevance updates no statistics"
        # the authors' block updates the first batch norm once, the last one a second time in the relevance pass
        block(inputs)
        golden.check(f"out_first_bn_running_mean_{case}", block.bn1.running_mean)
        block(inputs)
        last = block.bn3 if kind is Bottleneck else block.bn2
        golden.check(f"out_last_bn_running_mean_{case}", last.running_mean)


@conforms("unrolled_lrp/lrp_basic_block")
def test_basic_block(golden):
    check_block(golden, BasicBlock)


@conforms("unrolled_lrp/lrp_bottleneck_block")
def test_bottleneck_block(golden):
    check_block(golden, Bottleneck)
