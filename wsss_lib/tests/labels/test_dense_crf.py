from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsss_lib.labels.dense_crf import alpha_scores, crf_lattices, dense_crf, label_scores
from wsss_lib.tests.compiled_crf import compiled_crf, needs_compiled_crf

GAUSSIAN, BILATERAL = (3.0, 3.0), (80.0, 13.0, 10.0)


def picture(height=18, width=23):
    """A dark and a bright half, tinted and a little noisy, uint8 [H, W, 3]."""
    colors = torch.tensor([[40.0, 60, 50], [200, 180, 190]])
    sides = (torch.arange(width) >= width // 2).long().expand(height, width)
    return (colors[sides] + 8 * torch.randn(height, width, 3)).clamp(0, 255).to(torch.uint8)


def noisy_scores(height=18, width=23, labels=3):
    """Scores that do not sum to 1, smooth but for some noise, [L, H, W]."""
    coarse = F.interpolate(torch.rand(1, labels, 3, 4), (height, width), mode="bilinear")[0]
    return (coarse + 0.3 * torch.rand(labels, height, width)) / 1.3


def mean_field(kernels, weights, scores, iterations, clip):
    """Krähenbühl and Koltun, algorithm 1 with dense kernels [N, N], pixel by pixel."""
    unary = -scores.clamp(clip, 1).log().flatten(1).T  # [N, L]
    marginals = torch.stack([(-energies).softmax(0) for energies in unary])
    for _ in range(iterations):
        rows = []
        for pixel, energies in enumerate(unary):
            message = sum(weight * kernel[pixel] @ marginals for weight, kernel in zip(weights, kernels, strict=True))
            rows.append((message - energies).softmax(0))
        marginals = torch.stack(rows)
    return marginals.T.reshape(scores.shape)


def exact_kernel(image, position_std, color_std):
    height, width = image.shape[:2]
    position = torch.cartesian_prod(torch.arange(float(height)), torch.arange(float(width))) / position_std
    features = torch.cat((position, image.flatten(0, 1) / color_std), 1)
    kernel = (torch.cdist(features, features) ** 2 / -2).exp()
    root = kernel.sum(1).sqrt()
    return kernel / root[:, None] / root


def test_marginals_equal_mean_field_with_the_matrices_of_the_lattices():
    image, scores = picture(7, 9), noisy_scores(7, 9)
    lattices = crf_lattices(image, 2.0, (20.0, 10.0))
    kernels = [lattice.filter(torch.eye(63)) for lattice in (lattices.gaussian, lattices.bilateral)]
    expected = mean_field(kernels, (2.0, 5.0), scores, 4, 1e-3)
    found = dense_crf(image, scores, gaussian=(2.0, 2.0), bilateral=(20.0, 10.0, 5.0), iterations=4, clip=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_marginals_are_about_those_of_all_pixel_pairs(seed):
    torch.manual_seed(seed)
    image, scores = picture(13, 16), noisy_scores(13, 16)
    kernels = exact_kernel(image, GAUSSIAN[0], torch.inf), exact_kernel(image, *BILATERAL[:2])
    exact = mean_field(kernels, (GAUSSIAN[1], BILATERAL[2]), scores, 10, 1e-5)
    found = dense_crf(image, scores)
    assert (found.argmax(0) == exact.argmax(0)).float().mean() >= 0.96
    assert (found - exact).abs().mean() <= 0.03
    assert (scores.argmax(0) == exact.argmax(0)).float().mean() < 0.9, "the scores themselves must not pass"


def test_one_pixel_by_hand():
    image, scores = np.zeros((1, 1, 3), np.uint8), torch.tensor([0.5, 0.25]).view(2, 1, 1)
    start = torch.tensor([2 / 3, 1 / 3])  # its kernels are 1: the message is the marginal itself
    expected = (torch.tensor([0.5, 0.25]).log() + (3 + 10) * start).softmax(0)
    torch.testing.assert_close(dense_crf(image, scores, iterations=1).flatten(), expected)


def test_no_step_or_no_weight_leaves_the_clipped_scores():
    image, scores = picture(), noisy_scores() * 1.5 - 0.2
    expected = scores.clamp(0.01, 1) / scores.clamp(0.01, 1).sum(0)
    torch.testing.assert_close(dense_crf(image, scores, iterations=0, clip=0.01), expected)
    unweighted = dense_crf(image, scores, gaussian=(3.0, 0.0), bilateral=(80.0, 13.0, 0.0), clip=0.01)
    torch.testing.assert_close(unweighted, expected)


def test_an_image_of_one_color_keeps_equal_labels_equal():
    marginals = dense_crf(torch.full((9, 11, 3), 90, dtype=torch.uint8), torch.full((4, 9, 11), 0.3))
    torch.testing.assert_close(marginals, torch.full((4, 9, 11), 0.25))


def test_marginals_sum_to_one_and_follow_the_labels():
    image, scores, order = picture(), noisy_scores(labels=4), torch.tensor([2, 0, 3, 1])
    marginals = dense_crf(image, scores)
    torch.testing.assert_close(marginals.sum(0), torch.ones(18, 23))
    torch.testing.assert_close(dense_crf(image, scores[order]), marginals[order])
    assert torch.equal(dense_crf(image, scores), marginals), "the same twice"


def test_unaries_together_equal_one_by_one():
    image, scores = picture(), torch.stack([noisy_scores() for _ in range(3)])
    together = dense_crf(image, scores)
    assert together.shape == scores.shape
    torch.testing.assert_close(together, torch.stack([dense_crf(image, one) for one in scores]))


def test_given_lattices_equal_fresh_ones_and_images_may_be_arrays():
    image, scores = picture(), noisy_scores()
    expected = dense_crf(image, scores)
    assert torch.equal(dense_crf(image, scores, lattices=crf_lattices(image)), expected)
    assert torch.equal(dense_crf(image.numpy(), scores), expected)
    sharp = dense_crf(image, scores, bilateral=(80.0, 3.0, 10.0))
    assert not torch.allclose(sharp, expected, atol=1e-2)


def test_large_weights_do_not_overflow():
    marginals = dense_crf(picture(), noisy_scores(), gaussian=(3.0, 300.0))
    torch.testing.assert_close(marginals.sum(0), torch.ones(18, 23))


def test_gradients_flow_through_the_scores():
    image, scores, direction = picture(6, 7), noisy_scores(6, 7) + 0.1, torch.randn(3, 6, 7)
    weights = torch.randn(3, 6, 7)

    def energy(shift):
        moved = scores + shift * direction
        return (weights * dense_crf(image, moved, gaussian=(3.0, 0.5), bilateral=(80.0, 13.0, 1.0), iterations=3)).sum()

    shift = torch.zeros((), requires_grad=True)
    energy(shift).backward()
    difference = (energy(torch.tensor(0.01)) - energy(torch.tensor(-0.01))) / 0.02
    torch.testing.assert_close(shift.grad, difference, rtol=2e-2, atol=1e-2)
    assert shift.grad.abs() > 0.1


@needs_compiled_crf
@pytest.mark.parametrize("image", [picture(60, 80), torch.zeros(30, 40, 3, dtype=torch.uint8)], ids=["two", "black"])
@pytest.mark.parametrize("gaussian, bilateral", [(GAUSSIAN, BILATERAL), ((1.0, 3.0), (67.0, 3.0, 4.0))])
def test_marginals_equal_the_compiled_package(image, gaussian, bilateral):
    scores = noisy_scores(*image.shape[:2])
    expected = compiled_crf(image, scores, gaussian=gaussian, bilateral=bilateral)
    found = dense_crf(image, scores, gaussian=gaussian, bilateral=bilateral)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def test_several_unaries_on_any_device_equal_one_after_the_other(device):
    image, scores = picture(), torch.stack([noisy_scores(), noisy_scores().flip(-1)])
    found = dense_crf(image, scores.to(device))
    assert found.device.type == device
    expected = torch.stack([dense_crf(image, one) for one in scores])
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)
    if device == "cuda":
        with pytest.raises(ValueError, match="give crf_lattices an image tensor on that device"):
            dense_crf(image, scores.cuda(), lattices=crf_lattices(image))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"probabilities": noisy_scores(23, 18)}, r"\(18, 23\) px, the probabilities have \(23, 18\): .* swapped"),
        ({"probabilities": noisy_scores(9, 12)}, "resize them first"),
        ({"probabilities": torch.rand(18, 23)}, r"\[L, H, W\] or \[U, L, H, W\]"),
        ({"probabilities": noisy_scores() / 0}, "NaN or infinity"),
        ({"image": picture() / 255}, "uint8"),
        ({"image": picture()[..., :1]}, r"RGB, uint8 \[H, W, 3\]"),
        ({"gaussian": (0.0, 3.0)}, "must be positive"),
        ({"bilateral": (80.0, -1.0, 10.0)}, "must be positive"),
        ({"lattices": crf_lattices(picture(), 1.0)}, "make them anew with crf_lattices"),
        ({"lattices": crf_lattices(picture(23, 18))}, r"\(23, 18\) px, asked for are .* \(18, 23\) px"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"image": picture(), "probabilities": noisy_scores()} | change
    with pytest.raises(ValueError, match=message):
        dense_crf(arguments.pop("image"), **arguments)


