"""91_explore in a real browser: JupyterLab runs all cells, a slider moves, and the pictures change.

Skipped where there is no Chromium; with ``WSSS_BROWSER=require`` that is a failure. ``WSSS_CHROMIUM`` names another.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_lib.paths import NOTEBOOKS, PROJECT
from wsss_lib.store import write_text
from wsss_lib.tests.explore.made_up import HEIGHT, WIDTH, write_everything

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PATIENCE = 240_000  # ms, for all the page does: whether it answers is tested here, how fast in `bench`
NO_NEWS = '{"checkForUpdates": false, "fetchNews": "false"}'
BYTES = "async image => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer()))"


def find_chromium() -> str:
    """Path of the browser.

    Skips where there is none, or fails where one is required.
    """
    found = os.environ.get("WSSS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = "no Chromium found; install it (Debian: apt-get install chromium) or name it in WSSS_CHROMIUM"
        if os.environ.get("WSSS_BROWSER") == "require":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """Address of the notebook in a JupyterLab that knows nothing but a temporary folder."""
    find_chromium()
    root = tmp_path_factory.mktemp("lab")
    outputs = write_everything(root)
    (root / "work").mkdir()
    shutil.copy(NOTEBOOKS / "91_explore.ipynb", root / "work")
    write_text(root / "SETTINGS/@jupyterlab/apputils-extension/notification.jupyterlab-settings", NO_NEWS)
    address = f"http://127.0.0.1:{(port := free_port())}"
    private = {name: str(root / name) for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    private |= {f"JUPYTERLAB_{name}_DIR": str(root / name) for name in ("SETTINGS", "WORKSPACES")}
    environment = (
        os.environ | private | {"WSSS_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    )
    environment.pop("WSSS_HEADLESS", None)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={root / 'work'}"]
    log = root / "log.txt"
    with log.open("w") as stream:
        server = subprocess.Popen(command, env=environment, cwd=root, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_until_up(f"{address}/api", server, log)
        yield f"{address}/lab/tree/91_explore.ipynb"
    finally:
        server.terminate()  # it ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_up(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()[-4000:]
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def page(lab):
    """The notebook in the browser, with all its cells run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1700})
        page.set_default_timeout(PATIENCE)
        page.goto(lab)
        page.get_by_text("(ipykernel) | Idle").wait_for()  # cells that run before its kernel is there are lost
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.locator(".pg-image").first.wait_for()
        yield page
        browser.close()


def picture(page, alt: str) -> np.ndarray:
    """The picture whose alternative text begins so, as the browser holds it."""
    image = page.locator(f'.pg-image[alt^="{alt}"]')
    return np.array(Image.open(io.BytesIO(bytes(image.evaluate(BYTES)))))


def wait_for_text(page, selector: str, text: str) -> None:
    page.locator(selector, has_text=text).first.wait_for()


def slider(page, name: str):
    return page.locator(".widget-slider", has_text=name).locator(".noUi-handle")


@pytest.mark.parametrize("required, outcome", [("", pytest.skip.Exception), ("require", pytest.fail.Exception)])
def test_without_a_browser_the_reason_is_given(monkeypatch, tmp_path, required, outcome):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WSSS_CHROMIUM", raising=False)
    monkeypatch.setenv("WSSS_BROWSER", required)
    with pytest.raises(outcome, match="apt-get install chromium"):
        find_chromium()


def test_all_cells_run_without_an_error(page):
    wait_for_text(page, ".jp-OutputArea-output", "91_explore/lab: ")  # of start_run
    wait_for_text(page, ".jp-OutputArea-output", " files, ")  # of run.finish
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator(".pg-image").count() == 9, "image and truth; map, labels and CRF of two runs; labels of one"
    assert picture(page, "image_1: map of cat: image").shape == (HEIGHT, WIDTH, 3)


def test_a_slider_changes_the_pictures(page):
    alt = "10_cam/smoke, maps: labels"
    before, truth = picture(page, alt), picture(page, "image_1: labels: truth")
    handle = slider(page, "Background score")
    wait_for_text(page, ".pg-caption", "at 0.50: mIoU")
    for _ in range(10):  # from 0.30, where the slider stands while each run has its own score
        handle.press("PageUp")
    wait_for_text(page, ".pg-caption", "at 0.80: mIoU")
    after = picture(page, alt)
    changed = (before != after).any(2)
    assert 20 < changed.sum() < changed.size, "another score, other labels"
    assert (picture(page, "image_1: labels: truth") == truth).all()
    assert not page.get_by_label("each run's own score").is_checked()


def test_pointing_at_a_pixel_reads_its_scores(page):
    image = page.locator('.pg-image[alt^="image_1: map of cat"]')
    box = image.bounding_box()
    row, column = 12, 7  # where the map of the cat is 1
    page.mouse.move(box["x"] + (column + 0.5) * box["width"] / WIDTH, box["y"] + (row + 0.5) * box["height"] / HEIGHT)
    wait_for_text(page, ".pg-readout", f"Row {row}, column {column}")
    cells = page.locator(".pg-readout tr", has_text="10_cam/smoke, maps").locator("td")
    assert cells.nth(0).inner_text() == "1.00"
    assert page.locator(".pg-mark:visible").count() == page.locator(".pg-image").count()


def test_another_setting_drops_the_labels_of_the_crf_and_the_button_makes_them(page):
    caption = page.locator(".pg-kind", has_text="CRF labels")
    assert caption.count() == 1
    slider(page, "Alpha").press("ArrowRight")
    caption.wait_for(state="detached")
    page.get_by_role("button", name="Run CRF").click()
    caption.wait_for()


def test_a_figure_is_saved(page, lab):
    page.get_by_role("button", name="Save figure").click()
    wait_for_text(page, ".widget-html", "exported/image_1_cat_1.png")
