"""Commands around runs: clean, and run_all.sh itself, which finds the environment."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from wsss_lib.files import write_json
from wsss_lib.paths import PROJECT
from wsss_lib.workflow import cli, commands
from wsss_lib.workflow.commands import remove_uncommitted

FILES = {
    "10_cam/demo/record.json": True,
    "10_cam/demo/notebook.ipynb": True,
    "10_cam/demo/scores.csv": True,
    "10_cam/demo/notebook.html": False,
    "10_cam/demo/maps/a.npz": False,
    ".benchmark/x/a.jpg": False,
    ".workflow/plan.json": False,
}
OTHERS = ("somebody/else.txt", ".ssh/id")  # WSSS_OUTPUTS may be a folder with more in it


@pytest.mark.parametrize("checkout", [True, False])
def test_clean_leaves_what_is_committed_and_what_is_not_ours(toy, checkout):
    for name in (*FILES, "10_cam/mine/record.json", *OTHERS):
        toy.write(f"outputs/{name}", "text")
    if checkout:
        kept = [f"outputs/{name}" for name, keep in FILES.items() if keep]
        for words in (["init", "-q"], ["add", "-f", *kept]):
            subprocess.run(["git", *words], cwd=toy.root, check=True)
    assert remove_uncommitted(toy.project) == 4 * (5 if checkout else 4)
    left = {
        path.relative_to(toy.project.outputs).as_posix() for path in toy.project.outputs.rglob("*") if path.is_file()
    }
    own = set() if checkout else {"10_cam/mine/record.json"}
    assert left == {name for name, keep in FILES.items() if keep} | {*OTHERS} | own
    assert not toy.project.folder("10_cam/demo/maps").exists()


@pytest.mark.parametrize(
    "words, fresh",
    [
        (["--only", "16_affinity/demo", "--seeds", "2"], ["16_affinity/demo", "16_affinity/demo-seed1"]),
        (["--only", "10_cam", "16_affinity/demo"], ["10_cam/demo", "16_affinity/demo"]),
        (["--only", "10_cam"], ["10_cam/demo"]),
        ([], ["10_cam/demo", "16_affinity/demo", "20_break/demo", "21_after/demo", "90_report/demo"]),
    ],
)
def test_fresh_runs_are_those_that_the_command_names(toy, monkeypatch, words, fresh):
    launched = {}
    monkeypatch.setattr(commands, "Project", lambda: toy.project)
    monkeypatch.setattr(commands, "launch", lambda project, plan, on, fresh: launched.update(plan=plan, fresh=fresh))
    commands.run(cli.parse([*words, "--fresh"]))
    assert sorted(launched["fresh"]) == fresh and set(fresh) <= set(launched["plan"])


def test_the_list_adds_up_minutes_and_disk(toy, monkeypatch, capsys):
    monkeypatch.setattr(commands, "Project", lambda: toy.project)
    toy.params("10_cam", "demo", takes="4 min, 30 MB")
    toy.params("16_affinity", "demo", takes="90 s, 5 MB", maps_from="10_cam/demo")

    def listed():
        assert commands.run(cli.parse(["--only", "16_affinity", "--list"])) == 0
        return " ".join(capsys.readouterr().out.split())

    printed = listed()
    assert "would run 10_cam/demo 4 min 0 s, 30 MB" in printed and "would run 16_affinity/demo 90 s, 5 MB" in printed
    assert "2 of 2 would run: about 5.5 minutes one after the other, 35 MB on disk (" in printed
    made = {"hash": "another", "seconds": 150, "files": {"maps/": {"bytes": 8e6}, "a.csv": {"bytes": 1e6}}}
    write_json(toy.file("10_cam/demo", "record.json"), made)
    assert "about 4.0 minutes one after the other, 14 MB on disk (" in listed(), "what was measured counts"


@pytest.fixture
def script(toy):
    """Runs the small project's own run_all.sh, in an environment that has the packages but not the library."""
    for name in ("run_all.sh", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, toy.root / name)
    packages = toy.root / "env"
    venv.create(packages, with_pip=False)
    (site,) = packages.glob("lib/python*/site-packages")
    (site / "real.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def run(*words, **more):
        environment = toy.environment() | {"VIRTUAL_ENV": str(packages)} | more
        for name in ("PYTHONPATH", "CONDA_PREFIX"):
            environment.pop(name, None)
        return subprocess.run(
            ["bash", str(toy.root / "run_all.sh"), *words], cwd="/", env=environment, capture_output=True, text=True
        )

    run.site = site
    return run


def test_run_all_finds_the_active_environment_and_links_the_library(toy, script):
    listed = script("smoke", "--only", "16_affinity", "--list")
    assert listed.returncode == 0 and "2 of 2 would run" in listed.stdout, listed.stderr
    assert (script.site / "wsss_lib.pth").read_text() == f"{toy.root}\n"
    python = script("setup").stdout.split()[-1]
    assert python == str(toy.root / "env/bin/python") and not (toy.root / ".venv").exists()
    assert "there is no folder /made/here" in script("clean", WSSS_OUTPUTS="made/here").stdout, "seen from the caller"
    wrong = script("dmo")
    assert wrong.returncode == 2 and "did you mean demo?" in wrong.stderr and wrong.stderr.count("\n") == 1


UV = """\
#!/bin/sh
echo "$1" >>"{root}/uv.log"
[ "$1" = pip ] && exit
"{python}" -m venv --without-pip --clear .venv
echo "{packages}" >"$(echo .venv/lib/*/site-packages)/real.pth"
"""


@pytest.fixture
def own(toy, script):
    """``.venv`` that the lock was installed into; ``uv`` on the path makes it again and says so."""
    uv = toy.write("bin/uv", UV.format(root=toy.root, python=sys.executable, packages=sysconfig.get_path("purelib")))
    uv.chmod(0o755)
    path = f"{uv.parent}{os.pathsep}{os.environ['PATH']}"

    def run(**more):
        before = toy.root / "uv.log"
        before.unlink(missing_ok=True)
        done = script("setup", **{"PATH": path, "VIRTUAL_ENV": "", "PYTHON": sys.executable} | more)
        assert done.returncode == 0 and done.stdout.split()[-1] == str(toy.root / ".venv/bin/python"), done.stderr
        return before.exists()

    assert run() and not run()
    return run


def test_an_activated_venv_follows_the_lock(toy, own):
    active = {"VIRTUAL_ENV": str(toy.root / ".venv")}
    assert not own(**active)
    with open(toy.root / "requirements.lock", "a") as lock:
        lock.write("# another\n")
    assert own(**active) and not own(**active)
    assert own(**active) is own() is False


def test_a_venv_whose_python_is_gone_is_made_again(toy, own):
    for name in ("python", "python3"):
        path = toy.root / ".venv" / "bin" / name
        path.unlink()
        path.symlink_to("/no/such/python")
    assert own() and not own()


def test_a_venv_without_a_stamp_is_the_users_own(toy, own):
    (toy.root / ".venv" / ".lock-of").unlink()
    assert not own()


def test_another_environment_is_used_whatever_its_lock(toy, script):
    with open(toy.root / "requirements.lock", "a") as lock:
        lock.write("# another\n")
    assert script("setup").stdout.split()[-1] == str(toy.root / "env/bin/python")
    assert not (toy.root / ".venv").exists()


def test_run_all_refuses_a_python_that_is_too_old(toy, script):
    old = toy.write("bin/python3", "#!/bin/sh\n[ \"$1\" = -V ] && echo 'Python 3.9.2'; exit 1\n")
    for name in ("python3", "python3.11", "python3.12", "python"):
        shutil.copy(old, old.with_name(name)) if name != "python3" else None
        old.with_name(name).chmod(0o755)
    path = f"{old.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    refused = script("smoke", VIRTUAL_ENV="", PATH=path)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "needs Python 3.11 or 3.12; python3 is Python 3.9.2; install one, or name it" in refused.stderr
    named = script("--help", VIRTUAL_ENV="", PATH=path, PYTHON=sys.executable)
    assert named.returncode == 0 and "usage: ./run_all.sh" in named.stdout
