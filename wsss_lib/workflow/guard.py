"""What keeps processes from outliving their parent, from writing the same run, and from sharing a GPU."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.5
_held: list[FileLock] = []


def die_with(parent: int) -> None:
    """Kill this process as soon as ``parent``, a process id, is no longer its parent; looked at twice a second.

    Snakemake and its jobs would otherwise outlive a launcher that was killed, and write next to those of a new one.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def hold_lock(path: str) -> None:
    """Hold a lock until this process ends, and with it the children that inherit it (a kernel and its workers)."""
    lock = FileLock(path, thread_local=False)
    lock.acquire(poll_interval=POLL_SECONDS)
    _held.append(lock)


def wait_for_lock(path: Path) -> None:
    """Return when nobody holds a lock; used before a kernel starts, while an orphan of the same run may be dying."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path).acquire(poll_interval=POLL_SECONDS):
        pass


def visible_gpus() -> list[str]:
    """Ids of the GPUs that may be used: those of ``CUDA_VISIBLE_DEVICES`` if it is set, else all of the machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", listed.stdout, flags=re.MULTILINE) if listed.returncode == 0 else []


@contextmanager
def gpu_slot(gpus: list[str]) -> Iterator[str | None]:
    """The first free GPU, for this process alone among all runs of this user on this machine; ``None`` without GPUs.

    Snakemake only counts GPUs and hands out no number, so that each run takes a lock file; the system frees it when
    the run ends in whichever way.
    """
    if not gpus:
        yield None
        return
    folder = slots_folder()
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"gpu-{re.sub(r'[^A-Za-z0-9-]', '_', gpu)}.lock", thread_local=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            try:
                yield gpu
            finally:
                lock.release()
            return
        time.sleep(POLL_SECONDS)


def slots_folder() -> Path:
    """Folder of the GPU locks: local to the machine, and to the allocation within a slurm cluster."""
    return Path(tempfile.gettempdir()) / f"wsss-gpus-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'machine')}"
