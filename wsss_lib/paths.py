"""Where things lie: the project, its notebooks and parameters, the runs, and the data sets of the user."""

import os
from pathlib import Path

PROJECT = Path(os.environ.get("WSSS_PROJECT") or Path(__file__).resolve().parents[1])  # the tests run small projects
NOTEBOOKS = PROJECT / "notebooks"
PARAMS = PROJECT / "params"


def outputs_root() -> Path:
    """Folder of all runs: ``$WSSS_OUTPUTS``, else ``outputs/`` of the project."""
    return Path(os.environ.get("WSSS_OUTPUTS") or PROJECT / "outputs").resolve()


def run_folder(run_id: str) -> Path:
    """Folder of one run, named ``<notebook>/<run>``.

    Raises:
        ValueError: the id is not two plain names joined by a slash.
    """
    parts = run_id.split("/")
    if len(parts) != 2 or any(not part or part.startswith(".") for part in parts):
        raise ValueError(f"run id {run_id!r} should read <notebook>/<run>, for example 10_cam/demo")
    return outputs_root() / parts[0] / parts[1]


def benchmarks_root() -> Path:
    """Folder that holds the embedded benchmark in its sizes; made by ``wsss_lib.data.synthetic``."""
    return outputs_root() / ".benchmark"


def data_path(name: str) -> Path:
    """Path of a data set or weights file below ``$WSSS_DATA``.

    Raises:
        FileNotFoundError: the variable is not set, or there is nothing at that path.
    """
    root = os.environ.get("WSSS_DATA")
    if not root:
        raise FileNotFoundError(
            f"{name!r} is looked for below the folder named by the environment variable WSSS_DATA, which is not set; "
            f"set it to your folder of data sets (for example: export WSSS_DATA=$HOME/data)"
        )
    path = (Path(root) / name).resolve()
    if not path.is_relative_to(Path(root).resolve()):
        raise FileNotFoundError(f"{name!r} leads out of WSSS_DATA ({root}); name a path below it")
    if not path.exists():
        raise FileNotFoundError(
            f"nothing at {path} (WSSS_DATA is {root}); "
            f"`python -m wsss_lib.data.download --list` names what can be fetched"
        )
    return path


def weights_path(name: str) -> Path | str | None:
    """What a parameter ``weights`` means: nothing for "", a file below ``$WSSS_DATA`` for a name with an ending.

    Any other name is handed on unchanged: a weight set that torchvision fetches.

    >>> weights_path("IMAGENET1K_V1")
    'IMAGENET1K_V1'
    """
    if not name:
        return None
    return data_path(name) if Path(name).suffix else name
