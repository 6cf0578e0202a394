"""One sample, a batch, and a loader whose items do not depend on which process reads them, or when."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler as TorchSampler


@dataclass(frozen=True)
class Sample:
    """One image as it lies on disk.

    Attributes:
        id: name of the image in its data set.
        image: RGB.
        class_labels: float [K], 0 or 1.
        mask: uint8 [H, W], 0 background, 1..K, 255 ignore; None where there is none.
    """

    id: str
    image: Image.Image
    class_labels: Tensor
    mask: np.ndarray | None


class Dataset(Protocol):
    """What a loader and a notebook ask of a data set."""

    classes: tuple[str, ...]  # foreground classes, K of them
    ids: list[str]
    class_labels: Tensor  # [N, K], 0 if there are none
    has_labels: bool
    has_masks: bool

    def read(self, index: int) -> Sample: ...

    def __len__(self) -> int: ...

    def fingerprint(self) -> str: ...


class Draws(random.Random):
    """Random numbers for one item: the interface of ``random``, and a torch generator that starts from the same seed.

    The authors' transforms draw from both; ``Draws(7)`` gives what ``random.seed(7)`` and ``torch.manual_seed(7)`` do.

    >>> Draws(7).randint(0, 99) == random.Random(7).randint(0, 99)
    True
    """

    def __init__(self, seed: int):
        super().__init__(seed)
        self._first_seed = seed

    @classmethod
    def of_item(cls, seed: int, epoch: int, index: int) -> Self:
        """The numbers that belong to one item in one epoch of one run."""
        return cls(int(np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)[0] >> 1))

    @cached_property
    def torch(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._first_seed)


Transform = Callable[[Sample, Draws], tuple[Tensor, Tensor | None]]
"""A sample to its image [3, h, w] (normalized) and its mask [h, w] (or None)."""


@dataclass(frozen=True)
class Batch:
    """Images of one size.

    Attributes:
        images: normalized, [B, 3, H, W].
        class_labels: [B, K].
        masks: int64 [B, H, W], 0 background, 1..K, 255 ignore; None where the data set has none.
        ids: names of the images.
        sizes: height and width of each image before the transform, px.
    """

    images: Tensor
    class_labels: Tensor
    masks: Tensor | None
    ids: list[str]
    sizes: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Copy in page-locked memory; called by the loader where a GPU waits."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        masks = None if self.masks is None else change(self.masks)
        return replace(self, images=change(self.images), class_labels=change(self.class_labels), masks=masks)


class Item(NamedTuple):
    """A transformed sample: image [3, h, w], class labels [K], mask [h, w] or None, id, size before the transform."""

    image: Tensor
    class_labels: Tensor
    mask: Tensor | None
    id: str
    size: tuple[int, int]


def collate(items: Sequence[Item]) -> Batch:
    """Stack items of one size.

    Raises:
        ValueError: the images differ in size; the message names two of them.
    """
    first = items[0]
    for item in items:
        if item.image.shape != first.image.shape:
            (h, w), (other_h, other_w) = first.image.shape[-2:], item.image.shape[-2:]
            raise ValueError(
                f"images of different sizes in one batch: {first.id} is {h} x {w}, {item.id} is {other_h} x {other_w}; "
                "use batch_size 1, or a transform that crops or resizes to one size"
            )
    masks = [item.mask for item in items]
    return Batch(
        images=torch.stack([item.image for item in items]),
        class_labels=torch.stack([item.class_labels for item in items]),
        masks=None if any(mask is None for mask in masks) else torch.stack(masks).long(),
        ids=[item.id for item in items],
        sizes=[item.size for item in items],
    )


class ShardedSampler(TorchSampler[tuple[int, int]]):
    """Pairs (epoch, index), so that a worker knows which epoch an item is for; knows the share of its process."""

    def __init__(self, seed: int):
        self.seed = seed
        self.epoch, self.rank, self.world_size = 0, 0, 1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def set_shard(self, rank: int, world_size: int) -> None:
        """Read one of ``world_size`` equal shares; the last round is filled up from the beginning of the epoch.

        Raises:
            ValueError: there is no such share.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not in 0..{world_size - 1}")
        self.rank, self.world_size = rank, world_size


