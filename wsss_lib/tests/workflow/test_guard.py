"""Guards: processes end with their parent, a lock is held to the end of a process, GPUs are never shared."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from wsss_lib.paths import PROJECT
from wsss_lib.tests.workflow.toy import wait_until
from wsss_lib.workflow import guard

SLOT = """
import sys, time
from wsss_lib.workflow.guard import gpu_slot
with gpu_slot(["0", "GPU-5/x"]) as gpu:
    begun = time.time()
    time.sleep(0.3)
    print(gpu, begun, time.time())
"""
PARENT = """
import subprocess, sys, time
child = "import os, sys, time; from wsss_lib.workflow.guard import die_with, hold_lock; die_with(int(sys.argv[1]))"
child += "; hold_lock(sys.argv[2]); print(os.getpid(), flush=True); time.sleep(60)"
import os
process = subprocess.Popen([sys.executable, "-c", child, str(os.getpid()), sys.argv[1]])
time.sleep(60)
"""


def python(code, *words, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_gpus_are_never_taken_twice(tmp_path):
    processes = [python(SLOT, TMPDIR=str(tmp_path)) for _ in range(5)]
    with ThreadPoolExecutor() as pool:
        printed = list(pool.map(lambda process: process.communicate(timeout=60)[0].split(), processes))
    spans = [(gpu, float(begun), float(ended)) for gpu, begun, ended in printed]
    assert {gpu for gpu, *_ in spans} == {"0", "GPU-5/x"}
    for gpu in ("0", "GPU-5/x"):
        own = sorted(span[1:] for span in spans if span[0] == gpu)
        assert all(first[1] <= second[0] for first, second in pairwise(own)), own


def test_a_child_dies_with_its_killed_parent_and_frees_its_lock(tmp_path):
    lock = tmp_path / "a.lock"
    parent = python(PARENT, str(lock))
    child = int(parent.stdout.readline())
    with pytest.raises(guard.Timeout):
        guard.FileLock(lock).acquire(blocking=False)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    guard.wait_for_lock(lock)
    wait_until(lambda: not alive(child))
    parent.stdout.close()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "named, gpus", [("0,1", ["0", "1"]), (" 3 ", ["3"]), ("", []), ("-1", []), ("MIG-a", ["MIG-a"])]
)
def test_the_named_gpus_are_the_ones_to_use(monkeypatch, named, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert guard.visible_gpus() == gpus


def test_gpus_are_listed_by_the_driver(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert guard.visible_gpus() == ["0", "1"]
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert guard.visible_gpus() == []


def test_without_gpus_nothing_is_taken():
    with guard.gpu_slot([]) as gpu:
        assert gpu is None
