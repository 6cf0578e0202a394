"""Run the benchmarks on one core, then the paper parameter files; the exit code is 1 when one misses its goal."""

import argparse
import sys

import torch

from wsss_lib.tests.bench import load_benchmarks, run_benchmarks
from wsss_lib.tests.bench.papers import run_papers
from wsss_lib.workflow.project import PlanError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m wsss_lib.tests.bench", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", help="operations whose name contains this text; paper: the files; paper/10_cam"
    )
    parser.add_argument(
        "--write", action="store_true", help="write what the paper files took into their heads, below params/"
    )
    wanted = parser.parse_args(arguments)
    only, write = wanted.only or "", wanted.write
    kind, _, notebook = only.partition("/")
    if kind == "paper":
        try:
            return 0 if run_papers(notebook, write=write) else 1
        except PlanError as error:
            parser.error(str(error))
    known = load_benchmarks()
    chosen = [one for name, one in known.items() if only in name]
    if not chosen:
        parser.error(f"no benchmark is called {only!r}; there are: {', '.join(known)}")
    torch.set_num_threads(1)
    done = [run_benchmarks(chosen)] + ([] if only else [run_papers(write=write)])
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
