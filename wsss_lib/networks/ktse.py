"""The classifier of KTSE (ECCV 2024) on any backbone, from backbone weights or from a checkpoint of the authors.

Backbone, 256 reduced channels (``fc8``), maps of background and classes (``fc9``) and their gated pyramid pooling stand
in :mod:`wsss_lib.networks.resnet38`, with which the paper uses them.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from wsss_lib.networks.backbones import FILE_ENDINGS, build_backbone
from wsss_lib.networks.checkpoints import ktse_from_authors, load_weights, read_state_dict, without_wrappers
from wsss_lib.networks.resnet38 import GatedPyramidClassifier, GatedPyramidHead

DROPOUT = 0.2  # of the channels in the last two blocks of ResNet-38, twice in each


def build_ktse(
    name: str,
    num_classes: int,
    *,
    output_stride: int = 8,
    width: float = 1.0,
    stages: int = 4,
    small_stem: bool = False,
    channels: int = 256,
    sides: Sequence[int] = GatedPyramidHead.SIDES,
    weights: str | Path | None = None,
) -> GatedPyramidClassifier:
    """Gated pyramid classifier with its weights loaded.

    Args:
        name: of a backbone, see :func:`wsss_lib.networks.backbones.build_backbone`; "resnet38" in the paper.
        num_classes: foreground classes, K.
        output_stride, width, stages, small_stem: of the backbone.
        channels: reduced channels before the head.
        sides: cells per side of the four pooled maps, coarse to fine. Those of the paper are for maps of 40 x 40: where
            there are as many cells as positions nothing is pooled, and a narrow peak scores higher than a whole object.
        weights: of the backbone alone, as there; or of a whole network, under the names of the released
            ``039net_main.pth``, which loads unchanged. None or "" for random weights.

    Raises:
        ValueError: the file does not fit the backbone or the number of classes; the sides are not four, ascending.
    """
    if len(sides) != 4 or list(sides) != sorted(sides) or min(sides) < 1:
        raise ValueError(f"the gated pyramid has four numbers of cells, coarse to fine, from 1; got {list(sides)}")
    whole = read_state_dict(weights) if weights and holds_whole_network(weights) else None
    backbone = build_backbone(
        name,
        output_stride=output_stride,
        width=width,
        stages=stages,
        small_stem=small_stem,
        weights=None if whole else weights,
        freeze=True if whole and name == "resnet38" else None,
    )
    if name == "resnet38":
        for module in backbone.modules():
            if isinstance(module, nn.Dropout2d):
                module.p = DROPOUT
    network = GatedPyramidClassifier(backbone, num_classes, channels=channels)
    network.head.SIDES = tuple(sides)
    if whole:
        load_weights(network, whole, rename=ktse_from_authors)
    return network


def holds_whole_network(weights: str | Path) -> bool:
    """Whether a weights file has the layer that makes the maps, not a backbone alone."""
    if Path(weights).suffix not in FILE_ENDINGS:
        return False
    return any(without_wrappers(entry).startswith("fc9.") for entry in read_state_dict(weights))
