"""AlexNet (Krizhevsky, 2014) without its three linear layers, with the state-dict names of torchvision."""

from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, initialize, scaled


class AlexNet(Backbone):
    """Taps: what each pool receives, then the final map after the last pool.

    Args:
        width: factor on all numbers of channels.
    """

    # channels, kernel, stride, padding, whether a 3 x 3 pool of stride 2 follows
    LAYERS = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False),
              (256, 3, 1, 1, True))  # fmt: skip

    def __init__(self, *, width: float = 1.0):
        super().__init__()
        layers: list[nn.Module] = []
        channels, total = 3, 1
        self.tap_channels, self.tap_strides = [], []
        for count, kernel, stride, padding, pooled in self.LAYERS:
            layers += [
                nn.Conv2d(channels, scaled(count, width), kernel, stride, padding),
                nn.ReLU(inplace=True),
            ]
            channels, total = scaled(count, width), total * stride
            if pooled:
                self.tap_channels.append(channels)
                self.tap_strides.append(total)
                layers.append(nn.MaxPool2d(3, stride=2))
                total *= 2
        self.tap_channels.append(channels)
        self.tap_strides.append(total)
        self.features = nn.Sequential(*layers)
        initialize(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        taps, features = [], images
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                taps.append(features)
            features = layer(features)
        return [*taps, features]
