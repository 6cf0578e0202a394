"""Snakemake in a process that ends with its launcher: ``python -m wsss_lib.workflow.graph LAUNCHER_PID ARGUMENTS``."""

import os
import signal
import sys

from snakemake.cli import main

from wsss_lib.workflow.guard import die_with

if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a launcher in the background passes on that it is ignored
    os.environ["WSSS_GRAPH_PID"] = str(os.getpid())
    main(sys.argv[2:])
