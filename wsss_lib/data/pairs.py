"""Pairs of images that share a class (KTSE, ECCV 2024, stage 1)."""

import random
import warnings
from dataclasses import dataclass, field

import torch
from torch.utils.data import DataLoader

from wsss_lib.data.batch import (
    Batch,
    Dataset,
    Draws,
    EpochSampler,
    Item,
    Transform,
    TransformedItems,
    collate,
)


class Partners:
    """The images that an image may be paired with: those that share the class drawn.

    An image without a class is paired with itself, and so is one that is alone in its class, which is said once.

    Args:
        dataset: gives ``class_labels``, ``classes`` and ``ids``.
        with_itself: whether an image may be its own partner where its class has others, as in the authors' code.

    Attributes:
        alone: names of the images that are alone in one of their classes.
    """

    def __init__(self, dataset: Dataset, *, with_itself: bool = True):
        present = dataset.class_labels > 0
        self.with_itself = with_itself
        self.classes_of = [labels.nonzero().flatten().tolist() for labels in present]
        self.members = [labels.nonzero().flatten().tolist() for labels in present.T]
        lonely = {name: of[0] for name, of in zip(dataset.classes, self.members, strict=True) if len(of) == 1}
        self.alone = sorted({dataset.ids[index] for index in lonely.values()})
        if lonely:
            listed = ", ".join(f"{dataset.ids[index]} ({name})" for name, index in lonely.items())
            warnings.warn(
                f"paired with itself, because it is alone in its class: {listed}; give the class more images",
                stacklevel=2,
            )

    def draw(self, index: int, rng: random.Random) -> int:
        """A partner of the image: a random one of its classes, then a random image of that class."""
        if not self.classes_of[index]:
            return index
        members = self.members[rng.choice(self.classes_of[index])]
        others = members if self.with_itself else [member for member in members if member != index]
        return rng.choice(others or members)


@dataclass(frozen=True)
class PairBatch:
    """Two batches of equal size; the images of the same place share a class."""

    first: Batch
    second: Batch

    def __len__(self) -> int:
        return len(self.first)

    @property
    def ids(self) -> list[str]:
        """Names of both images of each pair."""
        return [f"{one}+{other}" for one, other in zip(self.first.ids, self.second.ids, strict=True)]

    def concatenated(self, num_pairs: int | None = None) -> Batch:
        """The second image of each pair below the first, as one image that has the classes of both.

        Args:
            num_pairs: the first ones only, as in the authors' code; None takes all.
        """
        first, second = self.first, self.second
        masks = None
        if first.masks is not None and second.masks is not None:
            masks = torch.cat([first.masks, second.masks], -2)[:num_pairs]
        return Batch(
            images=torch.cat([first.images, second.images], -2)[:num_pairs],
            class_labels=torch.maximum(first.class_labels, second.class_labels)[:num_pairs],
            masks=masks,
            ids=self.ids[:num_pairs],
            sizes=[(a[0] + b[0], max(a[1], b[1])) for a, b in zip(first.sizes, second.sizes, strict=True)][:num_pairs],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PairBatch":
        return PairBatch(self.first.to(device, non_blocking), self.second.to(device, non_blocking))

    def pin_memory(self) -> "PairBatch":
        return PairBatch(self.first.pin_memory(), self.second.pin_memory())


@dataclass
class PairedItems(TransformedItems):
    """Items and their partners, addressed by (epoch, index); both have random numbers of their own."""

    partners: Partners = field(kw_only=True)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Item, Item]:
        epoch, index = key
        rng = Draws.of_item(self.seed, epoch, len(self) + index)  # no first image has these numbers
        sample = self._read(self.partners.draw(index, rng))
        image, mask = self.transform(sample, rng)
        second = Item(image, sample.class_labels, mask, sample.id, (sample.image.height, sample.image.width))
        return super().__getitem__(key), second


def collate_pairs(items: list[tuple[Item, Item]]) -> PairBatch:
    return PairBatch(*(collate(of_pairs) for of_pairs in zip(*items, strict=True)))


def make_pair_loader(
    dataset: Dataset,
    transform: Transform,
    partners: Partners,
    *,
    batch_size: int,
    seed: int,
    num_workers: int = 0,
    cache_bytes: int = 2**30,
) -> DataLoader:
    """Loader of :class:`PairBatch` for training: another order and other partners in each epoch, whole batches only.

    Pairs depend on (seed, epoch, index) only, as all items of :func:`wsss_lib.data.batch.make_loader`.

    Args:
        dataset, transform, seed, num_workers, cache_bytes: as there.
        partners: of the images of the data set.
        batch_size: pairs per batch and process.

    Raises:
        ValueError: fewer images than a batch.
    """
    if len(dataset) < batch_size:
        raise ValueError(f"{len(dataset)} images make no whole batch of {batch_size} pairs; use a smaller batch_size")
    return DataLoader(
        PairedItems(dataset, transform, seed, cache_bytes, partners=partners),
        batch_size=batch_size,
        sampler=EpochSampler(range(len(dataset)), seed=seed, shuffle=True),
        drop_last=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=collate_pairs,
    )
