"""Multi-label classifiers on a backbone: pooled features, a linear head, and the feature map that CAMs need."""

from typing import NamedTuple

from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Freezable, Normalization

POOLINGS = {
    "average": lambda features: features.mean((2, 3)),
    "max": lambda features: features.amax((2, 3)),
}


class ClassifierOutput(NamedTuple):
    """What a classifier knows of a batch: ``logits`` [B, K] and the last feature map, ``features`` [B, C, h, w]."""

    logits: Tensor
    features: Tensor


class SubCategoryOutput(NamedTuple):
    """As :class:`ClassifierOutput`, with the logits of the sub-categories, ``sub_logits`` [B, S]."""

    logits: Tensor
    features: Tensor
    sub_logits: Tensor


class Classifier(Freezable):
    """Backbone, pooling, dropout, linear layer.

    Dropout acts on the pooled channels, which for average pooling is the channel dropout of the feature map that the
    authors of PSA write.

    Args:
        backbone: any network of :mod:`wsss_lib.networks.backbones`.
        num_classes: foreground classes, K.
        dropout: probability of dropping a channel before the head (0.5 in PSA and its descendants).
        bias: whether the head has a bias; class activation maps assume that it has none.
        pooling: "average" or "max" over the positions of the feature map.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        dropout: float = 0.0,
        bias: bool = False,
        pooling: str = "average",
    ):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not known; choose one of {', '.join(POOLINGS)}")
        self.backbone = backbone
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = linear_head(backbone.tap_channels[-1], num_classes, bias)

    @property
    def head_weight(self) -> Tensor:
        """Weight of the head, [K, C]."""
        return self.head.weight

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the backbone's weights expect."""
        return self.backbone.normalization

    def pool(self, features: Tensor) -> Tensor:
        """One vector per image, [B, C], of a feature map [B, C, h, w]; no dropout."""
        return POOLINGS[self.pooling](features)

    def forward(self, images: Tensor) -> ClassifierOutput:
        features = self.backbone(images)[-1]
        return ClassifierOutput(self.head(self.dropout(self.pool(features))), features)


class SubCategoryClassifier(Classifier):
    """A classifier with a second linear head for sub-categories, on the same pooled vector (Chang et al., CVPR 2020).

    Args:
        num_sub_categories: S, over all classes.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        num_sub_categories: int,
        *,
        dropout: float = 0.0,
        bias: bool = False,
        pooling: str = "average",
    ):
        super().__init__(backbone, num_classes, dropout=dropout, bias=bias, pooling=pooling)
        self.sub_head = linear_head(backbone.tap_channels[-1], num_sub_categories, bias)

    def forward(self, images: Tensor) -> SubCategoryOutput:
        features = self.backbone(images)[-1]
        pooled = self.dropout(self.pool(features))
        return SubCategoryOutput(self.head(pooled), features, self.sub_head(pooled))


def linear_head(channels: int, num_classes: int, bias: bool) -> nn.Linear:
    """Linear layer, Xavier-uniform weight, zero bias."""
    head = nn.Linear(channels, num_classes, bias=bias)
    nn.init.xavier_uniform_(head.weight)
    if bias:
        nn.init.zeros_(head.bias)
    return head


class ParameterGroups(NamedTuple):
    """Trainable parameters of a network in the four groups that the papers give learning rates x1, x2, x10, x20."""

    pretrained_weights: list[nn.Parameter]
    pretrained_biases: list[nn.Parameter]
    new_weights: list[nn.Parameter]
    new_biases: list[nn.Parameter]


def parameter_groups(network: nn.Module, pretrained: tuple[str, ...] = ("backbone",)) -> ParameterGroups:
    """Sort what gets a gradient by where it comes from and whether it is a bias.

    Args:
        network: any network.
        pretrained: names of the layers that start from pretrained weights; all others are new.
    """
    groups = ParameterGroups([], [], [], [])
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_new = not any(name.startswith(f"{layer}.") for layer in pretrained)
            groups[2 * is_new + name.endswith("bias")].append(parameter)
    return groups
