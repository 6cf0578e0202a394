"""From a plan to finished runs: snakemake started on what is stale, followed live, and summed up."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from wsss_lib.files import PAGES, RECORD, missing_files, write_json
from wsss_lib.workflow.fingerprint import Status, statuses
from wsss_lib.workflow.guard import visible_gpus
from wsss_lib.workflow.plan import PlannedRun
from wsss_lib.workflow.progress import Progress, duration
from wsss_lib.workflow.project import Project, unknown
from wsss_lib.workflow.prose import renew_prose
from wsss_lib.workflow.runner import INDEX
from wsss_lib.workflow.states import forget_states, read_state

HERE = Path(__file__).parent
BUSY, INTERRUPTED = 75, 130
POLL_SECONDS = 0.5
GRACE_SECONDS = 20  # for snakemake to end its jobs, or cancel them on a cluster
MOST_JOBS, BYTES_OF_A_RUN = 4, 5e9  # where nobody says how many; no run measured so far has taken more memory


@dataclass(frozen=True)
class Machine:
    """Where runs are executed.

    Attributes:
        profile: folder of the snakemake profile.
        local: on this machine, rather than as jobs of a cluster.
        jobs: runs at a time; ``None`` leaves it to a cluster's profile, here to the cores, the memory and the runs.
        gpus: ids of the GPUs shared by the runs of this machine.
    """

    profile: Path
    local: bool
    jobs: int | None
    gpus: tuple[str, ...]

    @property
    def threads(self) -> int:
        """Threads of one run: its share of the cores that this process may use; OMP_NUM_THREADS caps them."""
        cores = usable_cores()
        asked = os.environ.get("OMP_NUM_THREADS", "")
        return max(1, min(cores // (self.jobs or 1), int(asked) if asked.isdecimal() else cores))

    def ready_for(self, side_by_side: int) -> "Machine":
        """The same machine with its number of jobs, when so many runs can be at work at once.

        A core does more in a run of its own than as the second one of a run.
        """
        if self.jobs or not self.local:
            return self
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return replace(self, jobs=max(1, min(side_by_side, usable_cores(), MOST_JOBS, int(memory // BYTES_OF_A_RUN))))

    @property
    def arguments(self) -> list[str]:
        """Options of snakemake that depend on the machine."""
        if not self.local:
            return ["--jobs", str(self.jobs)] if self.jobs else []
        slots = [f"--resources=gpu={len(self.gpus)}", "--default-resources=gpu=1"] if self.gpus else []
        return ["--cores", str(self.jobs), *slots]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(on: str, jobs: int | None) -> Machine:
    """The machine of a profile, by name or by folder as seen from where the command was given.

    Raises:
        PlanError: there is no such profile.
    """
    known = {path.parent.name: path.parent for path in sorted((HERE / "profiles").glob("*/config.yaml"))}
    profile = known.get(on, Path(os.environ.get("WSSS_CALLED_FROM", ".")) / on)
    if not (profile / "config.yaml").is_file():
        raise unknown("machine", on, [*known, "or a folder with a snakemake config.yaml"])
    settings = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8")) or {}
    if settings.get("executor", "local") != "local":
        return Machine(profile.resolve(), False, jobs, ())
    gpus = tuple(visible_gpus())
    return Machine(profile.resolve(), True, jobs or len(gpus) or None, gpus)


def expected_seconds(project: Project, run: PlannedRun) -> float | None:
    """What the last finished run took, else what the parameter file promises."""
    record = project.record(run.run_id)
    return record["seconds"] if record else run.promise.expected_seconds


def expected_megabytes(project: Project, run: PlannedRun) -> float | None:
    """Size of the last finished run's files, else what the parameter file promises."""
    record = project.record(run.run_id)
    return sum(made["bytes"] for made in record["files"].values()) / 1e6 if record else run.promise.expected_megabytes


