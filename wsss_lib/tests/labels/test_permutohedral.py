import itertools
import math

import pytest
import torch

from wsss_lib.labels.permutohedral import permutohedral_lattice


def filtered_slowly(features, values):
    """Adams et al., section 3, point by point: elevate, round, rank, splat into a dict, blur, slice."""
    d = features.shape[1]
    table, places = {}, []
    for feature, value in zip(features.tolist(), values, strict=True):
        elevated = elevate(feature)
        remainder0 = [round(x / (d + 1)) * (d + 1) for x in elevated]
        excess = sum(remainder0) // (d + 1)
        residual = [x - r for x, r in zip(elevated, remainder0, strict=True)]
        rank = [0] * (d + 1)
        for i, j in itertools.combinations(range(d + 1), 2):
            rank[i if residual[i] < residual[j] else j] += 1
        for i in range(d + 1):
            rank[i] += excess
            shift = (d + 1) * ((rank[i] < 0) - (rank[i] > d))
            rank[i] += shift
            remainder0[i] += shift
        barycentric = [0.0] * (d + 2)
        for x, r, i in zip(elevated, remainder0, rank, strict=True):
            barycentric[d - i] += (x - r) / (d + 1)
            barycentric[d + 1 - i] -= (x - r) / (d + 1)
        barycentric[0] += 1 + barycentric[d + 1]
        corners = [
            tuple(r + k - (d + 1 if i > d - k else 0) for r, i in zip(remainder0, rank, strict=True))
            for k in range(d + 1)
        ]
        places.append(list(zip(corners, barycentric[: d + 1], strict=True)))
        for corner, weight in places[-1]:
            table[corner] = table.get(corner, 0) + weight * value
    for axis in range(d + 1):
        blurred = {}
        for vertex, value in table.items():
            around = [tuple(x + s - (d + 1) * s * (i == axis) for i, x in enumerate(vertex)) for s in (-1, 1)]
            blurred[vertex] = value + sum(table.get(neighbor, 0) for neighbor in around) / 2
        table = blurred
    sums = [sum(weight * table[corner] for corner, weight in place) for place in places]
    return torch.stack(sums) / (1 + 2.0**-d)


def elevate(feature):
    d = len(feature)
    scaled = [x * (d + 1) * math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2)) for i, x in enumerate(feature)]
    return [sum(scaled[i:]) - (i * scaled[i - 1] if i else 0) for i in range(d + 1)]


def pixel_grid(d):
    """A plane of pixels with all other features zero: every point lies on many cell borders at once."""
    return torch.nn.functional.pad(torch.cartesian_prod(torch.arange(4.0), torch.arange(5.0)) / 3, (0, d - 2))


POINTS = [
    *(pytest.param(lambda d=d: torch.randn(30, d) * 2, id=f"{d} random axes") for d in (1, 2, 3, 5)),
    pytest.param(lambda: pixel_grid(5), id="pixels of a black image"),
    pytest.param(lambda: torch.randn(20, 5) * torch.tensor([1, 1, 1, 300, 300]), id="keys beyond 32 bits"),
]


@pytest.mark.parametrize("points", POINTS)
def test_filter_equals_the_paper_point_by_point(points):
    features = points()
    values = torch.rand(len(features), 3)
    lattice = permutohedral_lattice(features)
    torch.testing.assert_close(lattice.filter(values), filtered_slowly(features, values), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lattice.weights.sum(1), torch.ones(len(features)))
    assert lattice.weights.min() >= 0 and len(lattice.vertices.unique()) == lattice.num_vertices


@pytest.mark.parametrize("d", [1, 2, 5])
def test_local_means_are_about_those_of_the_gaussian_of_all_pairs(d):
    features = 3 * torch.rand(2000, d)
    values = torch.stack((features.sum(1).sin(), torch.ones(2000)), 1)

    def local_means(filtered):
        return filtered[:, 0] / filtered[:, 1]

    exact = local_means((torch.cdist(features, features) ** 2 / -2).exp() @ values)
    found = local_means(permutohedral_lattice(features).filter(values))
    assert (found - exact).abs().mean() < 0.25 * exact.std()  # a width wrong by sqrt(2) gives 0.33 and more


def test_one_point_by_hand():
    # vertices 0 and 1 hold 1 and 0; blurred 1, 1/2; blurred again 5/4, 1; divided by 1 + 1/2
    torch.testing.assert_close(permutohedral_lattice(torch.zeros(1, 1)).filter(torch.ones(1, 1)).item(), 5 / 6)


def test_the_order_of_the_points_does_not_matter():
    features, values, order = torch.randn(50, 5), torch.rand(50, 2), torch.randperm(50)
    expected = permutohedral_lattice(features).filter(values)[order]
    torch.testing.assert_close(permutohedral_lattice(features[order]).filter(values[order]), expected)


def test_the_gradient_is_the_transposed_filter():
    lattice = permutohedral_lattice(torch.randn(40, 3) * 2)
    matrix = lattice.filter(torch.eye(40))
    assert not torch.allclose(matrix, matrix.T, atol=1e-3), "missing vertices make the filter asymmetric"
    values, weights = torch.rand(40, 2, requires_grad=True), torch.rand(40, 2)
    (lattice.filter(values) * weights).sum().backward()
    torch.testing.assert_close(values.grad, matrix.T @ weights)


def test_normalized_divides_by_the_roots_of_the_sums():
    lattice = permutohedral_lattice(torch.randn(40, 2))
    matrix = lattice.filter(torch.eye(40))
    root = matrix.sum(1).sqrt()
    torch.testing.assert_close(lattice.normalized().filter(torch.eye(40)), matrix / root[:, None] / root)


def test_values_keep_their_precision():
    lattice = permutohedral_lattice(torch.randn(10, 2))
    values = torch.rand(10, 2, dtype=torch.float64)
    assert lattice.filter(values).dtype == torch.float64
    torch.testing.assert_close(lattice.filter(values).float(), lattice.filter(values.float()))


@pytest.mark.parametrize(
    "features, message",
    [
        (torch.zeros(3), r"\[N, d\]"),
        (torch.zeros(0, 2), "at least one point"),
        (torch.tensor([[1.0], [math.nan]]), "finite"),
        (torch.tensor([[0.0] * 5, [1e6] * 5]), "enlarge the standard deviations"),
    ],
)
def test_points_that_have_no_lattice(features, message):
    with pytest.raises(ValueError, match=message):
        permutohedral_lattice(features)


def test_values_of_other_points_are_refused():
    with pytest.raises(ValueError, match=r"3 points need values \[3, C\], not \[4, 1\]"):
        permutohedral_lattice(torch.rand(3, 2)).filter(torch.rand(4, 1))