def test_lattices_on_another_device_are_refused():
    lattices = crf_lattices(picture())
    away = replace(lattices.bilateral, weights=lattices.bilateral.weights.to("meta"))
    with pytest.raises(ValueError, match="lie on meta, the probabilities on cpu"):
        dense_crf(picture(), noisy_scores(), lattices=replace(lattices, bilateral=away))


@pytest.mark.parametrize("alpha", [1.0, 4, 32])
def test_background_is_what_the_highest_map_leaves(alpha):
    maps = torch.rand(2, 3, 4, 5)
    scores = alpha_scores(maps, alpha)
    for image in range(2):
        for y in range(4):
            for x in range(5):
                expected = (1 - max(maps[image, :, y, x].tolist())) ** alpha
                assert scores[image, 0, y, x].item() == pytest.approx(expected, rel=1e-4, abs=1e-12)
    assert torch.equal(scores[:, 1:], maps)


def test_without_a_class_all_is_background():
    assert torch.equal(alpha_scores(torch.zeros(0, 2, 3), 4), torch.ones(1, 2, 3))


def test_label_scores_share_the_rest_among_the_other_labels():
    label_map = torch.randint(0, 4, (5, 6))
    scores = label_scores(label_map, 4, 0.7)
    for label in range(4):
        expected = torch.where(label_map == label, 0.7, 0.1)
        torch.testing.assert_close(scores[label], expected)


@pytest.mark.parametrize("label_map, num_labels", [(torch.tensor([[0, 255]]), 2), (torch.tensor([[0, -1]]), 2)])
def test_labels_out_of_range_are_refused(label_map, num_labels):
    with pytest.raises(ValueError, match="give every pixel a label below 2"):
        label_scores(label_map, num_labels, 0.7)


def test_one_label_leaves_nothing_to_share():
    with pytest.raises(ValueError, match="at least two labels"):
        label_scores(torch.zeros(2, 2, dtype=torch.int64), 1, 0.7)
