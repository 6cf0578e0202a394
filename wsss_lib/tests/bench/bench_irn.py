"""Speed of IRN: the walk held back by boundaries, the losses at radius 10, and confidence masks."""

import io
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.labels.affinity_labels import pair_labels
from wsss_lib.labels.boundary_walk import walk_by_boundaries
from wsss_lib.labels.confidence import confidence_mask
from wsss_lib.labels.pair_paths import path_affinities, path_displacements, path_points
from wsss_lib.labels.pixel_pairs import pair_indices
from wsss_lib.losses.affinity import affinity_terms
from wsss_lib.losses.displacement import displacement_terms
from wsss_lib.tests.bench import benchmark

DISPLACEMENTS, BETA, STEPS = path_displacements(5), 10, 256
SMALL = (47, 63)  # a VOC image at stride 8; IRN works at stride 4


def maps_of_a_photograph(size):
    generator = torch.Generator().manual_seed(0)
    boundaries = F.interpolate(torch.rand(1, 1, 12, 16, generator=generator) ** 4, size, mode="bilinear")[0, 0]
    return torch.rand(2, *size, generator=generator), boundaries


def path_tables(size, displacements):
    """Pixels of all paths, a table [paths, points, sources] for each number of points, as the authors keep them."""
    sources, _ = pair_indices(*size, displacements)
    tables = []
    for _, group in groupby(map(path_points, displacements), key=len):
        offsets = torch.tensor([[y * size[1] + x for y, x in path] for path in group])
        tables.append(offsets[..., None] + sources)
    return tables


def gathered_affinities(boundaries, tables):
    """[B, D, n] by index and max pooling."""
    flat = boundaries.flatten(1)
    found = []
    for table in tables:
        values = flat.index_select(1, table.flatten()).view(len(flat), *table.shape)
        found.append((1 - F.max_pool2d(values, (table.shape[1], 1))).squeeze(2))
    return torch.cat(found, dim=1)


def dense_transition(boundaries, tables, displacements):
    """Columns sum to one; the map is surrounded by boundaries."""
    (height, width), radius = boundaries.shape, 5
    size = height + radius, width + 2 * radius
    surrounded = F.pad(boundaries, (radius, radius, 0, radius), value=1.0)
    sources, destinations = pair_indices(*size, displacements)
    dense = torch.eye(size[0] * size[1])
    dense[sources, destinations] = dense[destinations, sources] = gathered_affinities(surrounded[None], tables)[0]
    dense = dense.view(*size, *size)[:-radius, radius:-radius, :-radius, radius:-radius]
    dense = dense.reshape(height * width, height * width) ** BETA
    return dense / dense.sum(0, keepdim=True)


def padded(size):
    return size[0] + 5, size[1] + 10


@benchmark("IRN random walk, 47 x 63 px, 256 steps, 2 classes", ratio=21)
def walk_at_stride_8():
    """The authors square a dense matrix eight times; the library applies a sparse one 256 times to a few rows."""
    scores, boundaries = maps_of_a_photograph(SMALL)
    tables = path_tables(padded(SMALL), DISPLACEMENTS)

    def slow():
        transition = dense_transition(boundaries, tables, DISPLACEMENTS)
        for _ in range(8):
            transition = transition @ transition
        return ((scores * (1 - boundaries)).flatten(1) @ transition).view_as(scores)

    return slow, lambda: next(walk_by_boundaries(scores, boundaries, DISPLACEMENTS, beta=BETA, steps=[STEPS]))


def beside_one_squaring(size):
    """Larger maps beside one of the eight squarings at 47 x 63, since all of them would take minutes.

    What is compared is double precision.
    """
    scores, boundaries = maps_of_a_photograph(size)
    walk = {"beta": BETA, "steps": [STEPS]}
    (exact,) = walk_by_boundaries(scores, boundaries.double(), DISPLACEMENTS, **walk)
    yardstick = dense_transition(
        maps_of_a_photograph(SMALL)[1], path_tables(padded(SMALL), DISPLACEMENTS), DISPLACEMENTS
    )

    def slow():
        yardstick @ yardstick
        return exact

    def fast():
        (walked,) = walk_by_boundaries(scores, boundaries, DISPLACEMENTS, **walk)
        assert ((walked - exact) / exact).abs().max() <= 1e-3, "relative error against double precision"
        return walked

    return slow, fast


