"""The environment, from the one list of dependencies in pyproject.toml.

``python -m wsss_lib.workflow.environment`` with one of

- ``--write``: write environment.yml, for conda users;
- ``--check``: compare it and the lock with the list;
- ``--lacking``: name the first package that this Python has not got, or not in a version that is asked for;
- ``--link``: let this Python find the library from any folder, and git strip the notebooks' outputs.

The lock is made by ``uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-header
--no-annotate -o requirements.lock``.
"""

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LINES = """\
# Made from pyproject.toml by `python -m wsss_lib.workflow.environment --write`.
# conda env create -f environment.yml && conda activate {name}
# ./run_all.sh uses it while it is active, and lets it find wsss_lib (pip takes no `-e .` beside hashes).
name: {name}
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
      - -r requirements.lock
"""
STRIP = 'nbstripout --extra-keys "metadata.papermill cell.metadata.papermill metadata.language_info.version"'


def dependencies(project: Path = PROJECT, extras: bool = False) -> list[str]:
    """Requirement lines of pyproject.toml."""
    listed = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    more = [line for group in listed.get("optional-dependencies", {}).values() for line in group] if extras else []
    return listed["dependencies"] + more


def package_name(requirement: str) -> str:
    """Normalized name of a requirement line.

    >>> package_name("scikit_learn>=1.4 ; python_version < '3.13'")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


def fits(number: str, requirement: str) -> bool:
    """Whether a version is one that a requirement line asks for.

    >>> fits("2.11.0+cpu", "torch>=2.6,<2.12"), fits("1.13.1", "torch>=2.6,<2.12")
    (True, False)
    """
    from packaging.specifiers import SpecifierSet

    specifier = requirement[len(package_name(requirement)) :].partition(";")[0].strip()
    return SpecifierSet(specifier).contains(number, prereleases=True)


def environment_yml(project: Path = PROJECT) -> str:
    """Text of environment.yml: Python and pip from conda-forge, all else from the lock."""
    listed = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return LINES.format(name=listed["name"])


def locked_versions(project: Path = PROJECT) -> dict[str, list[str]]:
    """Versions by package of requirements.lock; two where Pythons need different ones."""
    versions: dict[str, list[str]] = {}
    for line in (project / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line):
            versions.setdefault(package_name(found[1]), []).append(found[2])
    return versions


def differences(project: Path = PROJECT) -> list[str]:
    """What does not agree with pyproject.toml; empty when all does."""
    found = []
    path = project / "environment.yml"
    if not path.exists() or path.read_text(encoding="utf-8") != environment_yml(project):
        found.append("environment.yml differs: run python -m wsss_lib.workflow.environment --write")
    versions = locked_versions(project)
    for line in dependencies(project, extras=True):
        name = package_name(line)
        if not versions.get(name) or not all(fits(number, line) for number in versions[name]):
            found.append(f"requirements.lock has {name} {versions.get(name)}, pyproject.toml asks for {line}")
    return found


def lacking() -> str | None:
    """First dependency that is not beside this Python in a version that is asked for, or ``None``.

    Versions are not compared where ``packaging`` is missing.
    """
    for line in dependencies():
        try:
            if not fits(version(package_name(line)), line):
                return package_name(line)
        except PackageNotFoundError:
            return package_name(line)
        except ImportError:  # no packaging
            continue
    return None


def link() -> None:
    """Let this Python find the library from any folder, and git strip outputs from the notebooks of this checkout."""
    path = Path(sysconfig.get_path("purelib")) / "wsss_lib.pth"
    line = f"{PROJECT}\n"
    with suppress(OSError):  # an environment of others; PYTHONPATH serves what run_all.sh starts
        if not path.exists() or path.read_text(encoding="utf-8") != line:
            path.write_text(line, encoding="utf-8")
    install_filter()


def install_filter() -> None:
    """Set git's filter for notebooks to this Python, which moves when the environment is made again."""
    settings = {
        "filter.nbstripout.clean": f"{shlex.quote(sys.executable)} -m {STRIP}",
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "true",
        "diff.ipynb.textconv": f"{shlex.quote(sys.executable)} -m {STRIP} -t",
    }

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True).stdout.strip()

    if shutil.which("git") is None or not git("rev-parse", "--show-toplevel"):
        return
    if Path(git("rev-parse", "--show-toplevel")).resolve() != PROJECT:
        return
    for name, value in settings.items():
        if git("config", "--local", "--get", name) != value:
            git("config", "--local", name, value)


def main(words: list[str]) -> int:
    if words == ["--write"]:
        (PROJECT / "environment.yml").write_text(environment_yml(), encoding="utf-8")
        return 0
    if words == ["--check"]:
        found = differences()
        print("\n".join(found) or "environment.yml and requirements.lock agree with pyproject.toml")
        return int(bool(found))
    if words == ["--lacking"]:
        missing = lacking()
        print(missing or "")
        return int(missing is not None)
    if words == ["--link"]:
        link()
        return 0
    print("usage: python -m wsss_lib.workflow.environment --write | --check | --lacking | --link", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
