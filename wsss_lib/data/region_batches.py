"""Batches of images with the masks of their regions on a layer's grid, both through the same view."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wsss_lib.data.batch import Draws
from wsss_lib.data.regions import RegionDataset, random_view, validation_view
from wsss_lib.data.transforms import Normalization


@dataclass(frozen=True)
class RegionBatch:
    """Images and the regions in them.

    Attributes:
        images: normalized, [B, 3, crop, crop].
        masks: of all regions of all images, [n, h, w]; none is empty.
        image_of_mask: index of the image of each mask, int64 [n].
        words: of each mask.
        indices: of the images in the data set.
    """

    images: Tensor
    masks: Tensor
    image_of_mask: Tensor
    words: list[tuple[str, ...]]
    indices: list[int]


def region_batches(
    dataset: RegionDataset,
    normalization: Normalization,
    grid: tuple[int, int],
    *,
    short_side: int,
    crop: int,
    batch_size: int,
    indices: Sequence[int] | None = None,
    view: int = 0,
    seed: int = 0,
) -> Iterator[RegionBatch]:
    """All images of a data set, one after the other.

    Regions that vanish on the grid (too small, or outside the crop) are left out; their images stay.

    Args:
        dataset: images with regions.
        normalization: input scaling of the network.
        grid: rows and columns of the layer.
        short_side, crop: px, of the validation transform (256 and 224 in the papers).
        batch_size: images.
        indices: images to read; all by default.
        view: 0 is the validation transform; any other number a random crop, another one for each number.
        seed: of the random crops.
    """
    order = range(len(dataset)) if indices is None else list(indices)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        images, masks, image_of_mask, words = [], [torch.zeros(0, *grid)], [], []
        for place, index in enumerate(chosen):
            sample = dataset.read(index)
            size = sample.image.height, sample.image.width
            if view:
                seen = random_view(*size, Draws.of_item(seed, view, index), crop=crop)
            else:
                seen = validation_view(*size, short_side=short_side, crop=crop)
            images.append(seen.image(sample.image, normalization))
            on_grid = seen.masks(sample.masks, grid)
            kept = on_grid.flatten(1).any(1)
            masks.append(on_grid[kept])
            words += [of_region for of_region, keep in zip(sample.words, kept.tolist(), strict=True) if keep]
            image_of_mask += [place] * int(kept.sum())
        of_mask = torch.tensor(image_of_mask, dtype=torch.int64)
        yield RegionBatch(torch.stack(images), torch.cat(masks), of_mask, words, list(chosen))