class EpochSampler(ShardedSampler):
    """Images in order, or in another order in each epoch.

    Order and shard depend on (seed, epoch, rank) only. With several processes, process r reads every ``world_size``-th
    image from the r-th on: batches of the processes together hold the images of one batch of a single process. All
    shards are equally long; the last round is filled up from the beginning of the epoch, so up to ``world_size - 1``
    images come twice.
    """

    def __init__(self, indices: Sequence[int], *, seed: int, shuffle: bool):
        super().__init__(seed)
        self.indices = np.asarray(indices, dtype=np.int64)
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.indices) // self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self.indices
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        order = np.resize(order, len(self) * self.world_size)  # repeats from the beginning
        return ((self.epoch, int(index)) for index in order[self.rank :: self.world_size])


@dataclass
class TransformedItems(TorchDataset):
    """A data set seen through a transform, addressed by (epoch, index); keeps decoded samples while there is room."""

    dataset: Dataset
    transform: Transform
    seed: int
    cache_bytes: int
    _cache: dict[int, Sample] = field(default_factory=dict)
    _cached_bytes: int = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        sample = self._read(index)
        image, mask = self.transform(sample, Draws.of_item(self.seed, epoch, index))
        return Item(image, sample.class_labels, mask, sample.id, (sample.image.height, sample.image.width))

    def _read(self, index: int) -> Sample:
        sample = self._cache.get(index)
        if sample is None:
            sample = self.dataset.read(index)
            pixels = sample.image.height * sample.image.width
            size = pixels * (4 if sample.mask is None else 5)  # PIL keeps RGB in four bytes
            worker = get_worker_info()
            if self._cached_bytes + size <= self.cache_bytes // (worker.num_workers if worker else 1):
                self._cache[index] = sample
                self._cached_bytes += size
        return sample


def make_loader(
    dataset: Dataset,
    transform: Transform,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = False,
    drop_last: bool = False,
    num_workers: int = 0,
    indices: Sequence[int] | None = None,
    cache: bool = True,
    cache_bytes: int = 2**30,
    pin_memory: bool = False,
) -> DataLoader:
    """Loader of :class:`Batch`; call ``loader.sampler.set_epoch(epoch)`` before each epoch.

    Every item is transformed with random numbers that depend on (seed, epoch, index) only, so that any number of
    workers and processes gives the same batches.

    Args:
        dataset: see :class:`Dataset`.
        transform: see ``Transform``; it must be picklable when there are workers.
        batch_size: images per batch and process.
        seed: not negative.
        shuffle: another order in each epoch.
        drop_last: leave out an incomplete last batch.
        num_workers: reading processes; 0 reads in this process.
        indices: read these images only, in this order if not shuffled.
        cache: keep decoded images from one epoch to the next.
        cache_bytes: room for them, shared among the workers; images beyond it are decoded again each time.
        pin_memory: copy batches to page-locked memory. It starts CUDA, after which a notebook cannot fork the processes
            of a training on several GPUs.

    Raises:
        ValueError: no image, or not one whole batch with ``drop_last``.
    """
    indices = range(len(dataset)) if indices is None else indices
    if len(indices) == 0:
        raise ValueError("no image to load: the list of indices is empty")
    if drop_last and len(indices) < batch_size:
        raise ValueError(
            f"{len(indices)} images make no whole batch of {batch_size}; use a smaller batch_size or keep the last one"
        )
    return DataLoader(
        TransformedItems(dataset, transform, seed, cache_bytes if cache else 0),
        batch_size=batch_size,
        sampler=EpochSampler(indices, seed=seed, shuffle=shuffle),
        drop_last=drop_last,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=collate,
        pin_memory=pin_memory,
    )
