"""Networks of PSA, SC-CAM and mva-wsss against the authors' own."""

import torch
from torch import nn

from wsss_lib.maps.cam import class_activation_maps
from wsss_lib.networks.checkpoints import classifier_from_authors, resnet38_from_mxnet
from wsss_lib.networks.classifier import Classifier, SubCategoryClassifier, parameter_groups
from wsss_lib.networks.resnet38 import ResNet38
from wsss_lib.networks.vgg import PSAVGG16
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names, resnet38_network


def shape_of(golden, name):
    return dict(map(tuple, golden.meta["state_dict"]))[name]


@conforms("mva_wsss/resnet38_forward")
@torch.no_grad()
def test_resnet38_forward(golden):
    num_classes = shape_of(golden, "fc8.weight")[0]
    network = resnet38_network(
        lambda backbone: Classifier(backbone, num_classes, dropout=0.5),
        golden.meta["state_dict"],
        classifier_from_authors,
    )
    outputs = {}
    names = [key.removeprefix("out_tap_") for key in golden.arrays if key.startswith("out_tap_")]
    hooks = [
        network.backbone.get_submodule(name).register_forward_hook(
            lambda module, _, output, name=name: outputs.update(
                {name: output[0] if isinstance(output, tuple) else output}
            )
        )
        for name in names
    ]
    images = golden.tensor("in_x")
    *_, conv4, conv5, conv6 = network.backbone(images)
    for hook in hooks:
        hook.remove()
    assert len(outputs) == len(names) > 0
    for name, output in outputs.items():
        channels = golden[f"out_tap_{name}"].shape[0]
        golden.check(f"out_tap_{name}", output[0, :channels])
        golden.check(f"out_stat_{name}", torch.stack((output.mean(), output.std(correction=0))))
    for key, tap in (("out_conv4", conv4), ("out_conv5", conv5), ("out_conv6", conv6)):
        golden.check(key, tap[0, : golden[key].shape[0]])

    output = network(images)
    golden.check("out_logits", output.logits)
    golden.check("out_features", network.pool(output.features))
    golden.check("out_cam", class_activation_maps(output.features, network.head_weight))
    odd = network(golden.tensor("in_x_odd"))
    golden.check("out_cam_odd", class_activation_maps(odd.features, network.head_weight))


@conforms("mva_wsss/resnet38_training_setup")
def test_resnet38_training_setup(golden):
    with torch.device("meta"):
        network = Classifier(ResNet38(), 20, dropout=0.5)
    network.eval()
    network.train()
    authors_name = {classifier_from_authors(f"{name}"): name for name in golden.meta["frozen"]}
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert sorted(frozen) == sorted(authors_name)
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    evaluating = [name for name, module in norms.items() if not module.training]
    assert sorted(evaluating) == sorted(f"backbone.{name}" for name in golden.meta["bn_eval"])
    dropouts = {
        name: module for name, module in network.named_modules() if isinstance(module, nn.Dropout | nn.Dropout2d)
    }
    listed = {f"backbone.{name}" if "." in name else "dropout": rate for name, rate in golden.meta["dropout"]}
    assert {name: module.p for name, module in dropouts.items()} == listed
    assert all(module.training for module in dropouts.values())

    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network)
    assert [sorted(names[id(parameter)] for parameter in group) for group in groups] == [
        sorted(map(classifier_from_authors, group)) for group in golden.meta["groups"]
    ]
    golden.check("out_n_frozen", len(frozen))
    golden.check("out_n_bn", len(norms))
    golden.check("out_n_bn_eval", len(evaluating))
    golden.check("out_group_sizes", [len(group) for group in groups])
    golden.check("out_n_params", sum(parameter.numel() for parameter in network.parameters()))


@conforms("mva_wsss/mxnet_key_map")
def test_mxnet_key_map(golden):
    pairs = golden.meta["pairs"]
    mapped = [resnet38_from_mxnet(name) for name, _ in pairs]
    assert mapped == [name for _, name in pairs]
    golden.check("out_n_mapped", sum(name is not None for name in mapped))
    golden.check("in_n", len(pairs))
    with torch.device("meta"):
        entries = ResNet38().state_dict()
    assert {name for name in mapped if name} == {name for name in entries if not name.endswith("num_batches_tracked")}


@conforms("mva_wsss/vgg16_cls_forward")
@torch.no_grad()
def test_vgg16_cls_forward(golden):
    network = Classifier(PSAVGG16(), shape_of(golden, "fc8.weight")[0], dropout=0.5)
    fill_from_names(network, golden.meta["state_dict"], classifier_from_authors)
    images = golden.tensor("in_x")
    taps = network.backbone(images)
    for key, tap in zip(("out_conv4", "out_conv5", "out_conv5fc"), taps, strict=True):
        golden.check(key, tap[0, : golden[key].shape[0]])
    output = network(images)
    golden.check("out_logits", output.logits)
    golden.check("out_cam", class_activation_maps(output.features, network.head_weight).sqrt())


@conforms("mva_wsss/subcategory_net_forward")
@torch.no_grad()
def test_subcategory_net_forward(golden):
    names = golden.meta["state_dict"]
    num_classes = shape_of(golden, "model.fc8.weight")[0]
    # the values were drawn before the network became the part "model" of the trained system
    drawn_as = [(name.removeprefix("model."), shape) for name, shape in names]
    assert [classifier_from_authors(name) for name, _ in names] == [
        classifier_from_authors(name) for name, _ in drawn_as
    ]
    network = resnet38_network(
        lambda backbone: SubCategoryClassifier(backbone, num_classes, golden.params["n_clusters"], dropout=0.5),
        drawn_as,
        classifier_from_authors,
    )
    output = network(golden.tensor("in_x"))
    golden.check("out_logits", output.logits)
    golden.check("out_cluster_logits", output.sub_logits)


@conforms("mva_wsss/sccam_network_forward")
@torch.no_grad()
def test_sccam_network_forward(golden):
    sizes = [shape_of(golden, name)[0] for name in ("fc8_20.weight", "fc8_200.weight")]
    network = resnet38_network(
        lambda backbone: SubCategoryClassifier(backbone, *sizes, dropout=0.5),
        golden.meta["state_dict"],
        classifier_from_authors,
    )
    output = network(golden.tensor("in_x"))
    golden.check("out_logits_20", output.logits)
    golden.check("out_prob_20", output.logits.sigmoid())
    golden.check("out_logits_200", output.sub_logits)
    golden.check("out_prob_200", output.sub_logits.sigmoid())
    golden.check("out_feature", network.pool(output.features))
    golden.check("out_cam_20", class_activation_maps(output.features, network.head_weight))
    sub_maps = class_activation_maps(output.features, network.sub_head.weight)
    golden.check("out_cam_200", sub_maps[:, :: golden.params["k"]])
