"""Instances from a displacement field: pixels that point to one center belong together (IRN, section 4.1)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor


class Instances(NamedTuple):
    """Instances of one image: confidence [N], pixels bool [N, H, W], place of the class among those present [N]."""

    scores: Tensor
    masks: Tensor
    places: Tensor


def find_centroids(displacement: Tensor, iterations: int = 300) -> Tensor:
    """Where each pixel ends up that follows the displacement field, read bilinearly and never leaving the map.

    Args:
        displacement: (dy, dx) to the center, px of the map, [2, h, w].
        iterations: at least as many as the map has pixels on its way to a center.

    Returns:
        Row and column, int64 [2, h, w].

    >>> find_centroids(torch.tensor([[[0.0, 0.0, 0.0]], [[1.0, 0.0, -1.0]]]))[1]
    tensor([[1, 1, 1]])
    """
    height, width = displacement.shape[1:]
    pixels = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).to(displacement)
    farthest = torch.tensor([height - 1, width - 1]).to(displacement).view(2, 1, 1)
    half = (farthest / 2).clamp(min=0.5)
    centroids = pixels
    for _ in range(iterations):
        grid = (centroids / half - 1).flip(0).permute(1, 2, 0)  # (x, y) in [-1, 1]
        moves = F.grid_sample(displacement[None], grid[None], padding_mode="border", align_corners=True)[0]
        centroids = torch.minimum((centroids + moves).clamp(min=0), farthest)
    return centroids.round().long()


def cluster_centroids(centroids: Tensor, displacement: Tensor, threshold: float = 2.5) -> Tensor:
    """Pixels whose centroids lie in one region of short displacements form one cluster.

    Args:
        centroids: from :func:`find_centroids`, [2, h, w].
        displacement: [2, h, w].
        threshold: displacements below it are short, px.

    Returns:
        int64 [h, w], clusters numbered from 0; those whose centroids lie in no region share one cluster, the first.

    >>> field = torch.tensor([[[0.0, 0.0, 0.0]], [[1.0, 9.0, -1.0]]])
    >>> cluster_centroids(torch.tensor([[[0, 0, 0]], [[0, 2, 2]]]), field)
    tensor([[0, 1, 1]])
    """
    short = displacement.norm(dim=0) < threshold
    regions = torch.from_numpy(ndimage.label(short.cpu().numpy())[0]).long()  # 4-connected
    reached = regions[centroids[0].cpu(), centroids[1].cpu()]
    return reached.unique(return_inverse=True)[1].to(displacement.device)


def instance_maps(maps: Tensor, clusters: Tensor) -> Tensor:
    """Each map cut into its clusters, [K, I, h, w] of maps [K, h, w] and clusters [h, w], numbered 0..I - 1."""
    cut = F.one_hot(clusters).permute(2, 0, 1)
    return maps[:, None] * cut


def connected_instances(scores: Tensor, masks: Tensor, places: Tensor, smallest: float) -> Instances:
    """Split masks into their 4-connected areas, one instance each.

    Args:
        scores: [N, H, W].
        masks: where each row is the label, bool [N, H, W].
        places: class of each row, [N].
        smallest: areas of fewer pixels get the score 0 (IRN: 1 % of the image).

    Returns:
        Areas row by row; their scores are the highest inside.

    >>> row, there = torch.tensor([[[0.9, 0.1, 0.5, 0.5]]]), torch.tensor([[[True, False, True, True]]])
    >>> found = connected_instances(row, there, torch.tensor([7]), 2)
    >>> found.scores, found.masks.int().flatten(1).tolist(), found.places
    (tensor([0.0000, 0.5000]), [[1, 0, 0, 0], [0, 0, 1, 1]], tensor([7, 7]))
    """
    found = []
    for score, mask, place in zip(scores, masks, places, strict=True):
        regions, number = ndimage.label(mask.cpu().numpy())  # 4-connected
        for region in range(1, number + 1):
            area = torch.from_numpy(regions == region).to(score.device)
            confidence = score[area].max() if area.sum() >= smallest else score.new_zeros(())
            found.append((confidence, area, place))
    if not found:
        return Instances(scores.new_zeros(0), masks[:0], places[:0])
    return Instances(*(torch.stack(column) for column in zip(*found, strict=True)))


def detect_instances(scores: Tensor, background_score: float, smallest: float) -> Instances:
    """Areas where a class and a cluster have the highest score, and that exceeds the background.

    Args:
        scores: after the walk, relative to the highest, [K, I, H, W]; K may be 0.
        background_score: what exceeds it is an object.
        smallest: see :func:`connected_instances`.

    Returns:
        Areas class by class, then cluster by cluster.
    """
    flat = scores.flatten(0, 1)
    winners = F.pad(flat, (0, 0, 0, 0, 1, 0), value=background_score).max(0).indices
    rows = torch.arange(len(flat), device=scores.device)
    masks = winners == rows[:, None, None] + 1
    return connected_instances(flat, masks, rows // max(1, scores.shape[1]), smallest)
