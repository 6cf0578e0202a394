import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data._utils.pin_memory import pin_memory

from wsss_lib.data.batch import Draws, EpochSampler, Item, Sample, collate, make_loader
from wsss_lib.data.transforms import FlipZoom, LongSideCrop, WholeImage
from wsss_lib.networks.base import IMAGENET


class MadeImages:
    """Images in memory; counts how often each is read."""

    classes = ("a", "b", "c")
    has_labels = has_masks = True

    def __init__(self, num_images: int, side: int = 20, masks: bool = True):
        pixels = np.random.default_rng(0).integers(0, 256, (num_images, side, side + 4, 3), dtype=np.uint8)
        self.images = [Image.fromarray(image) for image in pixels]
        self.masks = [image[..., 0] % 4 if masks else None for image in pixels]
        self.class_labels = torch.eye(3)[torch.arange(num_images) % 3]
        self.ids = [f"image{index}" for index in range(num_images)]
        self.num_reads = [0] * num_images

    def __len__(self):
        return len(self.ids)

    def read(self, index):
        self.num_reads[index] += 1
        return Sample(self.ids[index], self.images[index], self.class_labels[index], self.masks[index])

    def fingerprint(self):
        return "made"


def epoch_of(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(one, other) -> bool:
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.masks, other.masks)
        and torch.equal(one.class_labels, other.class_labels)
        and (one.ids, one.sizes) == (other.ids, other.sizes)
    )


def test_draws_follow_the_two_generators_of_the_authors():
    draws = Draws(7)
    random.seed(7)
    torch.manual_seed(7)
    for _ in range(3):
        assert draws.randint(3, 900) == random.randint(3, 900)
        assert draws.random() == random.random()
        assert torch.equal(torch.rand(2, generator=draws.torch), torch.rand(2))
        assert torch.equal(torch.randperm(4, generator=draws.torch), torch.randperm(4))


def test_draws_of_items_differ():
    items = [(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)]
    assert len({Draws.of_item(*item).random() for item in items}) == len(items)
    assert Draws.of_item(1, 2, 3).random() == Draws.of_item(1, 2, 3).random()


def test_batch_holds_what_was_read():
    dataset = MadeImages(5)
    batches = list(make_loader(dataset, WholeImage(IMAGENET), batch_size=2, seed=0))
    assert [batch.ids for batch in batches] == [["image0", "image1"], ["image2", "image3"], ["image4"]]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    first = batches[0]
    assert (first.images.shape, first.images.dtype) == ((2, 3, 20, 24), torch.float32)
    assert (first.masks.dtype, first.sizes) == (torch.int64, [(20, 24)] * 2)
    assert np.array_equal(first.masks[1].numpy(), dataset.masks[1])
    assert torch.equal(first.class_labels, dataset.class_labels[:2])
    pixels = IMAGENET.denormalize(first.images) * 255
    assert np.allclose(pixels[1].permute(1, 2, 0).numpy(), np.asarray(dataset.images[1]), atol=1e-3)


def test_batch_moves_as_a_whole():
    batch = next(iter(make_loader(MadeImages(2), WholeImage(IMAGENET), batch_size=2, seed=0))).to("meta")
    assert {batch.images.device.type, batch.masks.device.type, batch.class_labels.device.type} == {"meta"}
    without = next(iter(make_loader(MadeImages(2, masks=False), WholeImage(IMAGENET), batch_size=2, seed=0)))
    assert without.to("meta").masks is None


def test_batch_is_pinned_as_a_whole(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: tensor + 1)  # stands for a GPU's memory
    batch = next(iter(make_loader(MadeImages(2), WholeImage(IMAGENET), batch_size=2, seed=0)))
    pinned = pin_memory(batch)  # what a loader does
    for name in ("images", "masks", "class_labels"):
        assert torch.equal(getattr(pinned, name), getattr(batch, name) + 1)
    assert (pinned.ids, pinned.sizes) == (batch.ids, batch.sizes)


def test_different_sizes_in_one_batch():
    items = [Item(torch.zeros(3, 4, side), torch.zeros(1), None, f"image{side}", (4, side)) for side in (5, 5, 6)]
    assert len(collate(items[:2])) == 2
    with pytest.raises(ValueError, match="image5 is 4 x 5, image6 is 4 x 6; use batch_size 1"):
        collate(items)


