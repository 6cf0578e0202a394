"""What finished runs keep for every image: normalized maps, label maps; and the data sets they were made on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from wsss_lib.data.batch import Dataset, Sample
from wsss_lib.data.voc import open_dataset, own_classes
from wsss_lib.paths import run_folder

KINDS = {"maps": ".npz", "labels": ".png", "crf_labels": ".png"}  # folders of a run, in the order of preference
SPLITS = ("report_split", "choose_split", "seed_split", "mask_split")  # parameters: images that have masks
OPTIONS = ("other_classes", "masks")  # parameters handed on to the data set, from the first run that has them


@dataclass(frozen=True)
class Source:
    """One folder of one run.

    Attributes:
        run: its id, ``10_cam/demo``.
        kind: ``maps``, ``labels`` or ``crf_labels``.
        background_score: which the run chose for its maps; ``None`` where it chose none.
    """

    run: str
    kind: str
    background_score: float | None = None

    @property
    def name(self) -> str:
        """Run and kind as the page shows them.

        >>> Source("17_deeplab/demo", "crf_labels").name
        '17_deeplab/demo, crf labels'
        """
        return f"{self.run}, {self.kind.replace('_', ' ')}"

    def file(self, image: str) -> Path:
        return run_folder(self.run) / self.kind / f"{image}{KINDS[self.kind]}"

    @cached_property
    def images(self) -> frozenset[str]:
        """Ids of the images that it holds."""
        return frozenset(path.stem for path in (run_folder(self.run) / self.kind).glob(f"*{KINDS[self.kind]}"))


@dataclass(frozen=True)
class DataSet:
    """Runs on the same data with the same classes, and this data.

    Attributes:
        name: as the parameter ``data`` of the runs.
        class_names: foreground classes, K of them.
        split_names: splits that the runs scored.
        options: further arguments of ``open_dataset``.
        sources: what the runs hold.
    """

    name: str
    class_names: tuple[str, ...]
    split_names: tuple[str, ...]
    options: Mapping[str, Any]
    sources: tuple[Source, ...]

    @property
    def title(self) -> str:
        return f"{self.name} ({len(self.class_names)} classes)"

    @cached_property
    def splits(self) -> dict[str, Dataset]:
        """Splits of which some source holds an image."""
        found = {}
        for split in self.split_names:
            named = {"classes": self.class_names, "require_every_class": False}
            dataset = open_dataset(self.name, split, **named, **self.options)
            if any(source.images.intersection(dataset.ids) for source in self.sources):
                found[split] = dataset
        if not found:
            raise FileNotFoundError(
                f"no image of {self.name} ({', '.join(self.split_names) or 'no split'}) is held by "
                f"{self.sources[0].run}; the data set has changed since, so make that run again"
            )
        return found

    def images(self, split: str, class_name: str = "") -> list[str]:
        """Images of a split that some source holds, those with a class if one is named; most sources first come first.

        Images keep the order of the split otherwise.
        """
        dataset = self.splits[split]
        channel = self.class_names.index(class_name) if class_name else None
        wanted = [
            image
            for index, image in enumerate(dataset.ids)
            if channel is None or dataset.class_labels[index, channel] > 0
        ]
        counts = {image: sum(image in source.images for source in self.sources) for image in wanted}
        return sorted((image for image in wanted if counts[image]), key=lambda image: -counts[image])

    def sample(self, split: str, image: str) -> Sample:
        dataset = self.splits[split]
        return dataset.read(dataset.ids.index(image))

    def shown_first(self, patterns: Iterable[str], most: int = 4) -> list[Source]:
        """The first kind of every run whose id fits one of the patterns; of the first runs where none fits."""
        firsts = list({source.run: source for source in reversed(self.sources)}.values())[::-1]
        fitting = [source for source in firsts if any(fnmatch(source.run, pattern) for pattern in patterns)]
        return (fitting or firsts)[:most]


def data_sets(records: Iterable[dict[str, Any]], runs_from: str) -> list[DataSet]:
    """The data sets of the runs that keep maps or label maps, the one with most of them first.

    Args:
        records: from :func:`wsss_lib.report.read_records`.
        runs_from: the pattern that they fit, for the messages.

    Raises:
        FileNotFoundError: no run fits, none of them keeps files of images, or these are not there; the message names
            the command that makes them.
    """
    records = list(records)
    profile = runs_from.rpartition("/")[2].split("-")[0].split("_")[0].strip("*?[]") or "demo"
    if not records:
        raise FileNotFoundError(f"no finished run fits {runs_from!r}; make some: ./run_all.sh {profile} --only 10_cam")
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[dict[str, Any], Source]]] = {}
    for record in records:
        score = record["scores"].get("background_score")
        for kind in KINDS:
            source = Source(record["run"], kind, score if kind == "maps" else None)
            if f"{kind}/" in record["files"] and source.images:
                key = (record["parameters"]["data"], own_classes(run_folder(record["run"])))
                groups.setdefault(key, []).append((record, source))
    if not groups:
        listing = [record["run"] for record in records if {f"{kind}/" for kind in KINDS} & record["files"].keys()]
        run = (listing or ["10_cam/" + profile])[0]
        what = f"the record of {run} is there without its maps" if listing else "no run keeps maps or label maps"
        raise FileNotFoundError(f"{what}; make them: ./run_all.sh {profile} --only {run.partition('-seed')[0]}")
    found = [_data_set(*key, entries) for key, entries in groups.items()]
    return sorted(found, key=lambda data_set: -len(data_set.sources))


def _data_set(name: str, class_names: tuple[str, ...], entries: list[tuple[dict[str, Any], Source]]) -> DataSet:
    given = [record["parameters"] for record, _ in entries]
    splits = dict.fromkeys(values[key] for key in SPLITS for values in given if values.get(key))
    options = {key: next(values[key] for values in given if key in values) for key in OPTIONS if _any(given, key)}
    return DataSet(name, class_names, tuple(splits), options, tuple(source for _, source in entries))


def _any(given: list[dict[str, Any]], key: str) -> bool:
    return any(key in values for values in given)


def left_out(records: Iterable[dict[str, Any]]) -> list[str]:
    """Runs whose records list maps or label maps that are not there, as after a checkout of the repository."""
    return [
        record["run"]
        for record in records
        if any(f"{kind}/" in record["files"] and not Source(record["run"], kind).images for kind in KINDS)
    ]
