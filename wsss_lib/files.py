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


def describe(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file; of a folder the number of its files, their size, and one hash of them all.

    A folder's hash is that of the lines ``<name> <hash>`` of its files, sorted by name, subfolders included.
    """
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": file_hash(path)}
    lines = [f"{name} {file_hash(file)}\n" for name, file in _visible_files(path).items()]
    return _extent(path) | {"sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """What a run consists of: its files, and each of its folders (``maps/``) as one; no pages or hidden files."""
    return {
        path.name + "/" * path.is_dir(): describe(path)
        for path in sorted(folder.iterdir())
        if path.name not in (*PAGES, RECORD) and not path.name.startswith(".")
    }


def missing_files(folder: Path) -> list[str]:
    """What a finished run lacks: its record, or what it names and is absent or of another size; empty if whole."""
    if not (folder / RECORD).exists():
        return [RECORD]
    files = read_json(folder / RECORD)["files"]
    return [name for name, made in files.items() if not _extent(folder / name).items() <= made.items()]


def newest_change(path: Path) -> int:
    """Time when a file, or the file of a folder that is newest, was written, ns."""
    return max((file.stat().st_mtime_ns for file in _visible_files(path).values()), default=0)


def _visible_files(path: Path) -> dict[str, Path]:
    """Files of a folder by path below it, sorted, without hidden ones; a file stands for itself."""
    if path.is_file():
        return {path.name: path}
    found = {file.relative_to(path): file for file in sorted(path.rglob("*")) if file.is_file()}
    return {
        name.as_posix(): file for name, file in found.items() if not any(part.startswith(".") for part in name.parts)
    }


def _extent(path: Path) -> dict[str, int]:
    """Bytes of a file, or number and bytes of the files of a folder; -1 where there is nothing."""
    if not path.exists():
        return {"bytes": -1}
    sizes = [file.stat().st_size for file in _visible_files(path).values()]
    return ({"files": len(sizes)} if path.is_dir() else {}) | {"bytes": sum(sizes)}