@pytest.mark.parametrize("transform", [FlipZoom(IMAGENET), LongSideCrop(IMAGENET, crop=16, long_side=(12, 30))])
def test_workers_and_threads_do_not_matter(transform):
    threads = torch.get_num_threads()
    loaders = [
        make_loader(MadeImages(12), transform, batch_size=4, seed=3, shuffle=True, num_workers=workers)
        for workers in (0, 1, 2)
    ]
    try:
        for epoch in (0, 1, 0):
            torch.rand(epoch + 1), random.random(), np.random.rand()  # the global generators do not matter either
            torch.set_num_threads(1 + epoch)
            one, *others = [epoch_of(loader, epoch) for loader in loaders]
            for other in others:
                assert all(map(same, one, other))
    finally:
        torch.set_num_threads(threads)


def test_another_epoch_or_seed_gives_other_images_in_another_order():
    def images(seed, epoch):
        loader = make_loader(MadeImages(12), FlipZoom(IMAGENET), batch_size=12, seed=seed, shuffle=True)
        (batch,) = epoch_of(loader, epoch)
        return batch

    first = images(0, 0)
    assert same(first, images(0, 0))
    for other in (images(1, 0), images(0, 1)):
        assert other.ids != first.ids
        assert sorted(other.ids) == sorted(first.ids)
        at = [other.ids.index(name) for name in first.ids]
        changed = (other.images[at] != first.images).flatten(1).any(1)
        assert changed.float().mean() > 0.9


def test_the_image_of_an_item_does_not_depend_on_the_subset():
    loader = make_loader(MadeImages(12), FlipZoom(IMAGENET), batch_size=12, seed=0)
    part = make_loader(MadeImages(12), FlipZoom(IMAGENET), batch_size=2, seed=0, indices=[7, 2])
    (whole,), (pair,) = list(loader), list(part)
    assert pair.ids == ["image7", "image2"]
    assert torch.equal(pair.images, whole.images[[7, 2]])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("num_images", [1, 2, 7, 12])
def test_shards_are_equal_and_together_the_whole(num_images, world_size, shuffle):
    def order(rank, size, epoch):
        sampler = EpochSampler(range(num_images), seed=4, shuffle=shuffle)
        sampler.set_epoch(epoch)
        sampler.set_shard(rank, size)
        pairs = list(sampler)
        assert len(pairs) == len(sampler)
        assert {pair[0] for pair in pairs} == {epoch}
        return [index for _, index in pairs]

    single = order(0, 1, 2)
    assert sorted(single) == list(range(num_images))
    shards = [order(rank, world_size, 2) for rank in range(world_size)]
    assert len({len(shard) for shard in shards}) == 1
    together = [shard[place] for place in range(len(shards[0])) for shard in shards]
    assert together[:num_images] == single  # a batch of all processes is a batch of one
    assert together[num_images:] == (single * world_size)[: len(together) - num_images]


def test_shard_out_of_range():
    with pytest.raises(ValueError, match=r"rank 2 is not in 0\.\.1"):
        EpochSampler(range(4), seed=0, shuffle=False).set_shard(2, 2)


def test_decoded_images_are_kept_while_there_is_room():
    def reads(**options):
        dataset = MadeImages(4, side=10)
        loader = make_loader(dataset, WholeImage(IMAGENET), batch_size=2, seed=0, **options)
        for epoch in range(3):
            epoch_of(loader, epoch)
        return dataset.num_reads

    one_image = 10 * 14 * 5
    assert reads() == [1] * 4
    assert reads(cache=False) == [3] * 4
    assert reads(cache_bytes=2 * one_image) == [1, 1, 3, 3]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"indices": []}, "no image to load"),
        ({"drop_last": True, "batch_size": 5}, "4 images make no whole batch of 5"),
    ],
)
def test_nothing_to_load(options, message):
    with pytest.raises(ValueError, match=message):
        make_loader(MadeImages(4), WholeImage(IMAGENET), **{"batch_size": 2, "seed": 0, **options})


def test_incomplete_batch_can_be_dropped():
    loader = make_loader(MadeImages(5), WholeImage(IMAGENET), batch_size=2, seed=0, drop_last=True)
    assert len(loader) == len(list(loader)) == 2
