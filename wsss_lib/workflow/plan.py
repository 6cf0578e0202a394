"""What a command would run: notebooks, parameter files, seeds and inputs joined to a graph of runs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from wsss_lib.files import missing_files
from wsss_lib.parameters import Parameter, ParameterError, ParameterSpec, Promise, read_parameters, read_yaml
from wsss_lib.workflow.project import PROFILES, PlanError, Project, unknown

RUN_NAME = re.compile(r"(?P<file>[A-Za-z0-9][A-Za-z0-9_.]*?)(?:-seed(?P<seed>[1-9]\d*))?")
OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
INPUT_SUFFIX = "_from"  # a parameter of this ending names runs whose files the notebook reads
OWN_RUN = re.compile(r"""start_run\(\s*\\?["']([^"'\\]+)""")  # in the JSON of a notebook
EVERY_IMAGE = {"max_images": 0, "map_batch": 1, "test_batch": 1}  # all of a folder, of any size, one by one


@dataclass(frozen=True)
class PlannedRun:
    """One run of one notebook.

    Attributes:
        run_id: ``<notebook>/<name>``.
        parameters: all of them, checked.
        injected: those that differ from the notebook's defaults.
        inputs: runs whose files it reads.
        patterns: patterns of run ids; it reads whatever finished runs match, and runs after them.
        promise: header of its parameter file.
    """

    run_id: str
    parameters: dict[str, Any]
    injected: dict[str, Any]
    inputs: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    promise: Promise = field(default_factory=lambda: Promise(""))

    @property
    def notebook(self) -> str:
        return self.run_id.partition("/")[0]

    @property
    def name(self) -> str:
        return self.run_id.partition("/")[2]

    def reads(self, other: str) -> bool:
        """Whether this run reads ``other``, a run of another notebook, through one of its patterns."""
        return other.partition("/")[0] != self.notebook and any(fnmatch(other, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        profile: name of the parameter files to run.
        only: notebooks, parameter files as ``10_cam/demo``, or single runs as ``10_cam/demo-seed1``, with the runs that
            they need; empty for all.
        seeds: number of seeds, 0, 1, ...
        grid: the variant files ``<profile>_<variant>.yaml`` too.
        settings: parameter name -> text, in place of the files' values.
        file: a parameter file of the user, in place of the profile's.
    """

    profile: str = "demo"
    only: tuple[str, ...] = ()
    seeds: int = 1
    grid: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    file: Path | None = None

    def names(self, run_id: str) -> bool:
        """Whether a run is asked for by itself, at any seed or with its notebook; all are where ``only`` is empty."""
        return not self.only or bool({run_id, run_id.partition("/")[0], run_id.partition("-seed")[0]} & set(self.only))


def make_plan(project: Project, request: Request) -> dict[str, PlannedRun]:
    """All runs of a request and those they need, by id, each after its inputs.

    Raises:
        PlanError: a name that does not exist, or runs that read each other in a circle.
        ParameterError: values that do not fit the notebook's parameters.
    """
    planner = Planner(project, request)
    planner.check_settings()
    targets = planner.own_file() if request.file else planner.targets()
    return planner.closed(planner.run(*target) for target in targets)


class Planner:
    """Turns a request into runs; reads each notebook's parameters cell once."""

    def __init__(self, project: Project, request: Request):
        self.project, self.request = project, request
        self._specs: dict[str, ParameterSpec] = {}

    def spec(self, notebook: str) -> ParameterSpec:
        """Parameters of a notebook.

        Raises:
            PlanError: it starts a run of another notebook, as a fresh copy does, and would empty that run's folder.
        """
        if notebook not in self._specs:
            path = self.project.notebook(notebook)
            started = OWN_RUN.search(path.read_text(encoding="utf-8"))
            if started and started[1] != notebook:
                raise PlanError(
                    f"{path.name} starts a run of {started[1]} and would empty its folder; "
                    f'write start_run("{notebook}", globals())'
                )
            self._specs[notebook] = read_parameters(path)
        return self._specs[notebook]

    def selected(self) -> tuple[str, ...]:
        """Notebooks that the request names, all where it names none.

        Raises:
            PlanError: one of them does not exist.
        """
        notebooks = tuple(dict.fromkeys(name.partition("/")[0] for name in self.request.only))
        for notebook in notebooks:
            if notebook not in self.project.stems:
                if self.project.notebook(notebook).exists():
                    raise PlanError(f"{notebook}.ipynb has no parameter files; add params/{notebook}/smoke.yaml")
                raise unknown("notebook", notebook, self.project.stems)
        return notebooks or self.project.stems

    def check_settings(self) -> None:
        """Refuse a setting that no notebook of the request has."""
        known = sorted({name for notebook in self.selected() for name in self.spec(notebook).names})
        for name in self.request.settings:
            if name not in known:
                raise unknown("parameter", name, known)

    def targets(self) -> Iterator[tuple[str, str, int]]:
        """(notebook, parameter file, seed) of all runs asked for, without what they need.

        Raises:
            PlanError: nothing fits the profile, or a notebook or run is named that has no such file.
        """
        profile = self.request.profile
        if profile not in PROFILES:
            raise unknown("profile", profile, PROFILES)
        found = False
        self.selected()
        for name in self.request.only or self.project.stems:
            notebook, _, named = name.partition("/")
            files = self.project.files(notebook)
            own, _, one_seed = named.partition("-seed")
            if own and (own not in files or not RUN_NAME.fullmatch(named)):
                raise unknown("parameter file", name, [f"{notebook}/{file}" for file in files])
            grid = [f for f in files if f == profile or (self.request.grid and f.startswith(f"{profile}_"))]
            chosen = [own] if own else grid
            if not chosen and self.request.only:
                raise PlanError(f"{notebook} has no parameter file {profile}.yaml; it has: {', '.join(files)}")
            for file in chosen:
                found = True
                seeds = [int(one_seed)] if one_seed else range(self.request.seeds)
                if self.run(notebook, file, 0).patterns:
                    seeds = [0]
                yield from ((notebook, file, seed) for seed in seeds)
        if not found:
            raise PlanError(f"no notebook has a parameter file {profile}.yaml below {self.project.params}")

    def own_file(self) -> list[tuple[str, str, int]]:
        """The runs of a parameter file given by ``--params``: named after the file, for one notebook.

        Raises:
            PlanError: the file is not there, has a name that is taken, or the notebook is not named.
        """
        path = self.request.file
        if not path.is_file():
            raise PlanError(f"--params: there is no file {path}")
        if len(self.request.only) != 1 or "/" in self.request.only[0]:
            raise PlanError("--params FILE needs --only with the one notebook that the file is for")
        (notebook,) = self.selected()
        if not OWN_NAME.fullmatch(path.stem):
            raise PlanError(f"the run is named after the file {path.name}; name it with letters, digits and _ only")
        taken = self.project.params / notebook / f"{path.stem}.yaml"
        if taken.exists() and not taken.samefile(path):
            raise PlanError(f"the run {notebook}/{path.stem} belongs to {taken}; give {path.name} another name")
        return [(notebook, path.stem, seed) for seed in range(self.request.seeds)]

    def run(self, notebook: str, file: str, seed: int) -> PlannedRun:
        """One run; its seed and the seed of the runs it reads are shifted together.

        Raises:
            ParameterError: the values do not fit; the message names the file.
        """
        own = self.request.file and (notebook,) == self.request.only and file == self.request.file.stem
        path = self.request.file if own else self.project.params / notebook / f"{file}.yaml"
        values, promise = read_yaml(path)
        spec = self.spec(notebook)
        if notebook in self.selected():
            values |= {p.name: typed(p, self.request.settings[p.name]) for p in spec if p.name in self.request.settings}
        try:
            parameters = spec.validate(values)
        except ParameterError as error:
            raise ParameterError(f"{error} (run {notebook}/{file})") from None
        return self.planned(f"{notebook}/{file}", parameters, promise, seed)

    def planned(self, run_id: str, parameters: dict[str, Any], promise: Promise, seed: int = 0) -> PlannedRun:
        """A run of checked parameters at one seed.

        Raises:
            PlanError: an input that is no run id.
        """
        spec = self.spec(run_id.partition("/")[0])
        if seed:
            parameters = parameters | {"seed": parameters["seed"] + seed}
        targets = []
        for name in input_parameters(spec):
            value = parameters[name]
            renamed = [self.with_seed(target, seed) for target in (value if isinstance(value, list) else [value])]
            parameters = parameters | {name: renamed if isinstance(value, list) else renamed[0]}
            targets += [target for target in renamed if target and target not in targets]
            for target in targets:
                if not is_pattern(target) and not re.fullmatch(rf"\w+/{RUN_NAME.pattern}", target):
                    raise PlanError(f"{run_id}: {name} is {target!r}; a run is named <notebook>/<run>, as 10_cam/demo")
        return PlannedRun(
            run_id=f"{run_id}-seed{seed}" if seed else run_id,
            parameters=parameters,
            injected={name: value for name, value in parameters.items() if value != spec.defaults[name]},
            inputs=tuple(target for target in targets if not is_pattern(target)),
            patterns=tuple(target for target in targets if is_pattern(target)),
            promise=promise,
        )

    def with_seed(self, run_id: str, seed: int) -> str:
        """The same seed of an input; a run that no parameter file makes has one seed only."""
        notebook, _, name = run_id.partition("/")
        return f"{run_id}-seed{seed}" if seed and name in self.project.files(notebook) else run_id

    def needed(self, run_id: str, by: str) -> PlannedRun | None:
        """The run that makes an input, or ``None`` where a finished run is used as it is.

        Raises:
            PlanError: no parameter file makes it, and it is not there.
        """
        notebook, _, name = run_id.partition("/")
        parts = RUN_NAME.fullmatch(name)
        if notebook in self.project.stems and parts and parts["file"] in self.project.files(notebook):
            return self.run(notebook, parts["file"], int(parts["seed"] or 0))
        if not missing_files(self.project.folder(run_id)):
            return None
        known = [f"{stem}/{file}" for stem in self.project.stems for file in self.project.files(stem)]
        raise PlanError(f"{by} reads {run_id}: {unknown('run', run_id, known)}")

    def closed(self, runs: Iterable[PlannedRun]) -> dict[str, PlannedRun]:
        """``runs`` with all runs that they need, each after its inputs."""
        plan = {run.run_id: run for run in runs}
        waiting = list(plan.values())
        while waiting:
            run = waiting.pop()
            for target in run.inputs:
                if target not in plan and (made := self.needed(target, run.run_id)):
                    plan[target] = made
                    waiting.append(made)
        return in_order(plan)


def typed(parameter: Parameter, text: str) -> Any:
    """Text of the command line as a value that the parameter's type can check; text that is no number stays text.

    >>> typed(Parameter("scales", "list[float]", [], ""), "[0.5, 1]")
    [0.5, 1.0]
    """
    if parameter.kind.startswith("list["):
        element = replace(parameter, kind=parameter.kind.removeprefix("list[").removesuffix("]"))
        items = (item.strip().strip("'\"") for item in text.strip().strip("[]").split(","))
        return [typed(element, item) for item in items if item]
    try:
        return {"int": int, "float": float}.get(parameter.kind, str)(text)
    except ValueError:
        return text


def input_parameters(spec: ParameterSpec) -> list[str]:
    """Names of the parameters that name runs."""
    return [p.name for p in spec if p.name.endswith(INPUT_SUFFIX) and p.kind in ("str", "list[str]")]


def is_pattern(run_id: str) -> bool:
    return any(sign in run_id for sign in "*?[")


def in_order(plan: dict[str, PlannedRun]) -> dict[str, PlannedRun]:
    """Runs after their inputs, otherwise by notebook and name; those that read patterns after all that match.

    Raises:
        PlanError: runs read each other in a circle.
    """
    before = {
        run_id: {target for target in run.inputs if target in plan} | {other for other in plan if run.reads(other)}
        for run_id, run in plan.items()
    }
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError as error:
        raise PlanError(f"runs read each other in a circle: {' -> '.join(error.args[1])}") from None
    ordered: dict[str, PlannedRun] = {}
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered |= {run_id: plan[run_id] for run_id in ready}
        sorter.done(*ready)
    return ordered


def prediction(project: Project, weights_from: str, images: Path, name: str) -> dict[str, PlannedRun]:
    """The run that applies the weights of an earlier run to a folder of images without masks; it has no other inputs.

    It reads all images of the folder, once and one by one, since their sizes may differ.

    Args:
        weights_from: the earlier run; a whole one is used as it is, whatever has changed since; else it is made first.
        images: folder of the user's images.
        name: name of the new run.

    Raises:
        PlanError: no such run or folder, or its notebook has no parameters for this.
    """
    notebook = weights_from.partition("/")[0]
    if notebook not in project.stems:
        raise unknown("notebook", notebook, project.stems)
    if not images.is_dir():
        raise PlanError(f"--images: there is no folder {images}")
    if not OWN_NAME.fullmatch(name) or name in project.files(notebook):
        raise PlanError(f"--out {name!r} cannot name this run; use letters, digits and _, and no parameter file's name")
    planner = Planner(project, Request())
    spec = planner.spec(notebook)
    if lacking := [wanted for wanted in ("weights_from", "data", "masks") if wanted not in spec.names]:
        raise PlanError(f"{notebook} cannot predict: it has no parameter {lacking[0]!r}")
    source = planner.needed(weights_from, "predict") if missing_files(project.folder(weights_from)) else None
    earlier = source.parameters if source else project.record(weights_from)["parameters"]
    values = spec.defaults | {key: value for key, value in earlier.items() if key in spec.names}
    values |= {key: "" for key, value in values.items() if key.endswith(INPUT_SUFFIX) and isinstance(value, str)}
    values |= {"weights_from": weights_from, "data": str(images.resolve()), "masks": "none"}
    values |= {key: value for key, value in EVERY_IMAGE.items() if key in values}
    values |= {key: values["report_split"] for key in ("choose_split", "seed_split") if key in values}
    run = planner.planned(f"{notebook}/{name}", spec.validate(values), Promise(""))
    return planner.closed([run, source]) if source else {run.run_id: run}
