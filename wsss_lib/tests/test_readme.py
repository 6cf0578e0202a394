"""The README: a row for every notebook, links that lead somewhere, commands that run_all.sh understands."""

import re
import shlex
from pathlib import Path

import pytest

from wsss_lib.paths import NOTEBOOKS, PARAMS, PROJECT
from wsss_lib.workflow import cli

README = (PROJECT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def rows(heading: str) -> list[list[str]]:
    """Cells of the rows of the table below a heading."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_a_row(path):
    found = [row for row in rows("Paper, notebook, figure, table") if f"[{path.stem}](notebooks/{path.name})" in row[1]]
    assert len(found) == 1, f"one row of the table names the paper of {path.stem}, its figures and its rendered page"
    paper, _, figures, rendered = found[0]
    assert paper and figures and f"(outputs/{path.stem}/demo/" in rendered


def commands() -> list[str]:
    """Commands of the README, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in [*lines, *re.findall(r"`([^`\n]+)`", README)] if re.match(r"\./run_all\.sh( |$)", line)]


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command):
    words = shlex.split(command.replace("<method>", "method"), comments=True)[1:]
    if words != ["--help"]:
        assert cli.parse(words).command


def test_links_lead_to_files():
    targets = {target.partition("#")[0] for _, target in LINK.findall(README) if "://" not in target}
    missing = [target for target in sorted(targets) if not Path(PROJECT, target).exists()]
    assert targets and not missing


def test_paper_files_that_were_tried_are_counted():
    counted = re.search(r"All (\d+) `paper` files of methods have been run", README)
    files = [file for file in PARAMS.glob("*/paper*.yaml") if file.parent.name < "90"]
    tried = [file for file in files if " images: " in file.read_text(encoding="utf-8").partition("# takes:")[2]]
    assert counted and int(counted[1]) == len(files) == len(tried)
