"""The environment: one list of dependencies, a lock and a conda file that agree with it, git's filter for notebooks."""

import json
import shutil
import subprocess
import sys

import pytest

from wsss_lib.paths import PROJECT
from wsss_lib.workflow import environment


def test_environment_yml_and_lock_agree_with_pyproject():
    assert environment.differences() == []
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock, "the lock names no host"
    assert lock.count("--hash=sha256:") > len(environment.locked_versions()) > 100


def test_differences_are_found(tmp_path):
    for name in ("environment.yml", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path / name)
    listed = (PROJECT / "pyproject.toml").read_text()
    listed = listed.replace('"numpy>=1.26"', '"numpy>=99"').replace('"tqdm>=4.66"', '"nosuchpackage>=1"')
    (tmp_path / "pyproject.toml").write_text(listed)
    (tmp_path / "environment.yml").write_text("name: other\n")
    yml, numpy, unlocked = environment.differences(tmp_path)
    assert "environment.yml differs" in yml and "numpy" in numpy and "nosuchpackage" in unlocked


def test_nothing_is_lacking_here(monkeypatch):
    assert environment.lacking() is None
    monkeypatch.setattr(environment, "dependencies", lambda: ["pip_no_such>=1", "other"])
    assert environment.lacking() == "pip-no-such"


def test_another_version_is_lacking(monkeypatch):
    monkeypatch.setattr(environment, "dependencies", lambda: ["numpy>=1.26", "torch>=99", "pip_no_such>=1"])
    assert environment.lacking() == "torch"
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    assert environment.lacking() == "pip-no-such", "without packaging names are all that is compared"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_strips_outputs_by_the_filter(tmp_path, monkeypatch):
    def git(*words):
        return subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    monkeypatch.setattr(environment, "PROJECT", tmp_path.resolve())
    environment.install_filter()  # no checkout: nothing to do, no error
    git("init", "-q")
    environment.install_filter()
    shutil.copy(PROJECT / ".gitattributes", tmp_path)
    cell = {"cell_type": "code", "id": "a", "metadata": {"papermill": {"x": 1}}, "source": "1", "execution_count": 3}
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "secret"}]
    notebook = json.dumps({"cells": [cell], "metadata": {"papermill": {"y": 1}}, "nbformat": 4, "nbformat_minor": 5})
    for name in ("notebooks/10_cam.ipynb", "outputs/10_cam/demo/notebook.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(notebook)
    git("add", "notebooks", "outputs")
    source = git("show", ":notebooks/10_cam.ipynb")
    assert "secret" not in source and "papermill" not in source and '"source"' in source
    assert git("show", ":outputs/10_cam/demo/notebook.ipynb") == notebook, "executed pages are kept as they are"
    assert sys.executable in git("config", "filter.nbstripout.clean")
