"""One hash that says whether a run is up to date.

It covers the parameters, the notebook's code cells, the syntax trees without docstrings of the library modules that the
notebook imports, directly or through other modules, and the hashes of its input runs. Comments, formatting and prose
are free to change. An import by a computed name (``importlib.import_module``) is not seen.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from wsss_lib.files import RECORD, describe, file_hash, missing_files, newest_change
from wsss_lib.workflow.plan import PlannedRun
from wsss_lib.workflow.project import Project

DIGITS = 12  # of a hash, where it only names what changed


@dataclass(frozen=True)
class Fingerprint:
    """The parts of a run's hash.

    Attributes:
        parameters: values by name.
        notebook: hash of the code cells.
        library: hash by module name.
        tables: hash by name of the files beside the parameter folders; only for runs that read patterns of runs.
        inputs: hash by run id.
    """

    parameters: dict[str, Any]
    notebook: str
    library: dict[str, str]
    tables: dict[str, str]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        return _hash(json.dumps(vars(self), sort_keys=True, ensure_ascii=False))

    @property
    def parts(self) -> dict[str, Any]:
        """All but the parameters, for the record, so that a later difference can be named: first digits suffice."""
        hashes = {name: vars(self)[name] for name in ("library", "tables", "inputs")}
        short = {name: {key: value[:DIGITS] for key, value in part.items()} for name, part in hashes.items()}
        return {"notebook": self.notebook[:DIGITS]} | short


def fingerprint(
    project: Project, notebook: str, parameters: dict[str, Any], inputs: dict[str, str], reads_patterns: bool = False
) -> Fingerprint:
    """What a run of ``notebook`` would be made from, as the files are now.

    Args:
        inputs: hashes of the input runs by run id.
        reads_patterns: the run gathers other runs, and so depends on the printed results beside the parameter folders.
    """
    cells = code_cells(project.notebook(notebook))
    tables = sorted(path for path in project.params.glob("*.*") if path.is_file()) if reads_patterns else []
    return Fingerprint(
        parameters=parameters,
        notebook=_hash("\n# cell\n".join(cells)),
        library=imported_modules(project.library, cells),
        tables={path.name: file_hash(path) for path in tables},
        inputs=dict(sorted(inputs.items())),
    )


def finished_inputs(project: Project, run: PlannedRun) -> dict[str, str]:
    """Hashes of the runs that ``run`` reads, from their records as they are now; without those that are not whole.

    A run of JupyterLab has no hash: where it is named, its record file is hashed instead; patterns leave it out.
    """
    matching = []
    if run.patterns:
        found = (f"{path.parent.parent.name}/{path.parent.name}" for path in project.outputs.glob(f"[0-9]*/*/{RECORD}"))
        matching = [run_id for run_id in sorted(found) if run.reads(run_id)]
    records = {run_id: project.record(run_id) for run_id in (*run.inputs, *matching)}
    hashes = {run_id: record["hash"] for run_id, record in records.items() if record}
    by_hand = [run_id for run_id in run.inputs if run_id in hashes and not hashes[run_id]]
    hashes |= {run_id: file_hash(project.folder(run_id) / RECORD) for run_id in by_hand}
    return {run_id: digest for run_id, digest in hashes.items() if digest}


@dataclass(frozen=True)
class Status:
    """Whether a run is up to date: the hash it has or would get, and the reasons to run it, none where it is."""

    digest: str
    reasons: tuple[str, ...]

    @property
    def up_to_date(self) -> bool:
        return not self.reasons


def statuses(
    project: Project, plan: dict[str, PlannedRun], fresh: Iterable[str] = (), check_files: bool = True
) -> dict[str, Status]:
    """Status of every run of a plan.

    Args:
        plan: runs by id, each after its inputs.
        fresh: runs to make again whatever their hash.
        check_files: also look for the files that the records list. Without, only hashes count: committed records come
            without their maps.
    """
    found: dict[str, Status] = {}
    for run_id, run in plan.items():
        inputs = finished_inputs(project, run)
        inputs |= {target: found[target].digest for target in inputs.keys() | set(run.inputs) if target in found}
        now = fingerprint(project, run.notebook, run.parameters, inputs, bool(run.patterns))
        reasons = ["asked for"] if run_id in fresh else []
        reasons += changes(project, run_id, now, check_files)
        if run.patterns:
            reasons += [f"{other} is not up to date" for other in found if run.reads(other) and found[other].reasons]
        found[run_id] = Status(now.digest, tuple(reasons))
    return found


def changes(project: Project, run_id: str, now: Fingerprint, check_files: bool = True) -> list[str]:
    """What differs between a run's record and ``now``; empty where the run is up to date."""
    record = project.record(run_id)
    if record is None:
        return ["no finished run"]
    reasons = []
    if record["hash"] != now.digest:
        reasons += _differences(record, now) or ["made by other code"]
    if check_files and (damaged := damaged_files(project.folder(run_id), record)):
        more = f" and {len(damaged) - 1} more files are" if len(damaged) > 1 else " is"
        reasons.append(f"{damaged[0]}{more} missing or changed")
    return reasons


