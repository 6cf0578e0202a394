import random
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data.batch import Sample
from wsss_lib.data.pairs import Partners, make_pair_loader
from wsss_lib.data.transforms import LongSideCrop, WholeImage
from wsss_lib.networks.base import IMAGENET

LABELS = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


@dataclass
class Grey:
    """Images whose grey value tells their number."""

    labels: list[list[int]]
    size: tuple[int, int] = (9, 7)
    classes = ("cat", "cow", "dog")
    has_labels, has_masks = True, True

    def __post_init__(self):
        self.ids = [f"image{index}" for index in range(len(self.labels))]
        self.class_labels = torch.tensor(self.labels, dtype=torch.float32)

    def __len__(self):
        return len(self.ids)

    def read(self, index):
        image = Image.fromarray(np.full((*self.size, 3), index, np.uint8))
        return Sample(self.ids[index], image, self.class_labels[index], np.zeros(self.size, np.uint8))


@pytest.fixture
def grey():
    return Grey(LABELS)


@pytest.fixture
def partners(grey):
    with pytest.warns(UserWarning, match=r"image4 \(dog\)"):
        return Partners(grey)


def test_partners_share_a_class(partners):
    rng = random.Random(0)
    for index, labels in enumerate(LABELS):
        drawn = {partners.draw(index, rng) for _ in range(200)}
        sharing = {other for other, others in enumerate(LABELS) if np.dot(labels, others) > 0}
        assert drawn == (sharing or {index})


def test_the_class_is_drawn_before_the_image(partners):
    """Image 1 is cat and cow: half of its partners come from two cows, half from three cats, itself among both."""
    rng = random.Random(1)
    counts = Counter(partners.draw(1, rng) for _ in range(6000))
    expected = {0: 1 / 6, 2: 1 / 6, 3: 1 / 4, 1: 1 / 6 + 1 / 4}
    for index, share in expected.items():
        assert counts[index] / 6000 == pytest.approx(share, abs=0.025)


def test_an_image_alone_in_its_class_is_said_and_paired_with_itself(grey, partners):
    assert partners.alone == ["image4"]
    assert {partners.draw(4, random.Random(seed)) for seed in range(9)} == {4}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Partners(Grey(LABELS[:4])).alone == []


def test_other_images_only(grey):
    with pytest.warns(UserWarning):
        partners = Partners(grey, with_itself=False)
    rng = random.Random(2)
    assert {partners.draw(0, rng) for _ in range(50)} == {1, 2}
    assert partners.draw(4, rng) == 4 and partners.draw(5, rng) == 5


def pairs_of(grey, partners, transform=None, epoch=0, **options):
    loader = make_pair_loader(grey, transform or WholeImage(IMAGENET), partners, seed=5, **options)
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_batches_hold_images_and_their_partners(grey, partners):
    batches = pairs_of(grey, partners, batch_size=3)
    assert [len(batch) for batch in batches] == [3, 3]
    for batch in batches:
        as_one = batch.concatenated()
        for name, other, labels, other_labels, union in zip(
            batch.first.ids,
            batch.second.ids,
            batch.first.class_labels,
            batch.second.class_labels,
            as_one.class_labels,
            strict=True,
        ):
            assert (labels * other_labels).sum() > 0 or name == other
            assert union.tolist() == ((labels + other_labels) > 0).float().tolist()
        assert batch.ids == [f"{a}+{b}" for a, b in zip(batch.first.ids, batch.second.ids, strict=True)]
        values = IMAGENET.denormalize(batch.second.images)[:, 0, 0, 0] * 255
        assert [f"image{round(value)}" for value in values.tolist()] == batch.second.ids
        assert as_one.images.shape == (3, 3, 18, 7) and as_one.masks.shape == (3, 18, 7)
        assert torch.equal(as_one.images[:, :, :9], batch.first.images)
        assert torch.equal(as_one.images[:, :, 9:], batch.second.images)
        assert as_one.ids == batch.ids and as_one.sizes == [(18, 7)] * 3
        assert len(batch.concatenated(2)) == len(batch.concatenated(2).images) == 2
    assert batches[0].to("meta").second.images.device.type == "meta"


def test_pairs_depend_on_seed_epoch_and_image_only(grey, partners):
    one, other = (pairs_of(grey, partners, batch_size=3) for _ in range(2))
    smaller = pairs_of(grey, partners, batch_size=1)
    pairs = [pair for batch in one for pair in batch.ids]
    assert pairs == [pair for batch in other for pair in batch.ids] == [pair for batch in smaller for pair in batch.ids]
    further = [pairs_of(grey, partners, batch_size=3, epoch=epoch) for epoch in (1, 2)]
    assert any(set(pairs) != {pair for batch in batches for pair in batch.ids} for batches in further)
    with_workers = pairs_of(grey, partners, batch_size=3, num_workers=1)
    assert pairs == [pair for batch in with_workers for pair in batch.ids]


def test_an_image_paired_with_itself_is_seen_twice_differently(grey, partners):
    """Also where it is smaller than the crop: it lies at another place of the canvas."""
    grey.size = (40, 30)
    (batch,) = pairs_of(grey, partners, LongSideCrop(IMAGENET, 48, (24, 40), jitter=False), batch_size=6)
    assert batch.first.images.shape == batch.second.images.shape == (6, 3, 48, 48)
    alone = batch.first.ids.index("image4")
    assert batch.second.ids[alone] == "image4"
    assert not torch.equal(batch.first.images[alone], batch.second.images[alone])
    assert (batch.first.masks[alone] == 255).any() and (batch.first.images[alone] == 0).any()


def test_too_few_images(grey, partners):
    with pytest.raises(ValueError, match="use a smaller batch_size"):
        make_pair_loader(grey, WholeImage(IMAGENET), partners, batch_size=7, seed=0)
