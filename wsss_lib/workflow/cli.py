"""The command line of run_all.sh. Importing it needs the standard library alone, so that --help works at once."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from wsss_lib.files import REMEDIES

HELP = """\
usage: ./run_all.sh [PROFILE] [OPTIONS]      run the notebooks of a profile (default: demo)
       ./run_all.sh COMMAND [OPTIONS]

profiles
  smoke      a handful of embedded images; all notebooks within minutes
  demo       the embedded benchmark; every figure and table, on 2 cores, without a download
  photos     real photographs below $WSSS_DATA
  paper      the papers' data sets and settings, on GPUs

options
  --only NAME ...    these notebooks, parameter files or runs, and the runs they need where they are not up to date
                     (for example --only 10_cam, or 15_fmix_cam/demo_train_aug, or 10_cam/demo-seed2)
  --jobs N           notebooks at a time; they share the cores (default: one for each GPU; without one, one for
                     each core and each 5 GB of memory, at most 4); OMP_NUM_THREADS=1 before the command caps the
                     threads of each
  --seeds N          seeds 0 to N-1: runs demo, demo-seed1, ...; notebooks read runs of their own seed
  --grid             the variants <profile>_<variant>.yaml too
  --set NAME=VALUE   a parameter in place of the file's value, for every notebook of --only, else all, that has it
                     (repeat for more); the run keeps its name, and is out of date for the next command without --set
  --params FILE      a parameter file of your own for the notebook of --only; the run is named after the file
  --list             only say what would run and why, what is up to date, and the minutes and disk it takes
  --fresh            run again what is up to date (what --only names, else all)
  --on MACHINE       local (default), slurm, or a folder with your own snakemake config.yaml

commands
  predict --from RUN --images DIR [--out NAME]
                     maps, label maps and overlays for your own photographs, with the weights of a run of a notebook 10
                     to 15, 17, 20 or 22; the classes are those that the run was trained on
  test [PYTEST OPTIONS]   the test suite
  download NAME ...  data sets and weights into $WSSS_DATA; --list names them; --out DIR, --remove-archives
  bench              speed against the plain way, then two steps of every paper file; --only NAME: benchmarks of that
                     name, paper, or paper/10_cam; --write notes what paper files took
  lab                JupyterLab in the same environment
  setup              make the environment and stop; the last line is its Python
  clean              remove from outputs/ what git does not keep: runs that are not committed, maps, labels, weights,
                     figures, HTML pages, the benchmark; what is committed stays (outside a git checkout: records,
                     tables and executed pages stay)

A run is up to date when its parameters, its notebook's code, the library code it imports and its inputs are unchanged,
and all its files are there. Stop at any time and start again: finished runs are kept.
exit code: 0 all is well; 1 a notebook or test failed; 2 the command is wrong; 75 another run_all.sh is at work; 130
interrupted.

environment variables: WSSS_DATA, folder of your data sets; WSSS_OUTPUTS, in place of outputs/; PYTHON, the Python that
makes .venv.
"""
# tests of one file stay together: some share a server or a run that is made once
TEST = ["pytest", "--numprocesses=auto", "--dist=loadfile", "--durations=20"]
PROGRAMS = {
    "test": TEST,
    "download": ["wsss_lib.data.download"],
    "bench": ["wsss_lib.tests.bench"],
    "lab": ["jupyterlab"],
}
COMMANDS = (*PROGRAMS, "predict", "clean", "setup")
QUIET = {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class CommandError(Exception):
    """A command line that cannot be understood."""


class Parser(argparse.ArgumentParser):
    """Options; a mistake is one line."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; ./run_all.sh --help lists profiles, commands and options")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def options() -> Parser:
    """Options of running a profile."""
    parser = Parser(prog="./run_all.sh", add_help=False, allow_abbrev=False)
    parser.add_argument("profile", nargs="?", default=None)
    parser.add_argument("--only", nargs="+", action="extend", default=[])
    parser.add_argument("--jobs", type=positive)
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--params", type=Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--on", default="local")
    return parser


def predict_options() -> Parser:
    parser = Parser(prog="./run_all.sh predict", add_help=False, allow_abbrev=False)
    parser.add_argument("--from", required=True, dest="weights_from")
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--out", default="predict")
    return parser


def parse(words: list[str]) -> argparse.Namespace:
    """The command line as a namespace with ``command`` and its options.

    Raises:
        CommandError: something unknown, or a value of the wrong kind.
    """
    command = words[0] if words else ""
    if command in PROGRAMS:
        return argparse.Namespace(command=command, rest=words[1:])
    if command in ("clean", "setup"):
        if words[1:]:
            raise CommandError(f"{command} takes no options, not {words[1]!r}")
        return argparse.Namespace(command=command)
    if command == "predict":
        return argparse.Namespace(command=command, **vars(predict_options().parse_args(words[1:])))
    chosen = options().parse_args(words)
    from wsss_lib.workflow.project import PROFILES, unknown

    if chosen.profile is None and chosen.only and chosen.only[-1] in PROFILES:
        chosen.profile = chosen.only.pop()
    chosen.profile = chosen.profile or "demo"
    if chosen.profile not in PROFILES:
        raise CommandError(str(unknown("profile or command", chosen.profile, (*PROFILES, *COMMANDS))))
    pairs = [setting.partition("=") for setting in chosen.settings]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise CommandError(f"--set {name!r} should read NAME=VALUE")
    chosen.settings = {name: value for name, _, value in pairs}
    if chosen.params:
        chosen.params = Path(os.environ.get("WSSS_CALLED_FROM", ".")) / chosen.params
    return argparse.Namespace(command="run", **vars(chosen))


def main(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    if {"-h", "--help"} & set(words[:1] if words[:1] == ["test"] else words):
        print(HELP, end="")
        return 0
    try:
        chosen = parse(words)
        return carry_out(chosen)
    except CommandError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        remedy = REMEDIES.get(error.errno, "")
        print(f"run_all.sh: {error}" + (f"; {remedy}" if remedy not in str(error) else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def carry_out(chosen: argparse.Namespace) -> int:
    if chosen.command == "setup":
        print(sys.executable)
        return 0
    if chosen.command in PROGRAMS:
        environment = os.environ | (QUIET if chosen.command != "lab" else {})
        os.execve(sys.executable, [sys.executable, "-m", *PROGRAMS[chosen.command], *chosen.rest], environment)
    from wsss_lib.parameters import ParameterError
    from wsss_lib.workflow import commands
    from wsss_lib.workflow.project import PlanError

    try:
        return {"run": commands.run, "predict": commands.predict, "clean": commands.clean}[chosen.command](chosen)
    except (PlanError, ParameterError) as error:
        raise CommandError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
