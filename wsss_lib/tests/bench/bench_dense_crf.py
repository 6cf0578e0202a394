"""Speed of the dense CRF beside the compiled package, whose seconds on a free core stand in where it is missing."""

import torch
import torch.nn.functional as F

from wsss_lib.labels.dense_crf import alpha_scores, crf_lattices, dense_crf
from wsss_lib.tests.bench import benchmark
from wsss_lib.tests.compiled_crf import INSTALLED, compiled_crf

SIZE = (375, 500)


def goal(compiled_seconds: float) -> dict[str, float]:
    return {"ratio": 1 / 3} if INSTALLED else {"seconds": 3 * compiled_seconds}


def photograph() -> torch.Tensor:
    """Colors that change smoothly, with the noise of a camera, uint8 [H, W, 3]; as many vertices as a photograph."""
    smooth = F.interpolate(torch.rand(1, 3, 8, 10), SIZE, mode="bicubic")[0].permute(1, 2, 0)
    return (40 + 150 * smooth + 2 * torch.randn(*SIZE, 3)).clamp(0, 255).to(torch.uint8).contiguous()


def scores_of(labels: int) -> torch.Tensor:
    return F.interpolate(3 * torch.randn(1, labels, 12, 16), SIZE, mode="bilinear")[0].softmax(0)


def forms(unaries: torch.Tensor):
    """The compiled package, or where it is not installed one call for each unary; and the library's form."""
    image = photograph()

    def slow():
        if INSTALLED:
            return compiled_crf(image, unaries)
        return torch.stack([dense_crf(image, one, lattices=crf_lattices(image)) for one in unaries])

    return slow, lambda: dense_crf(image, unaries)


@benchmark("dense CRF, 375 x 500 px, 3 labels, two exponents", **goal(0.28))
def crf_of_affinity_labels():
    torch.manual_seed(0)
    maps = scores_of(3)[1:]
    return forms(torch.stack([alpha_scores(maps, alpha) for alpha in (4, 32)]))


@benchmark("dense CRF, 375 x 500 px, 21 labels", **goal(0.54))
def crf_of_all_labels():
    torch.manual_seed(0)
    return forms(scores_of(21)[None])
