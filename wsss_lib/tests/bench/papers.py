"""Two steps of every paper parameter file, with its real network and crop, on stand-ins of its data sets on the CPU."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from wsss_lib.files import RECORD, read_json
from wsss_lib.paths import PROJECT
from wsss_lib.tests.bench.stand_ins import write_stand_ins

SMALL = {
    "max_steps": "2",
    "max_images": "2",
    "batch_size": "2",
    "epochs": "2",
    "guided_epochs": "2",
    "min_count": "1",
    "weights": "",
    "teacher_weights": "",
    "precision": "32-true",
    "processes": "1",
    "num_workers": "0",
    "scales": "[0.5]",  # of the maps; training keeps the papers' crops
}


def run_papers(only: str = "", show: Callable[[str], object] = print) -> bool:
    """Run them all, or those of one notebook, and show seconds and memory; whether every one came to its end."""
    with tempfile.TemporaryDirectory() as temporary:
        data, outputs = Path(temporary) / "data", Path(temporary) / "outputs"
        write_stand_ins(data)
        settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "wsss_lib.workflow", "paper", "--grid", *settings]
        command += ["--only", only] if only else []
        environment = os.environ | {"WSSS_DATA": str(data), "WSSS_OUTPUTS": str(outputs)}
        finished = subprocess.run(command, cwd=PROJECT, env=environment)
        show(f"{'paper parameter file, two steps and two images a split':<52} {'seconds':>9} {'peak MB':>9}")
        for path in sorted(outputs.glob(f"*/paper*/{RECORD}")):
            record = read_json(path)
            show(f"{record['run']:<52} {record['seconds']:9.1f} {record['peak_memory_mb']:9d}")
    return finished.returncode == 0
