"""Files that are whole or absent, and the names of those that make up a run.

Every file of a run is written through :func:`write_file`: to a temporary name in the same folder, then renamed.
Whoever finds a file under its final name finds all of it. Light to import: the workflow uses it without torch.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

RECORD = "record.json"
DRAFT = ".record.json"  # becomes RECORD once the whole page has been executed
PAGES = ("notebook.ipynb", "notebook.html")
REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EROFS: "the disk is read-only; set WSSS_OUTPUTS to a folder that can be written",
}


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Create ``path`` with what ``write(stream)`` writes, or leave what was there.

    Raises:
        OSError: the disk is full or read-only; the message names the file and the remedy, nothing half-written stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            write(stream)
        os.replace(temporary, path)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
        raise OSError(error.errno, f"could not write {path}: {remedy}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    return write_file(path, lambda stream: stream.write(text.encode("utf-8")))


def write_json(path: Path, content: Any) -> Path:
    """Write a record; NaN is refused, since JSON has no such value."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=False)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Files of a run by path below its folder, with size in bytes and SHA-256; pages and hidden files left out."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    relative = {path.relative_to(folder): path for path in files}
    return {
        name.as_posix(): {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for name, path in relative.items()
        if name.as_posix() not in (*PAGES, RECORD) and not any(part.startswith(".") for part in name.parts)
    }


def missing_files(folder: Path) -> list[str]:
    """What a finished run lacks: its record, or files it names that are absent or of another size; empty if whole."""
    if not (folder / RECORD).exists():
        return [RECORD]
    files = read_json(folder / RECORD)["files"]
    return [
        name
        for name, made in files.items()
        if not (folder / name).is_file() or (folder / name).stat().st_size != made["bytes"]
    ]
