"""VGG-16 (Simonyan and Zisserman, ICLR 2015): torchvision's, and the dilated one of PSA (Ahn and Kwak, CVPR 2018)."""

import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import CAFFE, Backbone, dilate_strides, initialize, scaled


class DenseMaxPool(nn.Module):
    """2x2 maximum at every position instead of every second one, ``dilation`` px apart."""

    def __init__(self, dilation: int):
        super().__init__()
        self.dilation = dilation

    def forward(self, features: Tensor) -> Tensor:
        features = F.pad(features, (0, self.dilation, 0, self.dilation), value=float("-inf"))
        return F.max_pool2d(features, 2, stride=1, dilation=self.dilation)


class VGG16(Backbone):
    """Names of torchvision's ``vgg16`` and ``vgg16_bn`` without their three linear layers.

    Taps: what each pool receives (strides 1, 2, 4, 8, 16), then the final map. Below output stride 32 the last pool
    is left out, since no convolution follows it; a stride-removed pool takes its maximum at every position.
    """

    BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self, *, output_stride: int = 32, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        pools = dilate_strides((2,) * len(self.BLOCKS), output_stride)
        layers: list[nn.Module] = []
        channels, dilation, total = 3, 1, 1
        self.tap_channels, self.tap_strides = [], []
        for block, (counts, (stride, pool_dilation, next_dilation)) in enumerate(zip(self.BLOCKS, pools, strict=True)):
            for count in counts:
                layers.append(nn.Conv2d(channels, scaled(count, width), 3, padding=dilation, dilation=dilation))
                channels = scaled(count, width)
                layers += [nn.BatchNorm2d(channels)] * batch_norm + [nn.ReLU(inplace=True)]
            self.tap_channels.append(channels)
            self.tap_strides.append(total)
            if block < len(self.BLOCKS) - 1 or stride == 2:
                layers.append(nn.MaxPool2d(2) if stride == 2 else DenseMaxPool(pool_dilation))
            dilation = next_dilation
            total *= stride
        if output_stride == 32:
            self.tap_channels.append(channels)
            self.tap_strides.append(total)
        self.features = nn.Sequential(*layers)
        initialize(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        taps, features = [], images
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d | DenseMaxPool):
                taps.append(features)
            features = layer(features)
        return [*taps, features]


class PSAVGG16(Backbone):
    """VGG-16 of PSA at output stride 8, with its authors' names; input BGR minus mean, not scaled.

    Taps: conv4 (after conv4_3), conv5 (after conv5_3), conv5fc (after fc7).

    Args:
        fc6_dilation: 1 for the classifier, 4 for AffinityNet.
        freeze: keep conv1_1 to conv2_2 as they are, as in the paper.
    """

    normalization = CAFFE
    BLOCKS = (("conv1", 2, 64), ("conv2", 2, 128), ("conv3", 3, 256), ("conv4", 3, 512), ("conv5", 3, 512))
    POOL_STRIDES = (2, 2, 2, 1)

    def __init__(self, *, width: float = 1.0, fc6_dilation: int = 1, dropout: float = 0.5, freeze: bool = True):
        super().__init__()
        channels = 3
        for name, count, block_channels in self.BLOCKS:
            dilation = 2 if name == "conv5" else 1
            for index in range(1, count + 1):
                out_channels = scaled(block_channels, width)
                self.add_module(
                    f"{name}_{index}", nn.Conv2d(channels, out_channels, 3, padding=dilation, dilation=dilation)
                )
                channels = out_channels
        final = scaled(1024, width)
        self.fc6 = nn.Conv2d(channels, final, 3, padding=fc6_dilation, dilation=fc6_dilation)
        self.drop6 = nn.Dropout2d(dropout)
        self.fc7 = nn.Conv2d(final, final, 1)
        self.tap_channels = [channels, channels, final]
        self.tap_strides = [8, 8, 8]
        initialize(self)
        if freeze:
            self.freeze("conv1_1", "conv1_2", "conv2_1", "conv2_2")

    def forward(self, images: Tensor) -> list[Tensor]:
        taps, features = [], images
        for position, (name, count, _) in enumerate(self.BLOCKS):
            for index in range(1, count + 1):
                features = F.relu(self.get_submodule(f"{name}_{index}")(features))
            if name in ("conv4", "conv5"):
                taps.append(features)
            if position < len(self.POOL_STRIDES):
                features = F.max_pool2d(features, 3, stride=self.POOL_STRIDES[position], padding=1)
        features = self.drop6(F.relu(self.fc6(features)))
        return [*taps, F.relu(self.fc7(features))]
