"""Cheaper boxes: for a share of the images only, and coarser than the objects (Rao et al., ICCV 2023, section 5.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wsss_lib.data.box_masks import Form, check_form
from wsss_lib.data.boxes import Box


class BoxBudget(NamedTuple):
    """What annotators were paid for: boxes on a share of the images, grown by a share of their sides."""

    share: float
    dilation: float = 0.0

    @property
    def name(self) -> str:
        """For scores and files.

        >>> BoxBudget(0.01).name, BoxBudget(1.0, 0.5).name
        ('1', '100_dilated_50')
        """
        return f"{100 * self.share:g}" + (f"_dilated_{100 * self.dilation:g}" if self.dilation else "")


def annotated_indices(num_images: int, share: float, seed: int) -> np.ndarray:
    """Images that keep their boxes, int [share * num_images] in rising order, drawn as in the authors' code.

    Args:
        num_images: of the training split.
        share: in (0, 1].
        seed: of numpy's old generator.

    Raises:
        ValueError: the share lies outside (0, 1], or is less than one image.

    >>> annotated_indices(5, 0.4, seed=0)
    array([0, 2])
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} annotated images is not in (0, 1]")
    number = int(share * num_images)
    if number < 1:
        raise ValueError(
            f"{share:g} of {num_images} images is less than one annotated image; take at least {1 / num_images:.2g}"
        )
    return np.sort(np.random.RandomState(seed).choice(num_images, size=number, replace=False))


def dilate_boxes(boxes: Sequence[Box], share: float, size: tuple[int, int], *, form: Form = "official") -> list[Box]:
    """Boxes grown by a share of their own sides, cut at the border of the image.

    Args:
        boxes: in px.
        share: 0.5 for "50 %"; not negative.
        size: height and width of the image, px.
        form: ``official``: the margin, in whole px, is added on each side, so that a side grows by twice the share, and
            boxes end at side - 1 at the latest; ``paper``: the side grows by the share.

    >>> dilate_boxes([(0, (50, 50, 70, 60))], 0.5, (224, 224))
    [(0, (40, 45, 80, 65))]
    >>> dilate_boxes([(0, (50, 50, 70, 60))], 0.5, (224, 224), form="paper")
    [(0, (45.0, 47.5, 75.0, 62.5))]
    """
    check_form(form)
    if share < 0:
        raise ValueError(f"boxes cannot grow by {share}; take 0.1 for 10 %")
    height, width = size
    dilated = []
    for label, (left, top, right, bottom) in boxes:
        across, down = share * (right - left), share * (bottom - top)
        across, down = (int(across), int(down)) if form == "official" else (across / 2, down / 2)
        last = 1 if form == "official" else 0
        dilated.append(
            (
                label,
                (
                    max(left - across, 0),
                    max(top - down, 0),
                    min(right + across, width - last),
                    min(bottom + down, height - last),
                ),
            )
        )
    return dilated
