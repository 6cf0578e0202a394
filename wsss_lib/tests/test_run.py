"""One run: parameters checked first, files and scores in a record that is written last."""

import json
import shutil
import subprocess
from importlib.metadata import version

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from PIL import Image

from wsss_lib import run as run_module
from wsss_lib.files import DRAFT, RECORD, describe, missing_files, read_json, write_json, write_text
from wsss_lib.parameters import ParameterError
from wsss_lib.run import start_run

CELL = "seed: int = 5  # in [0, inf); random seed\nrate: float = 0.5  # in (0, 1]; share"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one toy notebook, with outputs of its own."""
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": CELL}
    (tmp_path / "10_toy.ipynb").write_text(json.dumps({"cells": [cell]}))
    monkeypatch.setattr(run_module, "NOTEBOOKS", tmp_path)
    monkeypatch.setenv("WSSS_OUTPUTS", str(tmp_path / "outputs"))
    for name in ("WSSS_RUN", "WSSS_RUN_HASH", "WSSS_HEADLESS", "WSSS_THREADS"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    torch.use_deterministic_algorithms(False)


def test_a_finished_run_lists_its_files(project):
    namespace = {"seed": "7", "rate": 0.5}
    run = start_run("10_toy", namespace)
    assert namespace["seed"] == 7 and run.seed == 7 and run.folder == project / "outputs/10_toy/lab"
    assert missing_files(run.folder) == [RECORD]
    run.figure(plt.figure(figsize=(1, 1)), "curve", "A curve.")
    with Image.open(run.folder / "curve.png") as figure:
        assert figure.size == (88, 88) and figure.mode == "P"
    run.table(pd.DataFrame({"mean IoU": [41.26]}), "scores", "Scores in percent.")
    run.finish(mean_iou=41.26, per_class={"cat": float("nan")})
    record = read_json(run.folder / RECORD)
    assert set(record["files"]) == {"curve.png", "scores.csv", "scores.md"}
    assert record["scores"] == {"mean_iou": 41.26, "per_class": {"cat": None}}
    assert record["captions"] == {"curve.png": "A curve.", "scores.csv": "Scores in percent."}
    assert record["parameters"] == {"seed": 7, "rate": 0.5} and record["hash"] is None
    assert str(project) not in (run.folder / RECORD).read_text()
    assert missing_files(run.folder) == []
    (run.folder / "scores.csv").write_text("")
    assert missing_files(run.folder) == ["scores.csv"]


def test_the_record_says_what_a_run_was_made_with(project):
    class Photographs:
        def fingerprint(self):
            return "0123456789abcdef"

    run = start_run("10_toy", {"seed": 7, "rate": 0.5})
    run.uses(Photographs(), "train")
    run.cite({"run": "10_cam/demo", "hash": "abc"})
    run.finish()
    record = read_json(run.folder / RECORD)
    assert record["parameters"]["seed"] == 7
    assert record["data"] == {"train": "0123456789abcdef"} and record["inputs"] == {"10_cam/demo": "abc"}
    assert record["device"] and record["threads"] == torch.get_num_threads()
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 50
    assert record["versions"]["torch"] == version("torch") and {"python", "papermill"} <= set(record["versions"])
    assert record["git"] is None or (len(record["git"]["commit"]) == 40 and record["git"]["dirty"] in (True, False))


def test_the_commit_and_whether_sources_differ_from_it(project, monkeypatch):
    monkeypatch.setattr(run_module, "PROJECT", project)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert run_module._git_state() is None, "outside a checkout"
    write_text(project / "wsss_lib/maps.py", "first")

    def git(*words):
        who = ("-c", "user.name=me", "-c", "user.email=me@here")
        return subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "wsss_lib")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD").strip()
    write_text(project / "outputs/10_cam/demo/scores.csv", "no source")
    assert run_module._git_state() == {"commit": commit, "dirty": False}
    write_text(project / "wsss_lib/maps.py", "second")
    assert run_module._git_state() == {"commit": commit, "dirty": True}


@pytest.mark.parametrize(
    "namespace, words", [({"seed": 1}, "'rate' is not set"), ({"seed": 1, "rate": 2.0}, "rate is 2")]
)
def test_bad_parameters_stop_the_run_before_anything_is_removed(project, namespace, words):
    record = write_json(project / "outputs/10_toy/lab" / RECORD, {})
    with pytest.raises(ParameterError, match=words):
        start_run("10_toy", namespace)
    assert record.exists()


def test_a_new_run_removes_the_old_record_and_files_but_keeps_its_checkpoint(project, monkeypatch):
    monkeypatch.setenv("WSSS_RUN", "demo")
    monkeypatch.setenv("WSSS_RUN_HASH", "0123456789abcdef")
    monkeypatch.setenv("WSSS_HEADLESS", "1")
    folder = project / "outputs/10_toy/demo"
    for name in (
        "record.json",
        "maps/old.npz",
        "notebook.ipynb",
        ".checkpoint-0123456789ab/step",
        ".checkpoint-ffff/step",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("old")
    run = start_run("10_toy", {"seed": 0, "rate": 0.5})
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [".checkpoint-0123456789ab", "notebook.ipynb"]
    run.finish()
    assert not (folder / RECORD).exists() and read_json(folder / DRAFT)["hash"] == "0123456789abcdef"
    assert not run.checkpoint.exists()


def test_an_input_is_noted_with_its_hash(project, monkeypatch):
    write_json(project / "outputs/10_cam/demo" / RECORD, {"hash": "abc", "files": {}})
    run = start_run("10_toy", {"seed": 0, "rate": 0.5})
    assert run.input("10_cam/demo") == project / "outputs/10_cam/demo"
    run.finish()
    assert read_json(run.folder / RECORD)["inputs"] == {"10_cam/demo": "abc"}


def test_a_missing_input_names_the_command_when_headless(project, monkeypatch):
    monkeypatch.setenv("WSSS_HEADLESS", "1")
    run = start_run("10_toy", {"seed": 0, "rate": 0.5})
    with pytest.raises(FileNotFoundError, match=r"run_all\.sh demo --only 10_cam"):
        run.input("10_cam/demo-seed1")


def test_a_missing_input_is_made_in_jupyterlab(project, monkeypatch, capsys):
    def made(command, **_):
        assert command[-3:] == ["smoke", "--only", "10_cam"]
        write_json(project / "outputs/10_cam/smoke" / RECORD, {"hash": "abc", "files": {}})

    run = start_run("10_toy", {"seed": 0, "rate": 0.5})
    monkeypatch.setattr(subprocess, "run", made)
    assert run.input("10_cam/smoke").is_dir()
    assert "10_cam/smoke is not there" in capsys.readouterr().out


def test_the_seed_repeats_the_random_numbers(project):
    start_run("10_toy", {"seed": 3, "rate": 0.5})
    first = torch.rand(3)
    start_run("10_toy", {"seed": 3, "rate": 0.5})
    assert torch.equal(torch.rand(3), first)
    start_run("10_toy", {"seed": 4, "rate": 0.5})
    assert not torch.equal(torch.rand(3), first)


def test_a_folder_of_a_run_is_listed_as_one(project):
    run = start_run("10_toy", {"seed": 0, "rate": 0.5})
    for name, content in (("maps/a.npz", "first"), ("maps/deeper/b.npz", "second"), ("maps/.c.npz.12.part", "half")):
        write_text(run.folder / name, content)
    run.finish()
    made = read_json(run.folder / RECORD)["files"]
    assert made.keys() == {"maps/"} and made["maps/"] == describe(run.folder / "maps")
    assert made["maps/"]["files"] == 2 and made["maps/"]["bytes"] == len("firstsecond")
    assert missing_files(run.folder) == []

    (run.folder / "maps/a.npz").write_text("FIRST")
    assert missing_files(run.folder) == [] and describe(run.folder / "maps")["sha256"] != made["maps/"]["sha256"]
    (run.folder / "maps/a.npz").rename(run.folder / "maps/c.npz")
    (run.folder / "maps/c.npz").write_text("first")
    assert describe(run.folder / "maps")["sha256"] != made["maps/"]["sha256"], "names count as well"
    (run.folder / "maps/c.npz").unlink()
    assert missing_files(run.folder) == ["maps/"]
    shutil.rmtree(run.folder / "maps")
    assert missing_files(run.folder) == ["maps/"]
