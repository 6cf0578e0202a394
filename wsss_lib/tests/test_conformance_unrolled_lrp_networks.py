"""Relevance maps of whole networks, and their training, against the authors' unrolled decoder."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from wsss_lib.maps.relevance import input_times_gradient, iterative_relevance_maps, relevance_maps
from wsss_lib.maps.unrolled_decoder import alpha_beta_rules, contrastive_rules, epsilon_rules, unrolled_relevance
from wsss_lib.networks.backbones import build_backbone
from wsss_lib.networks.checkpoints import classifier_from_authors
from wsss_lib.networks.classifier import Classifier
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.networks.unrolled_checkpoints import load_unrolled
from wsss_lib.networks.vgg_classifier import VGGClassifier, vgg_classifier_from_torchvision
from wsss_lib.tests.fill import filled_tensor
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import dtype_of


def load_filled(network, names):
    """The network with the filled values of all listed entries, from a state dict as the authors save it."""
    load_unrolled(network, {f"encoder.{name}": filled_tensor(name, tuple(s), dtype_of(name)) for name, s in names})
    return network.eval()


def filled_resnet(encoder, names):
    num_classes = dict(names)["fc.weight"][0]
    return load_filled(Classifier(build_backbone(encoder, output_stride=32), num_classes, bias=True), names)


def maps_of(golden, network, images, **options):
    """Default maps of the classes that the file stores in double precision."""
    with torch.no_grad():
        return input_times_gradient(network, images, **options)(golden["in_classes64"].tolist())


def check_resnet(golden):
    network = filled_resnet(golden.params["encoder"], golden.meta["state_dict"])
    images = golden.tensor("in_x")
    with torch.no_grad():
        golden.check("out_logits", network(images).logits)
        maps = relevance_maps(input_times_gradient(network, images, unpool="last"), golden.params["classes"])
        golden.check("out_heatmaps", maps, atol=golden.meta["atol_float32"])
        network.double()
        golden.check("out_logits64", network(images.double()).logits)
    golden.check(
        "out_heatmaps64", maps_of(golden, network, images.double(), unpool="last"), atol=golden.meta["atol_vjp"]
    )
    return network


@conforms("unrolled_lrp/unrolled_resnet18")
def test_resnet18(golden):
    network = check_resnet(golden)
    rules = epsilon_rules(golden.params["epsilon"], unpool="last")
    with torch.no_grad():
        maps = unrolled_relevance(network, golden.double("in_x"), rules)(golden["in_classes64"].tolist())
    golden.check("out_heatmaps64", maps)


@conforms("unrolled_lrp/unrolled_resnet34")
def test_resnet34(golden):
    check_resnet(golden)


@conforms("unrolled_lrp/unrolled_resnet50")
def test_resnet50(golden):
    check_resnet(golden)


@conforms("unrolled_lrp/unrolled_alphabeta_resnet18")
def test_alpha_beta_resnet18(golden):
    network = filled_resnet(golden.params["encoder"], golden.meta["state_dict"])
    rules = alpha_beta_rules(golden.params["alpha"], unpool="last")
    with torch.no_grad():
        images = golden.tensor("in_x")
        golden.check("out_logits", network(images).logits)
        maps = relevance_maps(unrolled_relevance(network, images, rules), golden.params["classes"])
        golden.check("out_heatmaps", maps, atol=golden.meta["atol_float32"])
        network.double()
        golden.check("out_logits64", network(golden.double("in_x")).logits)
        maps = unrolled_relevance(network, golden.double("in_x"), rules)(golden["in_classes64"].tolist())
    golden.check("out_heatmaps64", maps)


@lru_cache
def large_entry(name, shape):
    """The two networks name their hundred million linear weights alike: they are drawn once."""
    return filled_tensor(name, shape, dtype_of(name))


def check_vgg(golden):
    with torch.device("meta"):
        network = VGGClassifier(build_backbone(golden.params["encoder"], output_stride=32), golden.params["classes"])
    state = {
        vgg_classifier_from_torchvision(name): large_entry(name, tuple(shape))
        for name, shape in golden.meta["state_dict"]
    }
    network.load_state_dict(state, assign=True)
    network.requires_grad_(False).eval()
    images = golden.tensor("in_x")
    with torch.no_grad():
        logits = network(images).logits
        for key in ("out_logits", "out_logits64"):
            golden.check(key, logits, atol=golden.meta["atol_float32"])
        maps = input_times_gradient(network, images)(golden["in_classes"].tolist())
    golden.check("out_heatmaps64_sub", maps[:, :, ::2, ::2], atol=golden.meta["atol_float32"])
    near = np.abs(maps[:, :, ::2, ::2].numpy() - golden["out_heatmaps64_sub"]) <= golden.meta["atol_vjp"]
    assert near.mean() > 0.99, "a ReLU or two may fall to the other side in single precision"


@conforms("unrolled_lrp/unrolled_vgg16")
def test_vgg16(golden):
    check_vgg(golden)


@conforms("unrolled_lrp/unrolled_vgg16_bn")
def test_vgg16_batch_norm(golden):
    check_vgg(golden)
    large_entry.cache_clear()


def tiny_vgg(channels, sizes, names):
    """VGG-16 with other numbers of channels."""
    layers, before = [], 3
    for count in channels:
        layers += [nn.MaxPool2d(2)] if count == "M" else [nn.Conv2d(before, count, 3, padding=1), nn.ReLU()]
        before = before if count == "M" else count
    network = VGGClassifier(build_backbone("vgg16", output_stride=32, width=1 / 64), sizes[-1], hidden=sizes[1])
    network.backbone.features = nn.Sequential(*layers)
    network.head.classifier[0] = nn.Linear(sizes[0], sizes[1])
    return load_filled(network, names).double()


@conforms("unrolled_lrp/unrolled_tiny_vgg")
@torch.no_grad()
def test_all_rules_on_a_tiny_vgg(golden):
    params = golden.params
    network = tiny_vgg(params["cfg"], params["classifier"], golden.meta["state_dict"])
    images = golden.double("in_x")
    golden.check("out_logits", network(images).logits)
    rules = {
        "LRP_epsilon": epsilon_rules(params["epsilon"]),
        "LRP_alphabeta": alpha_beta_rules(params["alpha"]),
        "cLRP_type1": contrastive_rules(1),
        "cLRP_type2": contrastive_rules(2),
    }
    for name, of_name in rules.items():
        maps = relevance_maps(unrolled_relevance(network, images, of_name), params["classifier"][-1], at_once=2)
        golden.check(f"out_heatmaps_{name}", maps[:, :, ::4, ::4])


@conforms("unrolled_lrp/gxi_relation")
@torch.no_grad()
def test_relation_to_input_times_gradient(golden):
    classes, names = golden["in_classes"].tolist(), golden.meta["state_dict"]
    for encoder in ("resnet18", "resnet50"):
        network, images = filled_resnet(encoder, names[encoder]).double(), golden.double("in_x")
        exact = input_times_gradient(network, images)(classes)
        golden.check(f"out_gxi_{encoder}", exact)
        golden.check(f"out_accumulated_{encoder}", exact)
        golden.check(f"out_official_{encoder}", input_times_gradient(network, images, unpool="last")(classes))
        by_rules = unrolled_relevance(network, images, epsilon_rules(0.0))(classes)
        golden.check(f"out_accumulated_{encoder}", by_rules)
    params = golden.params
    network = tiny_vgg(params["tiny_cfg"], params["tiny_classifier"], names["tiny_vgg"])
    exact = input_times_gradient(network, golden.double("in_x_tiny_vgg"))(classes)[:, :, ::4, ::4]
    # far below the tolerance of the file, which is that of a ResNet with larger values
    near = {"atol": 1e-4 * np.abs(golden["out_gxi_tiny_vgg"]).max()}
    golden.check("out_gxi_tiny_vgg", exact, **near)
    golden.check("out_official_tiny_vgg", exact, **near)


@conforms("unrolled_lrp/unrolled_resnet18_train")
def test_training_mode(golden):
    network = filled_resnet("resnet18", golden.meta["state_dict"]).double().train()
    images, num_classes = golden.double("in_x"), golden.params["classes"]
    before = {name: value.clone() for name, value in network.named_buffers()}
    with torch.no_grad():
        rules = epsilon_rules(golden.params["epsilon"], unpool="last")
        golden.check("out_heatmaps", relevance_maps(unrolled_relevance(network, images, rules), num_classes))
        exact = relevance_maps(input_times_gradient(network, images, unpool="last"), num_classes)
    golden.check("out_heatmaps", exact, atol=2e-4 * np.abs(golden["out_heatmaps"]).max())
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name]), "relevance leaves running statistics alone"
    golden.check("out_logits", network(images).logits)
    repeat_updates(network, before, num_classes)
    for key in sorted(key for key in golden.arrays if key.startswith("out_running_mean_")):
        short = key.removeprefix("out_running_mean_")
        parts = [part for part in short.split("_") if part]
        norm = network.backbone.get_submodule(".".join(parts))
        golden.check(key, norm.running_mean)
        golden.check(f"out_running_var_{short}", norm.running_var)
        assert int(golden[f"out_num_batches_{short}"]) == norm.num_batches_tracked


@torch.no_grad()
def repeat_updates(network, before, times):
    """What the authors' relevance passes do to the running statistics: the last batch norm of each block, and that of
    its shortcut, see the statistics of the batch again and again. ``before`` are the buffers before the one update."""
    for name, norm in network.named_modules():
        if isinstance(norm, nn.BatchNorm2d) and (name.endswith("bn2") or "downsample" in name):
            for key in ("running_mean", "running_var"):
                old, new = before[f"{name}.{key}"], getattr(norm, key)
                of_batch = (new - (1 - norm.momentum) * old) / norm.momentum
                new.copy_(of_batch + (1 - norm.momentum) ** times * (new - of_batch))
            norm.num_batches_tracked += times


def losses_of(logits, maps, segmentation_target, class_target, batch_size):
    """The authors' two terms: pixel cross-entropy; image labels without background, in the mean over all classes."""
    classification = F.multilabel_soft_margin_loss(
        logits, class_target.double(), weight=(torch.arange(logits.shape[1]) > 0).double()
    )
    return F.cross_entropy(maps, segmentation_target, ignore_index=-1), batch_size * classification