def most_side_by_side(inputs: dict[str, Iterable[str]]) -> int:
    """How many runs, given in an order that puts inputs first, can be at work at once: the most at one depth.

    >>> most_side_by_side({"cam": [], "mixup": [], "walk": ["cam"]}), most_side_by_side({"cam": [], "walk": ["cam"]})
    (2, 1)
    """
    depth: dict[str, int] = {}
    for run_id, needed in inputs.items():
        depth[run_id] = max((depth[other] + 1 for other in needed if other in depth), default=0)
    return max(Counter(depth.values()).values(), default=1)


def longest_ways(seconds: dict[str, float], inputs: dict[str, Iterable[str]]) -> dict[str, float]:
    """Seconds from the start of a run to the end of the longest chain of runs behind it, of runs with inputs first.

    >>> longest_ways({"cam": 5, "unet": 9, "walk": 6}, {"cam": [], "unet": [], "walk": ["cam"]})
    {'cam': 11, 'unet': 9, 'walk': 6}
    """
    ways = dict(seconds)
    for run_id in reversed(inputs):
        for needed in inputs[run_id]:
            if needed in ways:
                ways[needed] = max(ways[needed], seconds[needed] + ways[run_id])
    return ways


def list_plan(project: Project, plan: dict[str, PlannedRun], found: dict[str, Status]) -> None:
    """Print what would run and why, what is up to date, and the minutes and megabytes to expect."""
    width = max(map(len, plan))
    stale = [run_id for run_id in plan if not found[run_id].up_to_date]
    for run_id, run in plan.items():
        if found[run_id].up_to_date:
            print(f"{'up to date':<12}{run_id}")
            continue
        size = expected_megabytes(project, run)
        takes = f"{duration(expected_seconds(project, run))}, {'? ' if size is None else f'{size:.0f} '}MB"
        print(f"{'would run':<12}{run_id:<{width}}  {takes:<18}  {_short(found[run_id].reasons)}")
    seconds = sum(expected_seconds(project, plan[run_id]) or 0 for run_id in stale)
    megabytes = sum(expected_megabytes(project, plan[run_id]) or 0 for run_id in stale)
    free = shutil.disk_usage(_existing(project.outputs)).free / 1e6
    print(
        f"{len(stale)} of {len(plan)} would run: about {seconds / 60:.1f} minutes one after the other, "
        f"{megabytes:.0f} MB on disk ({free:.0f} MB are free)",
    )


def _short(reasons: tuple[str, ...], shown: int = 3) -> str:
    more = f"; and {len(reasons) - shown} more" if len(reasons) > shown else ""
    return "; ".join(reasons[:shown]) + more


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def launch(
    project: Project,
    plan: dict[str, PlannedRun],
    on: Machine,
    *,
    fresh: Iterable[str] = (),
) -> int:
    """Make every stale run of a plan; those that gather other runs come last, whatever became of the others.

    Args:
        fresh: runs to make again whatever their hash.

    Returns:
        Exit code: 0 when all runs are up to date, 1 when one failed, 75 when another launcher is at work, 130 after an
        interrupt.
    """
    project.state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(project.state / "launcher.lock").acquire(blocking=False):
            return Launch(project, plan, on, frozenset(fresh)).run()
    except Timeout:
        print(f"another ./run_all.sh is at work on {project.outputs}; wait for it or stop it", file=sys.stderr)
        return BUSY


