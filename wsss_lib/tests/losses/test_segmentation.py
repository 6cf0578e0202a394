"""Multi-scale cross-entropy against loops, label resizing against PIL."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.losses.segmentation import multi_scale_cross_entropy, resize_labels


@pytest.mark.parametrize("size", [(41, 41), (21, 21), (31, 31), (7, 90), (80, 64), (1, 1)])
@pytest.mark.parametrize("original", [(321, 321), (33, 47)])
def test_labels_are_resized_as_pil_does(original, size):
    masks = np.random.default_rng(0).integers(0, 256, (2, *original), dtype=np.uint8)
    by_pil = [np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)) for mask in masks]
    resized = resize_labels(torch.from_numpy(masks).long(), size)
    assert resized.dtype == torch.int64
    assert np.array_equal(resized.numpy(), np.stack(by_pil))


def mean_cross_entropy(logits, labels, ignore):
    """Of the pixels that are not ignored, one by one."""
    losses = []
    for image in range(len(labels)):
        for row in range(labels.shape[1]):
            for column in range(labels.shape[2]):
                label = labels[image, row, column].item()
                if label != ignore:
                    scores = logits[image, :, row, column].tolist()
                    losses.append(math.log(sum(map(math.exp, scores))) - scores[label])
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("ignore", [255, 3])
@pytest.mark.parametrize("seed", range(3))
def test_sum_of_the_means_of_all_scales(seed, ignore):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.tensor([0, 1, 2, ignore])[torch.randint(4, (2, 9, 12), generator=generator)]
    logits = [2 * torch.randn(2, 3, *size, generator=generator) for size in ((9, 12), (4, 6), (3, 3))]
    expected = sum(
        mean_cross_entropy(of_scale, resize_labels(masks, of_scale.shape[-2:]), ignore) for of_scale in logits
    )
    assert multi_scale_cross_entropy(logits, masks, ignore=ignore).item() == pytest.approx(expected, rel=1e-5)


def test_a_scale_without_labels_adds_nothing():
    logits = [torch.randn(1, 3, 2, 2, requires_grad=True), torch.randn(1, 3, 1, 1, requires_grad=True)]
    masks = torch.tensor([[[1, 255], [255, 255]]])  # the middle of the image is ignored
    loss = multi_scale_cross_entropy(logits, masks)
    assert loss.item() == pytest.approx(multi_scale_cross_entropy(logits[:1], masks).item()) and loss > 0
    loss.backward()
    assert logits[0].grad.abs().sum() > 0 and logits[1].grad.abs().sum() == 0


def test_images_without_any_label_have_no_loss_and_no_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = multi_scale_cross_entropy([logits], torch.full((2, 8, 8), 255))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_ignored_pixels_do_not_matter():
    logits = torch.randn(1, 3, 4, 4)
    masks = torch.randint(3, (1, 4, 4))
    masks[0, 1, 2] = 255
    changed = logits.clone()
    changed[0, :, 1, 2] = 100.0
    assert multi_scale_cross_entropy([logits], masks) == multi_scale_cross_entropy([changed], masks)


def test_no_logits():
    with pytest.raises(ValueError, match="give those of one scale at least"):
        multi_scale_cross_entropy([], torch.zeros(1, 2, 2).long())
