"""LaViSE: from the features of one layer to the space of word vectors (Yang, Kim and Joo, CVPR 2022)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.alexnet import AlexNet
from wsss_lib.networks.backbones import BACKBONES, build_backbone, fetch_torchvision
from wsss_lib.networks.base import Backbone, Freezable
from wsss_lib.networks.checkpoints import TORCH_ENDINGS, load_weights, shortened
from wsss_lib.networks.classifier import Classifier

TARGETS = ("alexnet", *BACKBONES)
POSITIONS = (6, 6)  # grid that AlexNet pools to before its linear layers
HEADS = ("fc", "classifier")  # what the explainer replaces, and is called, in the authors' networks


class _ReachedError(Exception):
    """Carries the features of the tapped layer out of the network, so that what follows is not computed."""

    def __init__(self, features: Tensor):
        self.features = features


def layer_features(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Output of one layer, [B, C, h, w]; the layers after it do not run, and no hook stays behind.

    Args:
        network: any network.
        layer: its name in the network, such as ``layer4`` or ``backbone.layer3``.

    Raises:
        ValueError: no such layer (the message lists those there are), it does not run, or it gives no feature map.
    """
    modules = dict(network.named_modules())
    if layer not in modules or not layer:
        known = [name for name in modules if name and name.count(".") < 2]
        raise ValueError(
            f"no layer {layer!r} in {type(network).__name__}; it has {shortened(known, known, shown=60)}, and layers "
            "inside these"
        )

    def stop(module: nn.Module, inputs: object, output: object) -> None:
        raise _ReachedError(output)

    tapped = modules[layer]
    while isinstance(tapped, nn.Sequential) and len(tapped):  # a network may run the layers of a sequence one by one
        tapped = tapped[-1]
    handle = tapped.register_forward_hook(stop)
    try:
        network(images)
    except _ReachedError as reached:
        features = reached.features
    else:
        raise ValueError(f"layer {layer!r} does not run when {type(network).__name__} does; choose another one")
    finally:
        handle.remove()
    if not isinstance(features, Tensor) or features.ndim != 4:
        raise ValueError(f"layer {layer!r} gives no feature map [B, C, h, w]; choose a convolutional layer or a stage")
    return features


