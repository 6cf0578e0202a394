"""Speed of AffinityNet's pairs and of the random walk, at the size of a VOC image at stride 8."""

import torch

from wsss_lib.labels.pixel_pairs import pair_affinities, pair_displacements, pair_indices
from wsss_lib.labels.random_walk import random_walk, transition_matrix
from wsss_lib.tests.bench import benchmark

SIZE = (47, 63)  # ceil(375 / 8), ceil(500 / 8)


@benchmark("pair affinities, radius 5, 448 channels of 47 x 63", ratio=8.4)
def affinities_of_a_photograph():
    """The authors gather the channels of all destinations by index; the library shifts slices."""
    displacements = pair_displacements(5)
    features = torch.randn(1, 448, *SIZE)
    sources, destinations = pair_indices(*SIZE, displacements)

    def slow():
        flat = features.flatten(2)
        here = flat.index_select(2, sources).unsqueeze(2)
        there = flat.index_select(2, destinations.flatten()).unflatten(2, destinations.shape)
        return torch.exp(-(there - here).abs().mean(1))

    return slow, lambda: pair_affinities(features, displacements)


@benchmark("random walk, 47 x 63 px, 256 steps, 3 labels", ratio=29)
def walk_on_a_photograph():
    """The authors square a dense matrix eight times; the library applies a sparse one 256 times to a few rows."""
    displacements = pair_displacements(5)
    sources, destinations = pair_indices(*SIZE, displacements)
    affinities, scores = torch.rand(destinations.shape), torch.rand(3, *SIZE)
    num_pixels = SIZE[0] * SIZE[1]

    def slow():
        dense = torch.eye(num_pixels)
        dense[sources, destinations] = dense[destinations, sources] = affinities
        transition = dense**8
        transition = transition / transition.sum(0, keepdim=True)
        for _ in range(8):
            transition = transition @ transition
        return (scores.flatten(1) @ transition).view_as(scores)

    return slow, lambda: random_walk(scores, transition_matrix(affinities, SIZE, displacements, 8.0), 256)
