"""Pseudo labels of KTSE's training (ECCV 2024, stage 1): refined maps against a high and a low background score."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wsss_lib.labels.pixel_adaptive import DILATIONS, pixel_affinities, spread_scores

FORMS = ("official", "paper")
IGNORE = 255


def eight_bit(pixels: Tensor) -> Tensor:
    """RGB on the 0..1 scale, cut down to whole steps of 1/255 as the authors' code does before it compares colors.

    >>> eight_bit(torch.tensor([0.5, 1.0])) * 255
    tensor([127., 255.])
    """
    return pixels.mul(255).floor() / 255


def present_first(class_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Classes of each image, those present first, in as many columns as the batch needs, one at least.

    Args:
        class_labels: [B, K], positive where a class is present.

    Returns:
        Indices of classes, int64 [B, P], and whether the class is present, bool [B, P].

    >>> present_first(torch.tensor([[0, 1, 1], [0, 0, 1]]))[0]
    tensor([[1, 2],
            [2, 0]])
    """
    present = class_labels > 0
    most = max(1, int(present.sum(1).max()))
    classes = present.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    return classes, present.gather(1, classes)


@torch.no_grad()
def refined_labels(
    maps: Tensor,
    class_labels: Tensor,
    images: Tensor,
    *,
    background_scores: Sequence[float] = (0.3, 0.15),
    dilations: Sequence[int] = DILATIONS,
    iterations: int = 10,
    shrink: int = 2,
    denormalize: Callable[[Tensor], Tensor] | None = None,
    form: str = "official",
    eps: float = 1e-5,
) -> Tensor:
    """Labels of what is certain: foreground even against the high background score, background even against the low.

    Each map is divided by its maximum and put beside a constant background score; a softmax over background and the
    classes present is refined by color (:mod:`wsss_lib.labels.pixel_adaptive`) at a part of the size, and the best one
    is taken. What is foreground against the low score only is ignored.

    Args:
        maps: raw and of either sign, [B, K, h, w].
        class_labels: [B, K], positive where a class is present.
        images: RGB on the 0..1 scale, [B, 3, H, W], or what ``denormalize`` turns into that.
        background_scores: high and low, against normalized maps.
        dilations, iterations: of the refinement.
        shrink: factor by which images and maps are smaller while they are refined.
        denormalize: of the normalization of the images; their colors are then those of :func:`eight_bit`.
        form: "official" divides the map as it is, so that a map without a positive value changes its sign and covers
            the image; "paper" rectifies it before, so that such a class is given nowhere.
        eps: guard added to the maximum, in units of the maps.

    Returns:
        label_maps, int64 [B, H, W]: 0 background, map channel k is label k + 1, 255 ignored.

    Raises:
        ValueError: unknown form; background scores that are not a high and a low one.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is not known; choose official or paper")
    high_score, low_score = background_scores
    if high_score < low_score:
        raise ValueError(f"background scores {list(background_scores)} should be the high one, then the low one")
    if denormalize is not None:
        images = eight_bit(denormalize(images.float()))
    size = images.shape[-2:]
    small = tuple(max(1, side // shrink) for side in size)
    maps = (maps if form == "official" else maps.relu()).float()
    classes, present = present_first(class_labels.to(maps.device))
    maps = maps.gather(1, classes[..., None, None].expand(-1, -1, *maps.shape[-2:]))  # [B, P, h, w]
    highest = maps.amax((-2, -1), keepdim=True) + eps
    normalized_maps = maps / torch.where(highest == 0, 1.0, highest)
    normalized_maps = resize(resize(normalized_maps, size), small)
    affinities = pixel_affinities(resize(images.float(), small), dilations)
    absent = F.pad(~present, (1, 0))[..., None, None]  # background is never absent

    backgrounds = normalized_maps.new_tensor([high_score, low_score]).view(2, 1, 1, 1).expand(2, 1, *small)
    scores = torch.cat(
        [backgrounds.expand(len(maps), -1, -1, -1, -1), normalized_maps.unsqueeze(1).expand(-1, 2, -1, -1, -1)], 2
    )
    scores = scores.masked_fill(absent[:, None], -torch.inf).softmax(2)  # [B, 2, 1 + P, h', w']
    scores = spread_scores(scores.flatten(1, 2), affinities, dilations, iterations)
    best = resize(scores, size).unflatten(1, (2, -1)).argmax(2)  # [B, 2, H, W]
    labels_of = F.pad(classes + 1, (1, 0))  # [B, 1 + P]
    high, low = labels_of.gather(1, best.flatten(1)).view_as(best).unbind(1)
    return torch.where(high > 0, high, torch.where(low > 0, IGNORE, 0))


def resize(values: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(values, tuple(size), mode="bilinear", align_corners=False)
