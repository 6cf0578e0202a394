"""Class mixing of BECO: the pixels of some classes of one image pasted into its partner, with their labels.

A batch is two halves; image i of the first and image i of the second are partners. Results alternate: 2i is the
image of the first half with classes of the second pasted in, 2i + 1 the other way round.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.data.mixing import MixingDraws

IGNORE = 255


class Mixed(NamedTuple):
    """``images`` [B, 3, H, W], ``labels`` int64, ``confident`` and ``boundary`` 0 or 1, all [B, H, W]."""

    images: Tensor
    labels: Tensor
    confident: Tensor
    boundary: Tensor


class Choices(NamedTuple):
    """What chance decides: whether result n is mixed, bool [B], and the labels pasted, bool [B, K + 1]."""

    mixed: Tensor
    classes: Tensor


def alternate(first: Tensor, second: Tensor) -> Tensor:
    """Rows of both in turn.

    >>> alternate(torch.tensor([0, 1]), torch.tensor([2, 3]))
    tensor([0, 2, 1, 3])
    """
    return torch.stack((first, second), 1).flatten(0, 1)


def partners(num_images: int) -> tuple[Tensor, Tensor]:
    """For each result, the place of the image that is pasted into and of the one that is pasted.

    Raises:
        ValueError: the images cannot be halved.

    >>> partners(4)
    (tensor([0, 2, 1, 3]), tensor([2, 0, 3, 1]))
    """
    if num_images < 2 or num_images % 2:
        raise ValueError(f"{num_images} images cannot be mixed in pairs; take an even batch of at least 2 images")
    first, second = torch.arange(num_images).chunk(2)
    return alternate(first, second), alternate(second, first)


def source_labels(labels: Tensor, confident: Tensor) -> Tensor:
    """Labels that may be pasted: ignored where they are in doubt (BECO, after warm-up)."""
    return torch.where(confident.bool(), labels, IGNORE)


def draw_choices(
    labels: Tensor, num_labels: int, draws: MixingDraws, *, probability: float = 0.5, ignore_background: bool = True
) -> Choices:
    """Which results are mixed, and half of the classes of the pasted image, rounded up.

    Args:
        labels: that may be pasted, [B, H, W], 255 for none.
        num_labels: K + 1.
        draws: random numbers of the batch.
        probability: of a result to be mixed.
        ignore_background: background is never pasted.
    """
    _, pasted = partners(len(labels))
    mixed = torch.rand(len(labels), generator=draws.torch) < probability
    codes = labels.cpu().long()[pasted].flatten(1).clamp(max=num_labels)  # 255 becomes one label more
    present = torch.zeros(len(labels), num_labels + 1, dtype=torch.bool).scatter_(1, codes, True)[:, :num_labels]
    if ignore_background:
        present[:, 0] = False
    lots = torch.rand(present.shape, generator=draws.torch).masked_fill(~present, -1)
    rank = lots.argsort(1, descending=True).argsort(1)
    return Choices(mixed, rank < (present.sum(1, keepdim=True) + 1) // 2)


def mix_classes(
    images: Tensor, labels: Tensor, confident: Tensor, choices: Choices, *, online: tuple | None = None, size: int = 1
) -> Mixed:
    """Paste, and say where the outline of what was pasted runs.

    Before warm-up all labels are those given and the boundary is 0. Afterwards ``online`` labels take their place in
    the mixed results, and only confident ones are pasted; results that are not mixed keep the given ones.

    Args:
        images: [B, 3, H, W].
        labels, confident: given labels, and 1 where they are trusted, [B, H, W].
        choices: see :func:`draw_choices`; drawn from :func:`source_labels` of the on-line labels after warm-up.
        online: labels and confidence that the networks find themselves, or None before warm-up.
        size: width of the boundary on either side, px.
    """
    base, pasted = (index.to(images.device) for index in partners(len(images)))
    new_labels, new_confident = (labels, confident) if online is None else online
    source = labels if online is None else source_labels(*online)
    mixed, classes = choices.mixed.to(images.device), choices.classes.to(images.device)
    inside = chosen_pixels(source[pasted], classes) & mixed[:, None, None]

    def paste(given: Tensor, new: Tensor) -> Tensor:
        below = new[base] if new is given else torch.where(mixed[:, None, None], new[base], given[base])
        return torch.where(inside, new[pasted], below).long()

    return Mixed(
        images=torch.where(inside[:, None], images[pasted], images[base]),
        labels=paste(labels, new_labels),
        confident=paste(confident, new_confident),
        boundary=(torch.zeros_like(inside) if online is None else boundary(inside, size)).long(),
    )


def chosen_pixels(labels: Tensor, classes: Tensor) -> Tensor:
    """Where the label is one of the classes of its image, bool [B, H, W].

    >>> chosen_pixels(torch.tensor([[[0, 1, 255]]]), torch.tensor([[False, True]]))
    tensor([[[False,  True, False]]])
    """
    known = F.pad(classes, (0, 1))  # 255 is looked up in the column added
    codes = labels.long().clamp(max=classes.shape[1]).flatten(1)
    return known.gather(1, codes).view(labels.shape)


def boundary(inside: Tensor, size: int = 1) -> Tensor:
    """Pixels whose square neighbourhood of side 2 size + 1 holds both values; nothing beyond the border counts.

    Args:
        inside: bool [B, H, W].
        size: px, at least 1.

    >>> boundary(torch.tensor([[[True, False, False, False]]]))
    tensor([[[ True,  True, False, False]]])
    """
    if size < 1:
        raise ValueError(f"a boundary of {size} px has no pixels; take 1 or more")
    return dilate(inside, size) & dilate(~inside, size)


def dilate(inside: Tensor, size: int) -> Tensor:
    """Whether any pixel of the square neighbourhood is inside, bool [B, H, W]; rows first, then columns."""
    for axis in (1, 2):
        grown = inside.clone()
        length = inside.shape[axis]
        for shift in range(1, min(size, length - 1) + 1):
            near, far = inside.narrow(axis, 0, length - shift), inside.narrow(axis, shift, length - shift)
            grown.narrow(axis, shift, length - shift).logical_or_(near)
            grown.narrow(axis, 0, length - shift).logical_or_(far)
        inside = grown
    return inside