class Launch:
    """One launch: the stale runs of a plan, their states, and the summary."""

    def __init__(self, project: Project, plan: dict[str, PlannedRun], on: Machine, fresh: frozenset[str]):
        self.project, self.plan, self.fresh = project, plan, fresh
        self.since = time.time()
        found = statuses(project, plan, fresh)
        self.stale = [run_id for run_id in plan if not found[run_id].up_to_date]
        for run_id in plan.keys() - set(self.stale):
            renew_prose(project, plan[run_id], found[run_id])
        self.on = on.ready_for(most_side_by_side({run_id: plan[run_id].inputs for run_id in self.stale}))
        self.expected = {run_id: expected_seconds(project, plan[run_id]) for run_id in self.stale}
        self.final: dict[str, dict[str, Any]] = {}

    def run(self) -> int:
        forget_states(self.project.state)
        (self.project.state / "snakemake.log").write_text("")
        self._announce()
        progress = Progress(self.expected, sys.stdout)
        gathering = [run_id for run_id in self.stale if self.plan[run_id].patterns]
        before = [run_id for run_id in self.stale if run_id not in gathering]
        code = 0
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._write_benchmark()
            for batch in (before, gathering):
                if batch:
                    code = max(code, self._run_batch(batch, progress))
        except KeyboardInterrupt:
            code = INTERRUPTED
        self._summarize()
        failed = any(state["state"] != "done" for state in self.final.values())
        if code == INTERRUPTED:
            return code
        if code and not failed:
            print(f"snakemake ended with code {code}; see {self.project.state / 'snakemake.log'}")
        return int(failed or code != 0)

    def _announce(self) -> None:
        total = sum(seconds or 0 for seconds in self.expected.values())
        gpus = f", {len(self.on.gpus)} GPUs" if self.on.gpus else ""
        where = (
            f"{self.on.jobs} at a time, {self.on.threads} thread{'s' if self.on.threads > 1 else ''} each{gpus}"
            if self.on.local
            else "on the cluster"
        )
        ready = len(self.plan) - len(self.stale)
        runs = "1 run" if len(self.stale) == 1 else f"{len(self.stale)} runs"
        print(f"{runs}, {where}; {ready} up to date; about {duration(total)} one after the other")
        wanted = sum(expected_megabytes(self.project, self.plan[run_id]) or 0 for run_id in self.stale)
        free = shutil.disk_usage(self.project.outputs).free / 1e6
        if free < wanted:
            print(f"the disk has {free:.0f} MB free, the runs may need {wanted:.0f} MB")
        sys.stdout.flush()

    def _write_benchmark(self) -> None:
        """Write the embedded benchmark, before runs at the same time ask for it.

        Raises:
            OSError: it could not be written; the message says why.
        """
        if not any(self.plan[run_id].parameters.get("data") == "benchmark" for run_id in self.stale):
            return
        code = "from wsss_lib.data.synthetic import ensure_benchmark; ensure_benchmark()"
        written = subprocess.run([sys.executable, "-c", code], cwd=self.project.root, capture_output=True, text=True)
        if written.returncode:
            raise OSError(written.stderr.strip().splitlines()[-1])

    def _run_batch(self, batch: list[str], progress: Progress) -> int:
        """Let snakemake make the runs of a batch; returns its exit code."""
        self._write_plan(batch)
        with open(self.project.state / "snakemake.log", "a", encoding="utf-8") as log:
            graph = subprocess.Popen(
                self._command(),
                cwd=self.project.state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt reaches the launcher alone, which passes it on
                env=os.environ | {"PYTHONPATH": _python_path(self.project.root)},
            )
        try:
            while graph.poll() is None:
                progress.show({run_id: read_state(self.project.state, run_id) for run_id in batch})
                time.sleep(POLL_SECONDS)
        except BaseException:
            states = {run_id: read_state(self.project.state, run_id) for run_id in batch}
            _end(graph)
            failed = {run_id: state for run_id, state in states.items() if state["state"] == "failed"}
            self._settle(batch, progress, failed)
            raise
        self._settle(batch, progress)
        return graph.returncode

    def _write_plan(self, batch: list[str]) -> None:
        ways = longest_ways(
            {run_id: self.expected[run_id] or 0 for run_id in batch},
            {run_id: self.plan[run_id].inputs for run_id in batch},
        )
        runs = {
            run_id: {
                "parameters": self.plan[run_id].parameters,
                "injected": self.plan[run_id].injected,
                "inputs": self.plan[run_id].inputs,
                "patterns": self.plan[run_id].patterns,
                "fresh": run_id in self.fresh,
                "priority": ways[run_id],
                "minutes": math.ceil(3 * (self.expected[run_id] or 8 * 3600) / 60) + 10,
            }
            for run_id in batch
        }
        plan = {
            "root": str(self.project.root),
            "outputs": str(self.project.outputs),
            "since": self.since,
            "local": self.on.local,
            "threads": self.on.threads,
            "gpus": self.on.gpus,
            "runs": runs,
        }
        write_json(self.project.state / "plan.json", plan)

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "wsss_lib.workflow.graph", str(os.getpid())),
            *("--snakefile", str(HERE / "Snakefile"), "--profile", str(self.on.profile)),
            *("--directory", str(self.project.state), "--runtime-source-cache-path", str(self.project.state / "cache")),
            *("--config", f"plan={self.project.state / 'plan.json'}", "--forceall"),
            *self.on.arguments,
        ]

    def _settle(self, batch: list[str], progress: Progress, failed: dict[str, Any] | None = None) -> None:
        """Final state of every run of a batch: the record decides, the runner's last word explains.

        Args:
            failed: after an interrupt, which ends runs, states of those that had failed before.
        """
        for run_id in batch:
            state = read_state(self.project.state, run_id)
            blocked = [i for i in self.plan[run_id].inputs if self.final.get(i, {"state": "done"})["state"] != "done"]
            if self._is_made(run_id, state):
                state = state | {"state": "done"}
            elif failed is not None:
                state = failed.get(run_id, {"state": "interrupted"})
            elif blocked:
                state = {"state": "not run", "error": f"because of {blocked[0]}"}
            elif state["state"] != "failed":
                log = self.project.state / "snakemake.log"
                state = {"state": "failed", "error": f"its process ended without a word (out of memory?); see {log}"}
            self.final[run_id] = state
        progress.show({run_id: self.final[run_id] for run_id in batch})

    def _is_made(self, run_id: str, state: dict[str, Any]) -> bool:
        folder = self.project.folder(run_id)
        if missing_files(folder):
            return False
        return state["state"] == "done" or (folder / RECORD).stat().st_mtime >= self.since

    def _summarize(self) -> None:
        states = {run_id: self.final.get(run_id, {"state": "interrupted"}) for run_id in self.stale}
        counts = {name: sum(state["state"] == name for state in states.values()) for name in ("done", "failed")}
        ready = len(self.plan) - len(self.stale)
        left = len(self.stale) - sum(counts.values())
        took = duration(time.time() - self.since)
        print(
            f"\n{counts['done']} done, {ready} up to date, {counts['failed']} failed, {left} not run; {took}",
        )
        for run_id, state in states.items():
            if state["state"] == "failed":
                folder = self.project.folder(run_id)
                pages = [path for name in reversed(PAGES) if (path := folder / name).exists()]
                print(f"failed   {run_id}: {state['error']}")
                print(f"         page: {pages[0] if pages else 'none was written'}")
            elif state["state"] == "not run":
                print(f"not run  {run_id} {state['error']}")
        if any(state["state"] == "interrupted" for state in states.values()):
            print("interrupted; finished runs are kept, the same command (without --fresh) goes on with the others")
        for run_id in self.plan:
            made = states.get(run_id, {"state": "done"})["state"] == "done"
            if made and (index := self.project.folder(run_id) / INDEX).exists():
                print(f"report   {index}")
        sys.stdout.flush()


def _python_path(root: Path) -> str:
    """Search path that finds the library from any working folder."""
    return os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])


def _end(graph: subprocess.Popen) -> None:
    """End snakemake and its jobs: by an interrupt, which also cancels jobs of a cluster, else by force."""
    try:
        os.killpg(graph.pid, signal.SIGINT)
        graph.wait(GRACE_SECONDS)
    except (ProcessLookupError, subprocess.TimeoutExpired, KeyboardInterrupt):
        try:
            os.killpg(graph.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        graph.wait()