def thinned(gradient):
    """Large tensors are stored flat with step 7."""
    return gradient.flatten()[::7] if gradient.numel() > 3000 else gradient


def norms_of(gradients):
    return torch.stack([torch.zeros(()).double() if g is None else g.norm() for g in gradients])


@conforms("unrolled_lrp/unrolled_resnet18_grads")
def test_training_gradients(golden):
    params, names = golden.params, golden.meta["state_dict"]
    network = UnrolledClassifier(filled_resnet("resnet18", names).double(), tie="untied").eval()
    encoder, copies = network.classifier, network.decoder_weights()
    images, num_classes = golden.double("in_x"), params["classes"]
    targets = golden.tensor("in_seg_target"), golden.tensor("in_class_target"), params["batch_size"]
    ordered = [
        classifier_from_authors(name) for name, _ in names if not name.split(".")[-1].startswith(("running", "num_b"))
    ]
    parameters = [encoder.get_parameter(name) for name in ordered]
    in_decoder = [copies.get(name.removesuffix(".weight")) for name in ordered]

    rules = epsilon_rules(params["epsilon"], unpool="last")
    maps = relevance_maps(unrolled_relevance(encoder, images, rules, decoder_weights=copies), num_classes, at_once=2)
    segmentation, classification = losses_of(encoder(images).logits, maps, *targets)
    golden.check("out_loss_seg", segmentation)
    golden.check("out_loss_cls", classification)
    golden.check("out_loss", segmentation + classification)

    wanted = [*parameters, *(copy for copy in in_decoder if copy is not None)]
    gradients = torch.autograd.grad(segmentation, wanted, allow_unused=True)
    golden.check("out_seg_enc_norms", norms_of(gradients[: len(parameters)]))
    by_copy = dict(
        zip(
            [n for n, c in zip(ordered, in_decoder, strict=True) if c is not None],
            gradients[len(parameters) :],
            strict=True,
        )
    )
    golden.check("out_seg_dec_norms", norms_of([by_copy.get(name) for name in ordered]))
    by_parameter = dict(zip(ordered, gradients[: len(ordered)], strict=True))
    for kind, found in (("enc", by_parameter), ("dec", by_copy)):
        for name in found:
            key = f"out_seg_{kind}_{name.removeprefix('backbone.').replace('head.', 'fc.').replace('.', '_')}"
            if key in golden and np.abs(golden[key]).max() > golden.meta["atol"]:
                golden.check(key, thinned(found[name]))
            elif key in golden:
                assert found[name].abs().max() < golden.meta["atol"], "zero but for the guards"
    of_classes = torch.autograd.grad(classification, parameters, allow_unused=True)
    golden.check("out_cls_enc_norms", norms_of(of_classes))
    golden.check("out_cls_enc_fc_weight", of_classes[ordered.index("head.weight")])

    # the vector-Jacobian product: the gradient of the decoder, to what epsilon leaves, and none of the encoder
    untied = input_times_gradient(encoder, images, unpool="last", decoder_weights=copies)
    maps = iterative_relevance_maps(untied, num_classes, wanted)
    exact, _ = losses_of(encoder(images).logits, maps, *targets)
    gradients = torch.autograd.grad(exact, wanted, allow_unused=True)
    assert all(gradient is None for gradient in gradients[: len(parameters)])
    for ours, theirs in zip(gradients[len(parameters) :], by_copy.values(), strict=True):
        assert (ours - theirs).norm() <= 0.01 * theirs.norm()


