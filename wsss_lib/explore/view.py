"""One image as several runs see it: label maps at a background score or of the CRF, scores, one pixel."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wsss_lib.data.batch import Sample
from wsss_lib.explore.sources import Source
from wsss_lib.labels.affinity_labels import label_numbers
from wsss_lib.labels.dense_crf import alpha_scores, crf_lattices, dense_crf
from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.scores.segmentation import class_iou, confusion_matrix, mean_iou, threshold_sweep
from wsss_lib.store import load_label_map, load_maps

THRESHOLDS = tuple(np.arange(0.02, 1.0, 0.02).round(2).tolist())  # background scores among which the best is looked for
USUAL_SCORE = 0.3  # background score of runs that have chosen none
IGNORE = 255
KEPT = 32  # pictures of one image; 0.6 MB each for a photograph of VOC


@dataclass(frozen=True)
class CrfOptions:
    """Settings of the dense CRF; standard deviations in px and, last but one of the second kernel, in units of color.

    Attributes:
        alpha: exponent of the background score that is put in front of the maps.
        gaussian, bilateral, iterations: as in :func:`wsss_lib.labels.dense_crf.dense_crf`.
    """

    alpha: float = 4.0
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)
    iterations: int = 10


class View:
    """One image and what the sources hold of it.

    Attributes:
        sample: the image with its mask, if it has one.
        class_names: foreground classes, K of them.
        sources: by name, in the order given; those without this image are left out and named in ``lacking``.
        maps: by name of a source of maps: [K, H, W] and class labels [K].
    """

    def __init__(self, sample: Sample, class_names: Sequence[str], sources: Sequence[Source]):
        self.sample, self.class_names = sample, tuple(class_names)
        self.sources = {source.name: source for source in sources if sample.id in source.images}
        self.lacking = [source.name for source in sources if source.name not in self.sources]
        self.maps: dict[str, tuple[Tensor, Tensor]] = {}
        self._stored: dict[str, np.ndarray] = {}
        self._kept: dict[Hashable, np.ndarray] = {}
        for name, source in self.sources.items():
            if source.kind == "maps":
                self.maps[name] = load_maps(source.file(sample.id))
                self._check(name, self.maps[name][0].shape[1:], len(self.maps[name][0]))
            else:
                self._stored[name] = load_label_map(source.file(sample.id)).numpy()
                labels = np.unique(self._stored[name])
                self._check(name, self._stored[name].shape, labels=int(labels[labels != IGNORE].max(initial=0)))

    def _check(self, name: str, size: Sequence[int], channels: int | None = None, labels: int = 0) -> None:
        if tuple(size) != self.size:
            raise ValueError(f"{name}: {tuple(size)} px, but the image {self.sample.id} has {self.size}; run it again")
        if channels not in (None, len(self.class_names)) or labels > len(self.class_names):
            raise ValueError(f"{name}: {channels or labels} classes, not {len(self.class_names)}; run it again")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.sample.image.height, self.sample.image.width

    @cached_property
    def picture(self) -> np.ndarray:
        """RGB, uint8 [H, W, 3]."""
        return np.array(self.sample.image.convert("RGB"))

    def kept(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What ``make`` gives, made once for each key; a few dozen pictures are kept."""
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = make()
        return self._kept[key]

    @cached_property
    def classes(self) -> list[int]:
        """Channels of the classes that stand in the mask or that some source has a map of."""
        present = {int(k) for _, class_labels in self.maps.values() for k in class_labels.nonzero()[:, 0]}
        if self.sample.mask is not None:
            present |= {int(label) - 1 for label in np.unique(self.sample.mask) if label not in (0, IGNORE)}
        return sorted(present)

    def background_score(self, name: str, common: float | None) -> float:
        """The common background score, or where it is ``None`` that of the run."""
        own = self.sources[name].background_score
        return (USUAL_SCORE if own is None else own) if common is None else common

    @cached_property
    def _strongest(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For every source of maps the highest map of each pixel and its label; neither depends on the background."""
        found = {}
        for name, (maps, present) in self.maps.items():
            maps = maps[present > 0]
            rows = (
                threshold_labels(maps[None], torch.ones(1, len(maps)), -1.0)[0] if len(maps) else torch.zeros(self.size)
            )
            highest = maps.amax(0) if len(maps) else torch.zeros(self.size)
            found[name] = highest.numpy(), label_numbers(present)[rows.long()].numpy()
        return found

    def label_maps(self, common: float | None = None) -> dict[str, np.ndarray]:
        """Label map of every source, [H, W]: of maps at the background score, of the others as stored.

        Args:
            common: background score of all maps; ``None``: each run's own.
        """
        found = {}
        for name in self.sources:
            if name in self.maps:
                highest, labels = self._strongest[name]
                found[name] = np.where(highest > self.background_score(name, common), labels, 0)
            else:
                found[name] = self._stored[name]
        return found

    def crf_label_maps(self, options: CrfOptions) -> dict[str, np.ndarray]:
        """Label map of the CRF for every source of maps, [H, W]; stored label maps have no scores to refine."""
        lattices = crf_lattices(torch.from_numpy(self.picture), options.gaussian[0], options.bilateral[:2])
        alike: dict[tuple[float, ...], list[str]] = {}  # maps of the same classes cost less together
        for name, (_, present) in self.maps.items():
            alike.setdefault(tuple(present.tolist()), []).append(name)
        found = {}
        for names in alike.values():
            present = self.maps[names[0]][1]
            scores = torch.stack([alpha_scores(self.maps[name][0][present > 0], options.alpha) for name in names])
            marginals = dense_crf(
                self.picture,
                scores,
                gaussian=options.gaussian,
                bilateral=options.bilateral,
                iterations=options.iterations,
                lattices=lattices,
            )
            found |= dict(zip(names, label_numbers(present)[marginals.argmax(1)].numpy(), strict=True))
        return {name: found[name] for name in self.maps}

    def confusion(self, label_map: np.ndarray) -> np.ndarray:
        """Confusion of this image, int64 [K + 1, K + 1]; pixels that the label map ignores are left out.

        Raises:
            ValueError: the image has no mask.
        """
        if self.sample.mask is None:
            raise ValueError(f"{self.sample.id} has no mask to compare with")
        mask = np.where(label_map == IGNORE, IGNORE, self.sample.mask)
        return confusion_matrix(np.where(label_map == IGNORE, 0, label_map), mask, len(self.class_names) + 1)

    def scores(self, label_map: np.ndarray, channel: int | None = None) -> tuple[float, float]:
        """Mean IoU over the labels that occur, and IoU of one class (NaN without one), percent; NaN without a mask."""
        if self.sample.mask is None:
            return np.nan, np.nan
        confusion = self.confusion(label_map)
        return mean_iou(confusion), np.nan if channel is None else class_iou(confusion)[channel + 1]

    @cached_property
    def best(self) -> dict[str, tuple[float, float]]:
        """For every source of maps the best mean IoU that a background score reaches on this image, and that score."""
        if self.sample.mask is None:
            return {}
        found = {}
        for name, (maps, present) in self.maps.items():
            ious = mean_iou(threshold_sweep(maps, present, self.sample.mask, THRESHOLDS))
            found[name] = float(ious.max()), THRESHOLDS[int(ious.argmax())]
        return found

    def confusion_table(self, label_map: np.ndarray) -> pd.DataFrame:
        """Pixels by true label (rows) and given label (columns), for the labels that occur."""
        confusion = self.confusion(label_map)
        names = np.array(self.label_names)
        occurring = confusion.any(0) | confusion.any(1)
        counts = confusion[np.ix_(occurring, occurring)]
        return pd.DataFrame(counts, pd.Index(names[occurring], name="truth \\ given"), names[occurring])

    @property
    def label_names(self) -> list[str]:
        return ["background", *self.class_names]

    def label_name(self, label: int) -> str:
        return "ignored" if label == IGNORE else self.label_names[label]

    def pixel(self, row: int, column: int, label_maps: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
        """One pixel: a row for each source with its class scores, and the label of each kind of label map.

        Args:
            row, column: px, inside the image.
            label_maps: heading -> by name of the source.

        Raises:
            IndexError: a pixel outside of the image.
        """
        height, width = self.size
        if not (0 <= row < height and 0 <= column < width):
            raise IndexError(f"pixel ({row}, {column}) lies outside of the image of {height} x {width} px")
        rows = {}
        for name in self.sources:
            cells: dict[str, float | str] = {}
            for channel in self.classes:
                has_map = name in self.maps and self.maps[name][1][channel] > 0
                cells[self.class_names[channel]] = (
                    float(self.maps[name][0][channel, row, column]) if has_map else np.nan
                )
            for heading, by_source in label_maps.items():
                cells[heading] = self.label_name(int(by_source[name][row, column])) if name in by_source else ""
            rows[name] = cells
        columns = [*(self.class_names[channel] for channel in self.classes), *label_maps]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("run")

    def truth_at(self, row: int, column: int) -> str:
        """Name of the true label of a pixel; empty without a mask."""
        return "" if self.sample.mask is None else self.label_name(int(self.sample.mask[row, column]))