def damaged_files(folder: Path, record: dict[str, Any]) -> list[str]:
    """What a record lists and is absent, of another size, or written after it with another hash."""
    missing = missing_files(folder)
    written = (folder / RECORD).stat().st_mtime_ns
    changed = [
        name
        for name, made in record["files"].items()
        if name not in missing
        and newest_change(folder / name) > written
        and describe(folder / name)["sha256"] != made["sha256"]
    ]
    return missing + changed


def _differences(record: dict[str, Any], now: Fingerprint) -> list[str]:
    """Names of the parts of the hash that differ from the record's; none where the record does not keep them."""
    before = record.get("fingerprint")
    if before is None:
        return []
    found = [
        f"parameter {name}: {record['parameters'].get(name)!r} -> {now.parameters.get(name)!r}"
        for name in sorted(record["parameters"].keys() | now.parameters.keys())
        if record["parameters"].get(name) != now.parameters.get(name)
    ]
    if before["notebook"] != now.parts["notebook"]:
        found.append("code of the notebook changed")
    for part in ("library", "tables", "inputs"):
        old, new = before[part], now.parts[part]
        found += [f"{name} changed" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return found


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells, without the parameters cell and without blanks at line ends."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = (c for c in cells if c["cell_type"] == "code" and "parameters" not in c["metadata"].get("tags", []))
    return [re.sub(r"[ \t]+$", "", "".join(cell["source"]), flags=re.MULTILINE).strip() for cell in code]


def imported_modules(library: Path, cells: Iterable[str]) -> dict[str, str]:
    """Hash by name of every module of the library that ``cells`` import, and that those import, at any depth.

    A cell that is no Python imports nothing: its run will fail and show it, and the other runs of a plan need not.
    """
    waiting: set[str] = set()
    for cell in cells:
        with suppress(SyntaxError):
            waiting |= _imports(_without_magics(cell), library, "")
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        path = _module_file(library, name)
        source = path.read_text(encoding="utf-8")
        found[name] = tree_hash(source)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting |= _imports(source, library, package) - found.keys()
    return dict(sorted(found.items()))


def _without_magics(cell: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines())


def _imports(source: str, library: Path, package: str) -> set[str]:
    """Modules of the library, with the packages that hold them, that ``source`` imports anywhere in it."""
    own = {name for name in _imported_names(source, package) if name.split(".")[0] == library.name}
    with_packages = {".".join(name.split(".")[:depth]) for name in own for depth in range(1, name.count(".") + 2)}
    return {name for name in with_packages if _module_file(library, name)}


@lru_cache(maxsize=1024)
def _imported_names(source: str, package: str) -> frozenset[str]:
    """What ``source`` imports anywhere in it: modules, and names that are modules if there is such a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _module_file(library: Path, name: str) -> Path | None:
    path = library.joinpath(*name.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py") if path != library else (path / "__init__.py",)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@lru_cache(maxsize=1024)
def tree_hash(source: str) -> str:
    """Hash of a module's syntax tree without its docstrings; the same for every Python that can parse it.

    >>> tree_hash("def f(x):\\n    'Doc.'\\n    return x  # comment") == tree_hash("def f(x): return (x)")
    True
    """
    return _hash(_shape(ast.parse(source)))


def _shape(node: Any) -> str:
    """A tree as text: kinds of nodes and their filled fields, so that fields of newer Pythons change nothing."""
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"}
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    if isinstance(node, ast.JoinedStr):
        fields["values"] = _merged(node.values)
    return f"{type(node).__name__}({','.join(f'{name}={_shape(value)}' for name, value in fields.items())})"


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """Parts of an f-string with adjacent constants joined and empty ones dropped; Pythons split them differently."""
    merged: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant) and value.value == "":
            continue
        if isinstance(value, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(merged[-1].value + value.value)
        else:
            merged.append(value)
    return merged


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
