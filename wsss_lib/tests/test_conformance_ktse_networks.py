"""The classifier of KTSE against the authors' own."""

import torch

from wsss_lib.networks.checkpoints import ktse_from_authors, resnet38_from_mxnet
from wsss_lib.networks.resnet38 import GatedPyramidClassifier, GatedPyramidHead
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names, resnet38_network


def check_output(golden, case, output):
    golden.check(f"out_{case}_cam", output.maps)
    golden.check(f"out_{case}_scores", output.logits)
    golden.check(f"out_{case}_gpp", output.gated_maps)
    golden.check(f"out_{case}_camseg", output.segmentation_logits)


@conforms("ktse/ktse_resnet38")
@torch.no_grad()
def test_ktse_resnet38(golden):
    shapes = dict(map(tuple, golden.meta["state_dict"]))
    outputs, channels = shapes["fc9.weight"][:2]
    network = resnet38_network(
        lambda backbone: GatedPyramidClassifier(backbone, outputs - 1, channels=channels),
        golden.meta["state_dict"],
        ktse_from_authors,
    )
    for case in golden.cases:
        check_output(golden, case, network(golden.tensor(f"in_{case}_img")))


@conforms("ktse/ktse_gpp_head")
@torch.no_grad()
def test_ktse_gpp_head(golden):
    outputs, channels = dict(map(tuple, golden.meta["state_dict"]))["fc9.weight"][:2]
    head = GatedPyramidHead(channels, outputs - 1)
    fill_from_names(head, golden.meta["state_dict"], lambda name: name)
    for case in golden.cases:
        check_output(golden, case, head(golden.tensor(f"in_{case}_feat").float()))


@conforms("ktse/ktse_mxnet_names")
def test_ktse_mxnet_names(golden):
    for case in golden.cases:
        names = golden[f"in_{case}_names"].tolist()
        golden.check(f"out_{case}_names", [resnet38_from_mxnet(name) or "" for name in names])
