from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.scored_crop import ScoredCrop
from wsss_lib.networks.base import IMAGENET


def positions(height, width):
    """An image whose red and green are the row and the column of the pixel, and the same as scores."""
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1]
    image = Image.fromarray(np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8))
    return Sample("a", image, torch.ones(1), None), torch.from_numpy(np.stack([rows, columns])).float()


def crop_of(scores, size, **options):
    def read(path):
        assert path == Path("crf/a.npz")
        return scores, None

    return ScoredCrop(IMAGENET, size, Path("crf"), read, labels_of=lambda cut: cut, **options)


@pytest.mark.parametrize("height, width, size", [(20, 30, 16), (10, 30, 16), (9, 7, 12)])
def test_image_and_scores_are_cut_and_mirrored_alike(height, width, size):
    sample, scores = positions(height, width)
    mirrored = set()
    for seed in range(8):
        image, labels = crop_of(scores, size, jitter=False)(sample, Draws(seed))
        shown = (255 * IMAGENET.denormalize(image)).round()
        assert image.shape == (3, size, size)
        assert torch.equal(shown[:2], labels), "where the image does not reach both are 0"
        inside = labels[1].amax(0) > 0
        mirrored.add(bool(labels[1, :, inside].amax(0).diff().sum() < 0))
        assert (labels[0] > 0).sum() == min(height, size) * min(width, size)
    assert mirrored == {True, False}


def test_colours_change_but_not_the_scores():
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    sample, scores = Sample("a", Image.fromarray(noise), torch.ones(1), None), positions(16, 16)[1]
    changed, labels = crop_of(scores, 16)(sample, Draws(3))
    assert torch.equal(labels[0].sort(0)[0][:, 0], torch.arange(1.0, 17))
    plain, _ = crop_of(scores, 16, jitter=False)(sample, Draws(3))
    assert (changed.sort()[0] - plain.sort()[0]).abs().max() > 0.05


def test_scores_of_another_size_are_refused():
    sample, scores = positions(20, 30)
    with pytest.raises(ValueError, match="scores of a are 20 x 29, the image is 20 x 30; make them from maps of this"):
        crop_of(scores[..., 1:], 16)(sample, Draws(0))
