"""Speed of pixel-adaptive refinement, at half the crop of KTSE."""

import torch
import torch.nn.functional as F

from wsss_lib.labels.pixel_adaptive import DILATIONS, DIRECTIONS, position_weights, refine_scores
from wsss_lib.tests.bench import benchmark

ITERATIONS = 10


def neighbours_by_convolution(values: torch.Tensor) -> torch.Tensor:
    """All neighbours [B, C, N, H, W]: a convolution with eight one-hot kernels for each dilation."""
    kernels = torch.zeros(8, 1, 3, 3)
    for place, (down, right) in enumerate(DIRECTIONS):
        kernels[place, 0, 1 + down, 1 + right] = 1
    batch, channels, height, width = values.shape
    every = []
    for dilation in DILATIONS:
        padded = F.pad(values, (dilation,) * 4, mode="replicate").reshape(
            batch * channels, 1, *_grown(values, dilation)
        )
        every.append(F.conv2d(padded, kernels, dilation=dilation).view(batch, channels, -1, height, width))
    return torch.cat(every, 2)


def _grown(values: torch.Tensor, dilation: int) -> tuple[int, int]:
    return values.shape[2] + 2 * dilation, values.shape[3] + 2 * dilation


@benchmark("pixel-adaptive refinement, 160 x 160, 4 classes, 10 times", ratio=3)
def refinement_of_a_crop():
    """The authors convolve with one-hot kernels and keep all neighbours; the library adds up shifted views."""
    images, scores = torch.rand(1, 3, 160, 160), torch.rand(1, 4, 160, 160)

    @torch.no_grad()
    def slow():
        around = neighbours_by_convolution(images)
        differences = (around - images[:, :, None]).abs()
        similarities = -((differences / (around.std(2, keepdim=True) + 1e-8) / 0.3) ** 2).mean(1, keepdim=True)
        weights = similarities.softmax(2) + 0.01 * position_weights().view(1, 1, -1, 1, 1)
        refined = F.interpolate(scores, images.shape[2:], mode="bilinear", align_corners=True)
        for _ in range(ITERATIONS):
            refined = (neighbours_by_convolution(refined) * weights).sum(2)
        return refined

    return slow, lambda: refine_scores(scores, images)
