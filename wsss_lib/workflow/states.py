"""How the runs of one launch stand: each runner writes its state to a small file, the launcher reads them."""

import time
from pathlib import Path
from typing import Any

from wsss_lib.files import read_json, write_json


def state_file(folder: Path, run_id: str) -> Path:
    return folder / "states" / f"{run_id.replace('/', '__')}.json"


def write_state(folder: Path, run_id: str, state: str, **details: Any) -> None:
    """Note that a run is ``running``, ``done`` or ``failed``; ``details`` are kept beside."""
    write_json(state_file(folder, run_id), {"state": state, "at": time.time()} | details)


def read_state(folder: Path, run_id: str) -> dict[str, Any]:
    """State of a run; ``waiting`` where its runner has not begun."""
    try:
        return read_json(state_file(folder, run_id))
    except (OSError, ValueError):
        return {"state": "waiting"}


def forget_states(folder: Path) -> None:
    for path in (folder / "states").glob("*.json"):
        path.unlink(missing_ok=True)
