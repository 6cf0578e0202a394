"""The command line: one clear line for each mistake, and help without any package."""

import errno
import importlib.util
import os
import re
import subprocess
import sys

import pytest

from wsss_lib.data.download import ITEMS
from wsss_lib.paths import PROJECT
from wsss_lib.workflow import cli, commands


@pytest.mark.parametrize(
    "words, message",
    [
        (["dmeo"], r"unknown profile or command 'dmeo' (did you mean demo?); known: smoke, demo, photos, paper, test"),
        (["demo", "--job", "2"], "unrecognized arguments: --job 2; ./run_all.sh --help lists"),
        (["--jobs", "0"], "argument --jobs: 0 is not 1 or more"),
        (["--jobs", "two"], "argument --jobs: invalid positive value: 'two'"),
        (["--only"], "argument --only: expected at least one argument"),
        (["--set", "epochs"], "--set 'epochs' should read NAME=VALUE"),
        (["--set", "=3"], "--set '' should read NAME=VALUE"),
        (["clean", "all"], "clean takes no options, not 'all'"),
        (["predict", "--from", "10_cam/demo"], "the following arguments are required: --images"),
        (["--only", "no_such_notebook"], "unknown notebook 'no_such_notebook'"),
        (["--on", "moon", "--list", "smoke"], "unknown machine 'moon'; known: local, slurm"),
    ],
)
def test_mistakes_are_one_line(capsys, words, message):
    assert cli.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("run_all.sh: ") and printed.err.count("\n") == 1
    assert message in printed.err


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(errno.EROFS, "Read-only file system", "/x"), "'/x'; the disk is read-only; set WSSS_OUTPUTS to"),
        (OSError(errno.ENOSPC, "could not write /x: the disk is full; free some space and run again"), "run again"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied: '/x'"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line_with_the_remedy(monkeypatch, capsys, error, message):
    def fail(chosen):
        raise error

    monkeypatch.setattr(commands, "run", fail)
    assert cli.main(["smoke"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("run_all.sh: ") and printed.count("\n") == 1
    assert message in printed and printed.count("run again") <= 1


def test_options_mean_what_they_say(monkeypatch):
    monkeypatch.setenv("WSSS_CALLED_FROM", "/somewhere")
    words = ["--only", "10_cam", "16_x", "--only", "20_y", "photos", "--set", "a=b=c", "--set", "d=", "--seeds", "3"]
    chosen = cli.parse([*words, "--params", "p.yaml"])
    assert (chosen.command, chosen.profile, chosen.only) == ("run", "photos", ["10_cam", "16_x", "20_y"])
    assert chosen.settings == {"a": "b=c", "d": ""} and chosen.seeds == 3 and str(chosen.params) == "/somewhere/p.yaml"
    assert cli.parse([]).profile == "demo" and cli.parse(["--only", "10_cam"]).only == ["10_cam"]
    assert cli.parse(["test", "-k", "x", "--help"]).rest == ["-k", "x", "--help"]


def test_programs_get_their_words(monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words) or sys.exit())
    for command, words in cli.PROGRAMS.items():
        with pytest.raises(SystemExit):
            cli.main([command, "-x"])
        program, started_words, environment = started.pop()
        assert program == sys.executable and started_words == [sys.executable, "-m", *words, "-x"]
        assert ("MPLBACKEND" in environment) or command == "lab"


def test_the_readme_downloads_what_there_is():
    assert importlib.util.find_spec(*cli.PROGRAMS["download"])
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    words = [
        word for line in re.findall(r"^\./run_all\.sh download ([^#\n]+)", text, re.MULTILINE) for word in line.split()
    ]
    assert len(words) > 1 and set(words) <= {"--list", *ITEMS}


def test_help_needs_no_package_and_names_every_option():
    command = [sys.executable, "-S", "-m", "wsss_lib.workflow", "--help"]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    options = {
        word for action in [*cli.options()._actions, *cli.predict_options()._actions] for word in action.option_strings
    }
    assert all(option in printed for option in options) and all(command in printed for command in cli.COMMANDS)
    assert max(map(len, printed.splitlines())) <= 120
