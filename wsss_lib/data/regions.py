"""Images whose regions carry words; image and masks seen through the same crop, masks reduced to a layer's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wsss_lib.data.batch import Draws
from wsss_lib.data.transforms import Normalization, normalized, to_pixels


@dataclass(frozen=True)
class RegionSample:
    """One image with its annotated regions.

    Attributes:
        id: name of the image in its data set.
        image: RGB.
        words: the words of each region; several for a name such as "traffic light".
        masks: [n, H, W], 0 outside a region.
    """

    id: str
    image: Image.Image
    words: list[tuple[str, ...]]
    masks: np.ndarray


class RegionDataset(Protocol):
    """What a notebook asks of a data set of regions; images are read one by one."""

    ids: list[str]
    words: list[list[tuple[str, ...]]]  # per image, the words of each region, known without reading the image

    def read(self, index: int) -> RegionSample: ...

    def __len__(self) -> int: ...

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class View:
    """One crop of an image: resize the whole, cut a box, resize the box, perhaps mirror it.

    Attributes:
        source: height and width of the image, px.
        resized: height and width that the whole image gets first, px.
        box: left, top, right, bottom in the resized image, px.
        size: side of the result, px.
        mirrored: whether left and right are exchanged in the end.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    box: tuple[int, int, int, int]
    size: int
    mirrored: bool = False

    def image(self, image: Image.Image, normalization: Normalization) -> Tensor:
        """Network input of the crop, float [3, size, size]; bilinear.

        Raises:
            ValueError: the image has another size than the view was made for.
        """
        if (image.height, image.width) != self.source:
            raise ValueError(f"a view of {self.source} px (height, width) got an image of {image.height, image.width}")
        if self.resized != self.source:
            image = image.resize(self.resized[::-1], Image.Resampling.BILINEAR)
        image = image.crop(self.box)
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = normalized(to_pixels(image), normalization)
        return pixels.flip(-1) if self.mirrored else pixels

    def masks(self, masks: np.ndarray, grid: tuple[int, int]) -> Tensor:
        """The same crop of masks on a grid, float [n, rows, columns]; nearest neighbour all the way, values kept.

        A mask smaller than a cell may vanish. The resizes are one look-up, so that the cost is that of the grid.

        Args:
            masks: [n, H, W] of the image's size.
            grid: rows and columns of the layer.
        """
        if masks.shape[1:] != self.source:
            raise ValueError(f"a view of {self.source} px (height, width) got masks of {masks.shape[1:]}")
        rows, columns = self.cells(grid)
        return torch.from_numpy(masks[:, rows][:, :, columns].astype(np.float32))

    def cells(self, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the image that each row and column of a grid shows.

        >>> validation_view(4, 8, short_side=4, crop=4).cells((2, 2))
        (array([1, 3]), array([3, 5]))
        """
        left, top, right, bottom = self.box
        found = []
        for axis, (low, high) in enumerate(((top, bottom), (left, right))):
            in_crop = nearest_index(self.size, grid[axis])
            in_resized = low + nearest_index(high - low, self.size)[in_crop]
            found.append(nearest_index(self.source[axis], self.resized[axis])[in_resized])
        rows, columns = found
        return rows, columns[::-1] if self.mirrored else columns


def nearest_index(old: int, new: int) -> np.ndarray:
    """Index of the old axis that each place of the new one takes, as PIL's nearest-neighbour resize.

    PIL adds the step up from place to place; so does this, so that places between two pixels are rounded alike.

    >>> nearest_index(4, 2), nearest_index(2, 4)
    (array([1, 3]), array([0, 0, 1, 1]))
    """
    steps = np.full(new, old / new)
    steps[0] /= 2
    return steps.cumsum().astype(np.intp)


def validation_view(height: int, width: int, *, short_side: int, crop: int) -> View:
    """Shorter side resized, square cut from the middle: the ``val`` transform of the papers (256 and 224 px).

    Raises:
        ValueError: the crop is larger than the resized image.
    """
    if crop > short_side:
        raise ValueError(f"a crop of {crop} px does not fit into a shorter side of {short_side} px; choose it smaller")
    if height <= width:
        resized = short_side, int(short_side * width / height)
    else:
        resized = int(short_side * height / width), short_side
    top, left = (round((side - crop) / 2) for side in resized)
    return View((height, width), resized, (left, top, left + crop, top + crop), crop)


def random_view(height: int, width: int, rng: Draws, *, crop: int, smallest: float = 0.08) -> View:
    """Box of random area and aspect ratio resized to the crop, mirrored in half of the cases (``train`` transform).

    Departs from the authors' code, which cuts the image at random and its mask from the middle: both go through this.

    Args:
        crop: side of the result, px.
        smallest: least area of the box as a share of the image, in (0, 1]; the aspect ratio lies in [3/4, 4/3].
    """
    for _ in range(10):
        area = height * width * rng.uniform(smallest, 1)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        wide, high = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            break
    else:
        wide = high = min(height, width)
    left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
    return View((height, width), (height, width), (left, top, left + wide, top + high), crop, rng.random() < 0.5)


def boxes_to_masks(boxes: Sequence[tuple[float, float, float, float]], size: tuple[int, int]) -> np.ndarray:
    """Boxes (x, y, width, height; px) drawn into an image of height and width ``size``, uint8 [n, H, W].

    What lies outside the image is cut off.

    >>> boxes_to_masks([(-1, 0, 2, 1)], (2, 2)).tolist()
    [[[1, 0], [0, 0]]]
    """
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (x, y, width, height) in zip(masks, boxes, strict=True):
        mask[max(0, round(y)) : max(0, round(y + height)), max(0, round(x)) : max(0, round(x + width))] = 1
    return masks
