"""What is chosen on the page, and what follows from it; no widgets, so that a page without a browser shows the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wsss_lib.explore.pictures import Panel, legend, panels, show_panels
from wsss_lib.explore.sources import DataSet, Source
from wsss_lib.explore.view import CrfOptions, View
from wsss_lib.files import write_file

ALL_CLASSES = ""  # the name of no class: the highest map of all
CRF = ", CRF"  # behind the name of a source: its labels after the CRF


@dataclass(frozen=True)
class Choice:
    """State of the page.

    Attributes:
        data_set: its title.
        split, image: names.
        sources: names, in the order shown.
        class_name: class whose maps are shown, or :data:`ALL_CLASSES`.
        background_score: of all maps, or ``None`` for each run's own.
        blending: share of the color in the overlays, in [0, 1].
        outline: draw the true border of the class over the maps.
        crf: settings of the CRF.
    """

    data_set: str = ""
    split: str = ""
    image: str = ""
    sources: tuple[str, ...] = ()
    class_name: str | None = None
    background_score: float | None = None
    blending: float = 0.75
    outline: bool = True
    crf: CrfOptions = field(default_factory=CrfOptions)


class Explorer:
    """Looks at one image through several runs.

    Attributes:
        choice: what is shown; set by :meth:`change` alone.
        view: the image and what the runs hold of it.
    """

    def __init__(self, data_sets: Sequence[DataSet], methods: Sequence[str] = (), **chosen: Any):
        """Begin with the first image.

        Args:
            data_sets: from :func:`wsss_lib.explore.sources.data_sets`; at least one.
            methods: patterns of run ids to show first.
            chosen: fields of :class:`Choice`.
        """
        self.data_sets = {data_set.title: data_set for data_set in data_sets}
        self.methods = tuple(methods)
        self._crf: tuple[Any, dict[str, np.ndarray]] | None = None
        self.choice = Choice()
        self.view: View | None = None
        self.change(**chosen)

    @property
    def data_set(self) -> DataSet:
        return self.data_sets[self.choice.data_set]

    def change(self, **chosen: Any) -> None:
        """Choose anew; what no longer fits the rest (the image of another split, say) becomes the first that does.

        Raises:
            ValueError: something is asked for that is not there; the choice stays as it was.
        """
        wanted = replace(self.choice, **chosen)
        title = _fitting("data set", wanted.data_set, list(self.data_sets), chosen.get("data_set"))
        data_set = self.data_sets[title]
        split = _fitting("split", wanted.split, list(data_set.splits), chosen.get("split"))
        image = _fitting("image", wanted.image, data_set.images(split), chosen.get("image"))
        known = {source.name: source for source in data_set.sources}
        if unknown := [name for name in chosen.get("sources", ()) if name not in known]:
            _fitting("run", unknown[0], list(known), unknown[0])
        names = [name for name in wanted.sources if name in known]
        if not names and "sources" not in chosen:
            names = [source.name for source in data_set.shown_first(self.methods)]
        shown = title, split, image, tuple(names)
        view = self.view if shown == self._shown else self._open(data_set, split, image, [known[n] for n in names])
        classes = [view.class_names[k] for k in view.classes]
        class_name = wanted.class_name
        if class_name != ALL_CLASSES:
            class_name = _fitting("class", class_name, [*classes, ALL_CLASSES], chosen.get("class_name"))
        self.view = view
        self.choice = replace(
            wanted, data_set=title, split=split, image=image, sources=tuple(names), class_name=class_name
        )

    @property
    def _shown(self) -> tuple[str, str, str, tuple[str, ...]]:
        return self.choice.data_set, self.choice.split, self.choice.image, self.choice.sources

    @staticmethod
    def _open(data_set: DataSet, split: str, image: str, sources: Sequence[Source]) -> View:
        return View(data_set.sample(split, image), data_set.class_names, sources)

    @property
    def channel(self) -> int | None:
        name = self.choice.class_name
        return None if name == ALL_CLASSES else self.view.class_names.index(name)

    def step(self, images: Sequence[str], by: int) -> None:
        """The image ``by`` places further in a list, around its end."""
        place = images.index(self.choice.image) if self.choice.image in images else -by
        self.change(image=images[(place + by) % len(images)])

    def run_crf(self) -> None:
        """Refine the maps shown; the labels stay until the image, the runs or the settings change."""
        self._crf = (self._shown, self.choice.crf), self.view.crf_label_maps(self.choice.crf)

    @property
    def crf_label_maps(self) -> dict[str, np.ndarray]:
        """By source; empty where the CRF has not run on what is shown."""
        return self._crf[1] if self._crf and self._crf[0] == (self._shown, self.choice.crf) else {}

    @property
    def label_maps(self) -> dict[str, np.ndarray]:
        """All label maps shown, by name of the source; those of the CRF with :data:`CRF` behind the name."""
        refined = {name + CRF: label_map for name, label_map in self.crf_label_maps.items()}
        return self.view.label_maps(self.choice.background_score) | refined

    def panels(self) -> list[Panel]:
        return panels(
            self.view,
            self.channel,
            background_score=self.choice.background_score,
            blending=self.choice.blending,
            outline=self.choice.outline,
            crf=self.crf_label_maps,
        )

    def legend(self) -> dict[str, tuple[int, int, int]]:
        mask = self.view.sample.mask
        return legend(self.view, [*self.label_maps.values(), *([] if mask is None else [mask])])

    def figure(self) -> Figure:
        return show_panels(self.panels(), self.legend())

    def save_figure(self, folder: Path) -> list[Path]:
        """The figure as PNG and PDF, under a name that is free; the paths of both."""
        stem = "_".join(part for part in (self.choice.image, self.choice.class_name) if part)
        number = 1
        while (folder / f"{stem}_{number}.png").exists():
            number += 1
        figure = self.figure()
        return [
            write_file(
                folder / f"{stem}_{number}.{kind}", lambda stream, k=kind: figure.savefig(stream, format=k, dpi=200)
            )
            for kind in ("png", "pdf")
        ]

    def score_table(self) -> pd.DataFrame:
        """A row for every label map shown: background score, mean IoU and IoU of each class of the image, percent."""
        rows = {}
        for name, label_map in self.label_maps.items():
            row: dict[str, float | str] = {"background score": ""}
            if name in self.view.maps:
                row["background score"] = f"{self.view.background_score(name, self.choice.background_score):.2f}"
            row["mIoU"] = self.view.scores(label_map)[0]
            row |= {self.view.class_names[k]: self.view.scores(label_map, k)[1] for k in self.view.classes}
            rows[name] = row
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")

    def pixel_table(self, row: int, column: int) -> pd.DataFrame:
        """Class scores and labels of one pixel, a row for each run."""
        kinds = {"label": self.view.label_maps(self.choice.background_score)}
        return self.view.pixel(row, column, kinds | ({"CRF label": self.crf_label_maps} if self.crf_label_maps else {}))

    def strongest_pixel(self) -> tuple[int, int]:
        """Row and column where the first map shown is highest; the middle where there is no map."""
        for maps, _ in self.view.maps.values():
            shown = maps.amax(0) if self.channel is None else maps[self.channel]
            return divmod(int(shown.argmax()), shown.shape[1])
        return self.view.size[0] // 2, self.view.size[1] // 2


def _fitting(what: str, value: Any, known: Sequence[str], asked: Any) -> str:
    """``value`` if it is known, else the first that is, unless it was asked for."""
    if value in known:
        return value
    if asked:
        some = ", ".join(name for name in known[:8] if name) + (", ..." if len(known) > 8 else "")
        raise ValueError(f"there is no {what} {asked!r}; choose one of {some}")
    return known[0]