class FilterExplainer(Freezable):
    """A frozen network, one of its layers, and the head that sends pooled features of that layer to word vectors.

    The head is batch norm, dropout, linear, ReLU, batch norm, dropout, linear. The authors keep both batch norms in
    evaluation mode in training as well, so that their statistics stay at mean 0 and variance 1 (``learn_statistics``
    off). Its width is that of the tapped layer, found by a dry run: the authors take it from the old classifier, which
    fails for all layers but the last.

    Args:
        target: network to explain; it is frozen.
        layer: name of the layer.
        dimension: of the word vectors, E.
        side: of a dry-run image, px.
        pooling: "average" over the map, or "positions": averaged to 6 x 6 and flattened (AlexNet).
        dropout: probability, twice (0.1 in the paper's code).
        learn_statistics: the batch norms of the head use and learn batch statistics.
    """

    def __init__(
        self,
        target: nn.Module,
        layer: str,
        dimension: int,
        *,
        side: int = 224,
        pooling: str = "average",
        dropout: float = 0.1,
        learn_statistics: bool = False,
    ):
        super().__init__()
        if pooling not in ("average", "positions"):
            raise ValueError(f"pooling {pooling!r} is not known; choose average or positions")
        self.target, self.layer, self.pooling, self.learn_statistics = target, layer, pooling, learn_statistics
        self.freeze("target")
        parameter = next(target.parameters())
        with torch.no_grad():
            features = layer_features(target, layer, torch.zeros(1, 3, side, side, device=parameter.device))
            width = self.pool(features).shape[1]
        self.num_filters, self.grid = features.shape[1], tuple(features.shape[2:])
        self.head = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.BatchNorm1d(width),
            nn.Dropout(dropout),
            nn.Linear(width, dimension),
        )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not self.learn_statistics and "head" in self._modules:
            for module in self.head:
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features of the layer, [B, C, h, w], without gradient."""
        return layer_features(self.target, self.layer, images)

    def pool(self, features: Tensor) -> Tensor:
        """One vector per feature map, [B, D]."""
        if self.pooling == "average":
            return features.mean((2, 3))
        return F.adaptive_avg_pool2d(features, POSITIONS).flatten(1)

    def pool_masked(self, features: Tensor, masks: Tensor, image_of_mask: Tensor) -> Tensor:
        """One vector per mask, [n, D]; arguments as of :func:`masked_pooling`."""
        if self.pooling == "average":
            return masked_pooling(features, masks, image_of_mask)
        return self.pool(features[image_of_mask] * masks[:, None])

    def forward(self, features: Tensor) -> Tensor:
        """Word vectors, [B, E], of (masked) features [B, C, h, w] or of pooled ones [B, D]."""
        return self.head(self.pool(features) if features.ndim == 4 else features)


def masked_pooling(features: Tensor, masks: Tensor, image_of_mask: Tensor) -> Tensor:
    """Average of the features times a mask, for every mask: [n, C], without making n masked maps.

    Args:
        features: [B, C, h, w].
        masks: [n, h, w].
        image_of_mask: index of the image of each mask, int64 [n].

    >>> features = torch.tensor([[[[1.0, 3.0]]]])
    >>> masked_pooling(features, torch.tensor([[[0.0, 1.0]]]), torch.tensor([0]))
    tensor([[1.5000]])
    """
    num_cells = features[0, 0].numel()
    pooled = [masks[image_of_mask == i].flatten(1) @ one.flatten(1).T for i, one in enumerate(features)]
    rows = [torch.nonzero(image_of_mask == i).flatten() for i in range(len(features))]
    result = features.new_empty(len(masks), features.shape[1])
    result[torch.cat(rows)] = torch.cat(pooled) / num_cells
    return result


def build_explainer(
    network: str,
    layer: str,
    dimension: int,
    *,
    options: Mapping[str, Any],
    num_classes: int = 0,
    weights: str | Path | None = None,
    **head: Any,
) -> FilterExplainer:
    """Explainer of a network given by its name and options, as a run writes them down for the next one.

    Args:
        network: see :func:`build_target`.
        layer, dimension, head: see :class:`FilterExplainer`; of a classifier the layers begin with ``backbone.``.
        options: of :func:`wsss_lib.networks.backbones.build_backbone`.
        num_classes: of a classifier on the backbone; 0 explains the backbone itself.
        weights: of the backbone.
    """
    target: nn.Module = build_target(network, weights, **options)
    normalization = target.normalization
    if num_classes:
        target = Classifier(target, num_classes)
    explainer = FilterExplainer(target.eval(), layer, dimension, **head)
    explainer.normalization = normalization
    return explainer


def build_target(name: str, weights: str | Path | None = None, *, output_stride: int = 32, **options: Any) -> Backbone:
    """Network to explain by its name: AlexNet or any backbone of the project, with its weights and further options.

    Raises:
        ValueError: no network of that name, or weights that do not fit.
    """
    if name not in TARGETS:
        raise ValueError(f"no network {name!r}; choose one of {', '.join(TARGETS)}")
    if name != "alexnet":
        return build_backbone(name, output_stride=output_stride, weights=weights, **options)
    network = AlexNet()
    if weights:
        is_file = Path(weights).suffix in TORCH_ENDINGS or Path(weights).exists()
        stored, scaling = (weights, None) if is_file else fetch_torchvision(name, str(weights))
        load_weights(network, stored, allow_unexpected=["classifier.*"])
        network.normalization = scaling or network.normalization
    return network


def explainer_from_authors(name: str) -> str:
    """Entry of a released checkpoint to its name in :class:`FilterExplainer`.

    >>> explainer_from_authors("layer4.0.conv1.weight"), explainer_from_authors("fc.6.bias")
    ('target.layer4.0.conv1.weight', 'head.6.bias')
    """
    part, _, rest = name.removeprefix("module.").partition(".")
    return f"head.{rest}" if part in HEADS else f"target.{name.removeprefix('module.')}"