def check_steps(golden, tie):
    """Three steps of the authors' loop, with copies of the weights and with two parameters in one memory."""
    params, num_classes = golden.params, golden.params["classes"]
    encoder = filled_resnet("resnet18", golden.meta["state_dict"]).double()
    network = UnrolledClassifier(encoder, tie="untied").train()
    copies = network.decoder_weights()
    if tie == "cpu_shared":
        for name, copy in copies.items():
            copy.data = encoder.get_submodule(name).weight.data
    options = {"lr": params["lr"], "weight_decay": params["weight_decay"], "betas": params["betas"]}
    optimizer, rules = torch.optim.AdamW(network.parameters(), **options), epsilon_rules(unpool="last")
    losses, classes = [], range(num_classes)
    for images, *targets in zip(*(golden.tensor(f"in_{k}") for k in ("x", "seg_target", "class_target")), strict=True):
        before = {name: value.clone() for name, value in encoder.named_buffers()}
        maps = unrolled_relevance(encoder, images.double(), rules, decoder_weights=copies)(classes)
        terms = losses_of(encoder(images.double()).logits, maps, *targets, len(images))
        optimizer.zero_grad()
        sum(terms).backward()
        optimizer.step()
        losses.append([sum(terms).item(), *(term.item() for term in terms)])
        repeat_updates(encoder, before, 2 * num_classes)
    golden.check(f"out_losses_{tie}", losses)
    drift = [(copies[name] - encoder.get_submodule(name).weight).abs().max() for name in ("backbone.conv1", "head")]
    assert np.allclose(torch.stack(drift).detach(), golden[f"out_drift_{tie}"], rtol=1e-3, atol=1e-12)
    counts = [encoder.backbone.bn1.num_batches_tracked, encoder.backbone.layer4[1].bn2.num_batches_tracked]
    assert [int(count) for count in counts] == golden[f"out_bn_count_{tie}"].tolist()

    encoder.eval()
    first = golden.tensor("in_x")[0].double()
    with torch.no_grad():
        golden.check(f"out_final_logits_{tie}", encoder(first).logits)
        maps = unrolled_relevance(encoder, first, rules, decoder_weights=copies)(classes)
        # rounding that the singular gradients and the first steps of AdamW enlarge
        near = 1e-3 * np.abs(golden[f"out_final_heatmaps_{tie}"]).max()
        golden.check(f"out_final_heatmaps_{tie}", maps[:, :, ::2, ::2], atol=near)


@conforms("unrolled_lrp/unrolled_resnet18_steps")
def test_training_steps(golden):
    for tie in ("untied", "cpu_shared"):
        check_steps(golden, tie)
