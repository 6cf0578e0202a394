"""A few images with masks among many with image labels: which ones, and batches that are half of each.

"Model Guidance via Explanations Turns Image Classifiers into Segmentation Models", arXiv 2407.03009.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader

from wsss_lib.data.batch import Dataset, ShardedSampler, Transform, TransformedItems, collate


def class_distribution(class_labels: ArrayLike | Tensor, uniform: float = 0.0) -> np.ndarray:
    """Share of each class among all labels, [K], mixed with a uniform one.

    Args:
        class_labels: [N, K], 0 or 1, foreground classes.
        uniform: weight of the uniform distribution, in [0, 1] (`uniform_masks` of the authors).

    >>> class_distribution([[1, 1], [1, 0], [1, 0]], uniform=0.5)
    array([0.625, 0.375])
    """
    if not 0 <= uniform <= 1:
        raise ValueError(f"uniform {uniform} is not in [0, 1]; 0 keeps the distribution of the masks, 1 evens it out")
    counts = np.asarray(class_labels, dtype=np.float64).sum(0)
    return uniform / len(counts) + (1 - uniform) * counts / max(counts.sum(), 1.0)


def choose_labelled(
    class_labels: ArrayLike | Tensor,
    num_masks: int,
    *,
    uniform: float = 0.0,
    seed: int = 0,
    form: str = "paper",
) -> np.ndarray:
    """Images that keep their mask, drawn so that the classes come near a wanted distribution.

    Each round looks for the class that is furthest behind, and draws an image that shows it and whose other classes are
    behind as well.

    Args:
        class_labels: [N, K] of the images that have a mask, foreground classes.
        num_masks: how many to keep; 0 keeps all.
        uniform: see :func:`class_distribution`.
        seed: of the draw (0 whatever the seed of the training, in the authors' code).
        form: "paper" keeps exactly ``num_masks``: where no image shows the class that is furthest behind, the next
            class counts. "official" draws nothing in such a round, and so keeps fewer, in the worst case none.

    Returns:
        Rows of ``class_labels``, in the order of the draw; all in order where all are kept.

    Raises:
        ValueError: more masks than there are, or an unknown form.

    >>> choose_labelled([[1, 0], [1, 0], [1, 0], [0, 1]], 2, uniform=1.0).tolist()
    [1, 3]
    """
    labels = np.asarray(class_labels, dtype=np.float64)
    if form not in ("official", "paper"):
        raise ValueError(f"form {form!r} is not known; choose official or paper")
    if not 0 <= num_masks <= len(labels):
        raise ValueError(f"{num_masks} masks asked for, {len(labels)} exist; ask for at most these, or 0 for all")
    if num_masks == 0:
        return np.arange(len(labels))
    wanted = class_distribution(labels, uniform)
    absent = np.flatnonzero(labels.sum(0) == 0)
    if len(absent):
        warnings.warn(f"no image with a mask shows the classes {absent.tolist()}; none can be kept", stacklevel=2)
        if form == "paper":
            wanted[absent] = 0

    rng, remaining, chosen = np.random.RandomState(seed), np.arange(len(labels)), []
    total, kept = float(num_masks), np.zeros(labels.shape[1])
    for _ in range(num_masks):
        need = np.maximum(wanted * total - kept, 0)
        if form == "paper":
            need = need * (labels[remaining].sum(0) > 0)
        weights = _draw_weights(labels[remaining], need)
        if weights.sum() <= 1e-6 and form == "paper":
            weights = np.ones(len(remaining))
        if weights.sum() <= 1e-6:
            continue
        index = rng.choice(remaining, 1, p=weights / weights.sum())[0]
        remaining = remaining[remaining != index]
        kept += labels[index]
        total += labels[index].sum() - 1  # an image of several classes counts for each of them
        chosen.append(index)
    return np.array(chosen, dtype=np.int64)


def _draw_weights(labels: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Weight of each image, [N]: the smallest need of its classes, 0 unless it shows the class of greatest need."""
    if need.sum() <= 0:
        return np.zeros(len(labels))
    share = need / need.sum()
    smallest = np.where(labels > 0, share, np.inf).min(1)
    return np.where(labels[:, share.argmax()] > 0, smallest, 0.0)


class HalfAndHalfSampler(ShardedSampler):
    """Each batch holds about as many images with masks as without; a shard is every so manieth batch.

    A batch has ``round(batch_size * share + fluctuation * (u - 0.5))`` images with masks, u uniform in [0, 1), at least
    none and at most all; the others have none. Both pools are shuffled, and again when they are used up. The images of
    an epoch depend on (seed, epoch) only; the numbers are those of the authors' sampler with its seed.

    Args:
        with_mask, without_mask: indices into the data set. Without the latter all images have masks (and the other way
            around): batches are then filled from one pool.
        batch_size: images per batch and process.
        num_batches: batches of an epoch, all processes together; by default as many as hold all images once.
        share: of the images with masks in a batch; 1 takes no others.
        fluctuation: width of the random number that is added.
        seed: not negative.

    Raises:
        ValueError: no image at all, an image in both pools, or a share outside [0, 1].
    """

    def __init__(
        self,
        with_mask: Sequence[int],
        without_mask: Sequence[int] = (),
        *,
        batch_size: int,
        seed: int,
        num_batches: int | None = None,
        share: float = 0.5,
        fluctuation: float = 1.0,
    ):
        self.with_mask = np.asarray(with_mask, dtype=np.int64)
        self.without_mask = np.asarray(without_mask, dtype=np.int64)
        num_images = len(self.with_mask) + len(self.without_mask)
        if not num_images:
            raise ValueError("no image to draw: both pools are empty")
        if both := set(self.with_mask.tolist()) & set(self.without_mask.tolist()):
            raise ValueError(f"the images {sorted(both)[:10]} are in both pools; an image has a mask or it has none")
        if not 0 <= share <= 1:
            raise ValueError(f"share {share} of images with masks is not in [0, 1]; 0.5 makes half of each batch")
        super().__init__(seed)
        self.batch_size = batch_size
        self.share, self.fluctuation = share, fluctuation
        self.num_batches = num_batches or -(-num_images // batch_size)
        self._restart()

    def __len__(self) -> int:
        return -(-self.num_batches // self.world_size) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        batches = self._epoch_batches(self.epoch)
        own = np.arange(self.rank, len(self) // self.batch_size * self.world_size, self.world_size)
        return ((self.epoch, int(index)) for index in batches[own % self.num_batches].ravel())

    def _restart(self) -> None:
        self._rng, self._next_epoch, self._batches = np.random.RandomState(self.seed), 0, None
        self._pools = [_Pool(indices, self._rng) for indices in (self.with_mask, self.without_mask)]

    def _epoch_batches(self, epoch: int) -> np.ndarray:
        """Indices, [num_batches, batch_size]; the random numbers of earlier epochs are drawn first."""
        if epoch < self._next_epoch - 1:
            self._restart()
        while self._next_epoch <= epoch:
            self._batches = self._draw()
            self._next_epoch += 1
        return self._batches

    def _draw(self) -> np.ndarray:
        for pool in self._pools:
            pool.place = 0
        batches = np.empty((self.num_batches, self.batch_size), np.int64)
        for batch in batches:
            count = self.batch_size * self.share + self.fluctuation * (self._rng.random_sample() - 0.5)
            count = min(max(round(count), 0), self.batch_size)
            if not len(self.without_mask) or not len(self.with_mask):
                count = self.batch_size if len(self.with_mask) else 0
            for slot in range(self.batch_size):
                for pool in self._pools:
                    pool.shuffle_at_start()
                batch[slot] = self._pools[slot >= count].take()
            batch[:] = self._rng.permutation(batch)
        return batches


class _Pool:
    """Indices in random order, from which one after the other is taken, round and round."""

    def __init__(self, indices: np.ndarray, rng: np.random.RandomState):
        self.indices, self.rng, self.place = indices, rng, 0

    def shuffle_at_start(self) -> None:
        """Another order while none has been taken of this one; called for every slot, as by the authors."""
        if self.place == 0:
            self.indices = self.rng.permutation(self.indices)

    def take(self) -> int:
        index = self.indices[self.place]
        self.place = (self.place + 1) % len(self.indices)
        return index


def make_half_and_half_loader(
    dataset: Dataset,
    transform: Transform,
    sampler: HalfAndHalfSampler,
    *,
    num_workers: int = 0,
    cache_bytes: int = 2**30,
) -> DataLoader:
    """Loader of :class:`wsss_lib.data.batch.Batch` in the order of the sampler.

    Args:
        dataset: images of both kinds have a mask here, one that is ignored (255) everywhere where there is none, see
            :class:`wsss_lib.data.partly_masked.PartlyMasked`.
        transform, num_workers, cache_bytes: as of :func:`wsss_lib.data.batch.make_loader`.
    """
    return DataLoader(
        TransformedItems(dataset, transform, sampler.seed, cache_bytes),
        batch_size=sampler.batch_size,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=collate,
    )