@benchmark("IRN random walk, 70 x 94 px (slow: a squaring, 47 x 63)", ratio=4.2 / 8 / 0.8)
def walk_of_three_quarters():
    return beside_one_squaring((70, 94))


@benchmark("IRN random walk, 94 x 125 px (slow: as above)", ratio=4.2 / 8 / 1.0)
def walk_of_a_photograph():
    return beside_one_squaring((94, 125))


@benchmark("IRN losses, radius 10, 128 x 128 px, with gradients", ratio=2)
def losses_of_a_crop():
    """The authors gather all paths by a table of 27.9 million pixels; the library shifts slices."""
    displacements, generator = path_displacements(10), torch.Generator().manual_seed(0)
    logits = torch.randn(1, 128, 128, generator=generator).requires_grad_()
    fields = torch.randn(1, 2, 128, 128, generator=generator).requires_grad_()
    label_maps = torch.tensor([0, 3, 255])[torch.randint(0, 3, (1, 16, 16), generator=generator)]
    label_maps = label_maps.repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels = pair_labels(label_maps, displacements)  # made by the loader in the authors' code
    background, foreground, negative = (pairs.float() for pairs in labels)
    tables = path_tables((128, 128), displacements)
    sources, destinations = pair_indices(128, 128, displacements)
    wanted = torch.tensor(displacements, dtype=torch.float).T[None, :, :, None]

    def gradients(terms):
        total = torch.stack(terms).sum()
        return torch.cat([grad.flatten() for grad in torch.autograd.grad(total, [logits, fields])])

    def mean(values, pairs, factor=1):
        return (values * pairs).sum() / (factor * pairs.sum() + 1e-5)

    def slow():
        affinities = gathered_affinities(logits.sigmoid(), tables)
        flat = fields.flatten(2)
        there = flat.index_select(2, destinations.flatten()).view(1, 2, *destinations.shape)
        difference = flat.index_select(2, sources).unsqueeze(2) - there
        like, unlike = -(affinities + 1e-5).log(), -(1 + 1e-5 - affinities).log()
        positive = mean(like, background) / 2 + mean(like, foreground) / 2
        centers = mean((difference - wanted).abs(), foreground, 2) + mean(difference.abs(), background, 2)
        return gradients([positive / 2, mean(unlike, negative) / 2, centers / 2])

    def fast():
        terms = affinity_terms(path_affinities(logits.sigmoid(), displacements), labels)
        return gradients([*terms.values(), *displacement_terms(fields, labels, displacements).values()])

    return slow, fast


@benchmark("confidence mask, 375 x 500 px, 3 labels", seconds=0.03)
def mask_of_a_photograph():
    """The authors read the scores from a file, sort the margins of each label and write three channels."""
    torch.manual_seed(0)
    scores = F.interpolate(torch.rand(1, 3, 8, 10), (375, 500), mode="bicubic")[0]
    file = io.BytesIO()
    torch.save({"score": scores, "pred": scores.argmax(0)}, file)

    def slow():
        file.seek(0)
        stored = torch.load(file)
        score, pred = stored["score"].numpy(), stored["pred"].numpy()
        best = score.max(0)
        margins = best - np.where(score == best, 0, score).max(0)
        mask = np.zeros(pred.shape, np.uint8)
        for label in np.unique(pred):
            rows, columns = np.nonzero(pred == label)
            order = np.argsort(margins[rows, columns])
            chosen = order[len(order) - len(order) // 2 :]
            mask[rows[chosen], columns[chosen]] = 255
        Image.fromarray(np.repeat(mask[..., None], 3, axis=2)).save(io.BytesIO(), format="PNG")
        return mask > 0

    def fast():
        mask = confidence_mask(scores)
        Image.fromarray(255 * mask.numpy().astype(np.uint8)).save(io.BytesIO(), format="PNG")
        return mask

    return slow, fast
