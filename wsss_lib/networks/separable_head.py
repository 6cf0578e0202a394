"""DeepLab v3+ with separable convolutions, the head of BECO's own network (Chen et al., ECCV 2018, section 3.1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import initialize
from wsss_lib.networks.deeplab import ImagePool


def conv_norm_relu(in_channels: int, out_channels: int, kernel: int = 1, *, dilation: int = 1, groups: int = 1):
    """The layers of a convolution that keeps the size, its batch norm and a ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, 1, padding, dilation, groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def separable_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel alone, then a 1x1 convolution; batch norm and ReLU after both."""
    alone = conv_norm_relu(in_channels, in_channels, 3, dilation=dilation, groups=in_channels)
    return nn.Sequential(*alone, *conv_norm_relu(in_channels, out_channels))


class SeparableDeepLabV3PlusHead(nn.Module):
    """Separable pyramid on the last features, joined with fine features, one separable convolution, classifier.

    Logits have the size of the fine features.

    Args:
        in_channels, fine_channels: of the last and the fine features.
        fine_tap: place of the fine features among the taps.
        num_labels: K + 1.
        rates: dilations of the pyramid's 3x3 convolutions, px of the features.
        channels: of all hidden layers.
        fine_width: channels that the fine features are reduced to.
        dropout: of the pyramid's joined channels.
    """

    def __init__(
        self,
        in_channels: int,
        fine_channels: int,
        fine_tap: int,
        num_labels: int,
        *,
        rates: Sequence[int] = (6, 12, 18),
        channels: int = 256,
        fine_width: int = 48,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.fine_tap = fine_tap
        self.pyramid = nn.ModuleList([nn.Sequential(*conv_norm_relu(in_channels, channels))])
        self.pyramid.extend(separable_conv(in_channels, channels, rate) for rate in rates)
        self.pyramid.append(ImagePool(in_channels, channels))
        joined = conv_norm_relu(channels * len(self.pyramid), channels)
        self.join = nn.Sequential(*joined, nn.Dropout(dropout))
        self.reduce = nn.Sequential(*conv_norm_relu(fine_channels, fine_width))
        self.refine = separable_conv(channels + fine_width, channels)
        initialize(self)
        self.classifier = nn.Conv2d(channels, num_labels, 1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        fine = self.reduce(taps[self.fine_tap])
        coarse = self.join(torch.cat([branch(taps[-1]) for branch in self.pyramid], 1))
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.classifier(self.refine(torch.cat((fine, coarse), 1)))


def separable_head_from_authors(name: str) -> str:
    """Name in our head of an entry of BECO's decoder.

    >>> separable_head_from_authors("aspp.convs.4.convs.2.bias")
    'pyramid.4.conv.bn.bias'
    >>> separable_head_from_authors("aspp.convs.1.convs.3.weight"), separable_head_from_authors("projector.0.weight")
    ('pyramid.1.3.weight', 'reduce.0.weight')
    """
    for theirs, ours in (
        ("aspp.convs.4.convs.1.", "pyramid.4.conv.conv."),
        ("aspp.convs.4.convs.2.", "pyramid.4.conv.bn."),
        ("aspp.convs.0.", "pyramid.0."),
        ("aspp.projector.", "join."),
        ("projector.", "reduce."),
        ("pre_classifier.convs.", "refine."),
    ):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if name.startswith("aspp.convs."):
        place, _, rest = name.removeprefix("aspp.convs.").partition(".convs.")
        return f"pyramid.{place}.{rest}"
    return name
