"""Options and fixtures of the whole suite."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from wsss_lib.paths import PROJECT
from wsss_lib.tests.golden_files import COMMITTED, Golden


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", type=Path, default=COMMITTED, help="folder with values of the authors' code")


def pytest_configure(config: pytest.Config) -> None:
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))  # the processes share the cores
    config.addinivalue_line("markers", "conforms(name): the one test of golden file <paper>/<file>")


@pytest.fixture
def golden_folder(request: pytest.FixtureRequest) -> Path:
    folder = Path(os.environ.get("WSSS_CALLED_FROM", "."), request.config.getoption("--golden"))
    assert any(folder.rglob("*.npz")), f"{folder} holds no golden files"
    return folder


@pytest.fixture
def golden(request: pytest.FixtureRequest, golden_folder: Path) -> Golden:
    """The golden file that the test's ``conforms`` mark names; absent only from a folder given by ``--golden``."""
    (name,) = request.node.get_closest_marker("conforms").args
    path = golden_folder / f"{name}.npz"
    if golden_folder != COMMITTED and not path.exists():
        pytest.skip(f"{golden_folder} holds no {name}.npz")
    return Golden(path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test of a golden file fails where it leaves out a result that the file holds."""
    yield
    golden = getattr(item, "funcargs", {}).get("golden")
    if isinstance(golden, Golden):
        assert not golden.unread(), f"{golden.path.name}: never compared are {', '.join(golden.unread())}"


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with README and outputs as git has them, staged or committed, whatever was run here since."""
    folder, git = tmp_path_factory.mktemp("committed"), ["git", "-c", "safe.directory=*", "-C", str(PROJECT)]
    listed = subprocess.run([*git, "ls-files", "-z", "README.md", "outputs"], capture_output=True)
    if not listed.stdout:
        pytest.skip("no checkout of git, so nobody knows which outputs came with the project")
    subprocess.run([*git, "checkout-index", "-z", "--stdin", f"--prefix={folder}/"], input=listed.stdout, check=True)
    for name in ("notebooks", "params", "wsss_lib"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)
