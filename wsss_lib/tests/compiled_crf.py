"""The dense CRF of the compiled package pydensecrf, with the arguments of ours; an oracle where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from wsss_lib.labels.dense_crf import dense_crf

INSTALLED = find_spec("pydensecrf") is not None


def compiled_crf(
    image: ArrayLike | Tensor,
    probabilities: Tensor,
    *,
    gaussian: tuple[float, float] = (3.0, 3.0),
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0),
    iterations: int = 10,
    clip: float = 1e-5,
    lattices: None = None,
) -> Tensor:
    """Marginals as of :func:`wsss_lib.labels.dense_crf.dense_crf`; several unaries one after the other."""
    from pydensecrf import densecrf

    kernels = {"gaussian": gaussian, "bilateral": bilateral, "iterations": iterations, "clip": clip}
    if probabilities.ndim == 4:
        return torch.stack([compiled_crf(image, unary, **kernels) for unary in probabilities])
    labels, height, width = probabilities.shape
    crf = densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(-probabilities.clamp(clip, 1).log().flatten(1).contiguous().numpy())
    (std, weight), (position_std, color_std, color_weight) = gaussian, bilateral
    crf.addPairwiseGaussian(sxy=std, compat=weight)
    pixels = np.ascontiguousarray(image)
    crf.addPairwiseBilateral(sxy=position_std, srgb=color_std, rgbim=pixels, compat=color_weight)
    return torch.from_numpy(np.array(crf.inference(iterations))).view_as(probabilities)


needs_compiled_crf = pytest.mark.skipif(not INSTALLED, reason="pydensecrf2 is not installed")
#: for a test that takes ``crf``: ours, and the compiled one where it is installed
with_both_crfs = pytest.mark.parametrize(
    "crf", [dense_crf, pytest.param(compiled_crf, marks=needs_compiled_crf)], ids=["ours", "compiled"]
)
