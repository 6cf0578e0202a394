"""Max unpooling: loops over windows, the gradient of max pooling, lost windows."""

import pytest
import torch
import torch.nn.functional as F

from wsss_lib.maps.max_unpooling import max_unpool, overwritten_windows


def slow(relevance, indices, size, unpool):
    """Window after window, in raster order."""
    image = torch.zeros(*relevance.shape[:2], size[0] * size[1])
    for b, c in torch.cartesian_prod(*map(torch.arange, relevance.shape[:2])):
        for value, place in zip(relevance[b, c].flatten(), indices[b, c].flatten(), strict=True):
            image[b, c, place] = value if unpool == "last" else image[b, c, place] + value
    return image.view(*relevance.shape[:2], *size)


@pytest.mark.parametrize("unpool", ["sum", "last"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"), [(2, 2, 0, (6, 8)), (3, 2, 1, (7, 9)), (3, 1, 1, (5, 4))]
)
def test_window_after_window(unpool, kernel, stride, padding, size):
    images = torch.randn(2, 3, *size)
    pooled, indices = F.max_pool2d(images, kernel, stride, padding, return_indices=True)
    relevance = torch.randn_like(pooled)
    ours = max_unpool(relevance, indices, size, unpool)
    torch.testing.assert_close(ours, slow(relevance, indices, size, unpool))
    torch.testing.assert_close(max_unpool(relevance.expand(4, *relevance.shape), indices, size, unpool)[2], ours)


def test_sum_is_the_gradient_of_pooling():
    images = torch.randn(1, 2, 9, 7).requires_grad_()
    pooled, indices = F.max_pool2d(images, 3, 2, 1, return_indices=True)
    relevance = torch.randn_like(pooled)
    (gradient,) = torch.autograd.grad(pooled, images, relevance)
    torch.testing.assert_close(max_unpool(relevance, indices, (9, 7)), gradient)
    assert max_unpool(relevance, indices, (9, 7)).sum().isclose(relevance.sum(), atol=1e-5)


def test_the_last_window_is_never_lost():
    _, indices = F.max_pool2d(torch.randn(4, 3, 16, 16), 3, 2, 1, return_indices=True)
    lost = overwritten_windows(indices, 256)
    assert 0.1 < lost.float().mean() < 0.6
    for of_image, lost_of_image in zip(indices.flatten(0, 1), lost.flatten(0, 1), strict=True):
        kept = of_image[~lost_of_image]
        assert len(kept.unique()) == len(kept) == len(of_image.unique())


def test_unknown_form():
    with pytest.raises(ValueError, match="choose sum"):
        max_unpool(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.long), (2, 2), "first")
