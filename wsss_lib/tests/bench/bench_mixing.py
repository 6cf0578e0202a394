"""Speed of the mixing methods against their authors' code."""

import math

import numpy as np
import torch

from wsss_lib.data.mixing import MixingDraws, amplitudes, binarize, draw_masks, frequencies, low_frequency_images
from wsss_lib.losses.uncertainty import concentration_loss
from wsss_lib.tests.bench import benchmark


def centers_one_by_one(maps, eps):
    """Center of every map of the batch, present or not."""
    height, width = maps.shape[2:]
    across = (torch.arange(width) / width * 2 - 1).expand(height, width)
    down = (torch.arange(height) / height * 2 - 1)[:, None].expand(height, width)
    centers = []
    for of_image in maps:
        for one in of_image:
            shares = (one + eps) / (one + eps).sum()
            centers.append(torch.stack(((shares * across).sum(), (shares * down).sum())))
    return torch.stack(centers).view(*maps.shape[:2], 2), across, down


def concentration_in_loops(maps, class_labels, eps=1e-3):
    """Centers of all classes, then the variance of each class present, image by image (mva-wsss)."""
    centers, across, down = centers_one_by_one(maps, eps)
    loss = 0.0
    for b in range(len(maps)):
        for k in range(maps.shape[1]):
            if class_labels[b, k] > 0.5:
                shares = (maps[b, k] + eps) / (maps[b, k] + eps).sum()
                squared = (across - centers[b, k, 0]) ** 2 + (down - centers[b, k, 1]) ** 2
                loss = loss + (shares * squared).sum()
    return loss / len(maps)


@benchmark("concentration loss, 8 x 20 maps of 38 x 38, with gradient", ratio=20)
def concentration():
    maps = torch.randn(8, 20, 38, 38).relu().softmax(1).requires_grad_()
    class_labels = (torch.rand(8, 20) < 0.08).float()
    class_labels[:, 0] = 1

    def form(loss):
        return lambda: torch.autograd.grad(loss(maps, class_labels), maps)[0].numpy()

    return form(concentration_in_loops), form(concentration_loss)


def mask_by_sorting(share, size, draws, decay=3.0):
    """One mask as its authors make it: noise for the whole plane, one transform, all pixels sorted (FMix)."""
    height, width = size
    noise = draws.numpy.randn(1, *frequencies(*size).shape, 2)
    spectrum = amplitudes(*size, decay).numpy()[..., None] * noise
    image = np.fft.irfftn(spectrum[:, 0] + 1j * spectrum[:, 1], (height, width))[0]
    image = (image - image.min()) / np.ptp(image)
    order = image.reshape(-1).argsort()[::-1]
    cut = (math.ceil if draws.random() > 0.5 else math.floor)(share * image.size)
    mask = image.reshape(-1)
    mask[order[:cut]] = 1
    mask[order[cut:]] = 0
    return mask.reshape(height, width)


@benchmark("16 FMix masks of 300 x 300", ratio=3.3)
def masks_of_a_batch():
    size, shares = (300, 300), np.linspace(0.1, 0.9, 16).tolist()

    def slow():  # the numbers drawn differ, the area does not
        draws = MixingDraws(0)
        return [round(mask_by_sorting(share, size, draws).mean(), 3) for share in shares]

    def fast():
        return draw_masks(shares, size, MixingDraws(0)).mean((1, 2)).numpy()

    return slow, fast


@benchmark("FMix mask of 300 x 300 from the same noise", ratio=1.3)
def mask_of_the_same_noise():
    size, share = (300, 300), 0.37
    noise = torch.from_numpy(np.random.RandomState(0).randn(1, *frequencies(*size).shape, 2))

    class Stored(MixingDraws):
        numpy = type("Noise", (), {"randn": staticmethod(lambda *shape: noise.numpy())})
        random = staticmethod(lambda: 1.0)

    def fast():
        return binarize(low_frequency_images(noise, size), [share], [True])[0].numpy()

    return lambda: mask_by_sorting(share, size, Stored(0)), fast
