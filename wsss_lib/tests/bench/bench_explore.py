"""How fast the page of 91_explore answers, at benchmark size and that of a photograph of VOC."""

from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from wsss_lib.data.batch import Sample
from wsss_lib.explore.picture_grid import PictureGrid
from wsss_lib.explore.pictures import legend, panels
from wsss_lib.explore.sources import Source
from wsss_lib.explore.view import CrfOptions, View
from wsss_lib.labels.dense_crf import alpha_scores, crf_lattices, dense_crf
from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.tests.bench import benchmark

ANSWER, CRF = 0.2, 0.3  # seconds that a change may take on the page at benchmark size


class Stored(Source):
    """A source whose maps are in memory; the page reads the files of an image once, a slider moves often."""

    @property
    def images(self):
        return frozenset(["image"])


def view_of(size: tuple[int, int], classes: int, runs: int) -> View:
    """A smooth image with three classes present, and the maps of some runs."""
    torch.manual_seed(0)
    colors = F.interpolate(torch.rand(1, 3, 9, 9), size, mode="bicubic")[0].permute(1, 2, 0)
    image = Image.fromarray((255 * colors.clamp(0, 1)).byte().numpy())
    present = (torch.arange(classes) < 3).float()
    mask = (F.interpolate(torch.rand(1, 1, 6, 6), size)[0, 0] * 4).floor().byte().numpy()
    view = View(Sample("image", image, present, mask), [f"class {k}" for k in range(classes)], [])
    for run in range(runs):
        maps = F.interpolate(torch.rand(1, classes, 12, 12), size, mode="bilinear")[0] * present[:, None, None]
        source = Stored(f"10_cam/run{run}", "maps")
        view.sources[source.name], view.maps[source.name] = source, (maps, present)
    view.best  # noqa: B018  once for an image, not for a slider
    return view


def slider_forms(view: View):
    """Labels of every run at another score: anew from its maps, or from what does not depend on the score; pictures."""
    grid = PictureGrid()
    scores = cycle([0.37, 0.43])

    def answer(view: View, score: float) -> None:
        grid.show(panels(view, 0, background_score=score, outline=True), legend(view, [view.sample.mask]))

    def slow():
        view._kept.clear()
        view.__dict__.pop("_strongest", None)
        grid._last = ()
        answer(view, 0.4)
        return np.stack([threshold_labels(maps[None], present[None], 0.4)[0] for maps, present in view.maps.values()])

    def fast():
        answer(view, next(scores))
        return np.stack(list(view.label_maps(0.4).values()))

    return slow, fast


@benchmark("explore: a slider, 96 x 96 px, 4 runs", seconds=ANSWER)
def slider_of_the_benchmark():
    return slider_forms(view_of((96, 96), 8, 4))


@benchmark("explore: a slider, 375 x 500 px, 4 runs", ratio=2)
def slider_of_a_photograph():
    return slider_forms(view_of((375, 500), 20, 4))


@benchmark("explore: dense CRF, 96 x 96 px, 4 runs", seconds=CRF)
def crf_of_the_benchmark():
    view = view_of((96, 96), 8, 4)

    def slow():
        found = []
        for maps, present in view.maps.values():
            scores = alpha_scores(maps[present > 0], 4.0)
            lattices = crf_lattices(torch.from_numpy(view.picture))
            found.append(dense_crf(view.picture, scores, lattices=lattices).argmax(0))
        return torch.stack(found).numpy()

    return slow, lambda: np.stack(list(view.crf_label_maps(CrfOptions()).values()))
