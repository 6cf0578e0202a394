"""Who imports whom: the table of the architecture, read from the sources."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1]
EVERYTHING = {path.stem for path in LIBRARY.iterdir() if not path.name.startswith("__")}

MAY_IMPORT = {
    "paths": set(),
    "fit": set(),
    "schedules": set(),
    "scores": set(),
    "figures": set(),
    "data": {"paths"},
    "parameters": {"paths"},
    "files": set(),
    "store": {"files"},
    "tables": {"paths"},
    "report": {"paths", "files", "parameters", "tables"},
    "claims": {"paths", "tables"},
    "measurements": {"paths", "store", "tables", "report", "claims", "figures"},
    "explore": {"paths", "files", "store", "data", "labels", "scores", "figures"},
    "run": {"paths", "parameters", "files"},
    "networks": set(),
    "labels": set(),
    "maps": {"networks"},
    "losses": {"labels"},
    "workflow": {"paths", "parameters", "files"},
    "tests": EVERYTHING,
}


def modules(name: str) -> list[Path]:
    folder = LIBRARY / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported_parts(source: Path) -> set[str]:
    """Parts of the library that a source file imports, at any depth of the file."""
    parts = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: import from the package's full name, not relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {name.split(".")[1] for name in names if name.startswith("wsss_lib.")}
    return parts


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_follow_the_table(part):
    for source in modules(part):
        extra = imported_parts(source) - MAY_IMPORT[part] - {part}
        assert not extra, f"{source.relative_to(LIBRARY)} imports {sorted(extra)}"


def test_every_part_stands_in_the_table():
    assert set(MAY_IMPORT) >= EVERYTHING
