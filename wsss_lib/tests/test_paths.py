"""Names of runs, data sets and weights lead where they should, or say why not."""

import pytest

from wsss_lib.paths import data_path, outputs_root, run_folder, weights_path


@pytest.mark.parametrize("run_id", ["10_cam", "10_cam/demo/maps", "/demo", "../demo", "10_cam/"])
def test_a_run_id_is_two_names(run_id):
    with pytest.raises(ValueError, match="10_cam/demo"):
        run_folder(run_id)


def test_runs_lie_below_the_outputs(monkeypatch, tmp_path):
    monkeypatch.setenv("WSSS_OUTPUTS", str(tmp_path))
    assert outputs_root() == tmp_path and run_folder("10_cam/demo") == tmp_path / "10_cam" / "demo"


def test_data_sets_lie_below_one_folder(monkeypatch, tmp_path):
    (tmp_path / "voc").mkdir()
    monkeypatch.setenv("WSSS_DATA", str(tmp_path))
    assert data_path("voc") == tmp_path / "voc"
    with pytest.raises(FileNotFoundError, match="download --list"):
        data_path("coco")
    with pytest.raises(FileNotFoundError, match="leads out"):
        data_path("../elsewhere")


def test_an_unset_folder_of_data_sets_is_said(monkeypatch):
    monkeypatch.delenv("WSSS_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="export WSSS_DATA"):
        data_path("voc")


def test_weights_are_none_a_file_or_a_name(monkeypatch, tmp_path):
    (tmp_path / "w.npz").touch()
    monkeypatch.setenv("WSSS_DATA", str(tmp_path))
    assert weights_path("") is None and weights_path("IMAGENET1K_V1") == "IMAGENET1K_V1"
    assert weights_path("w.npz") == tmp_path / "w.npz"
    with pytest.raises(FileNotFoundError):
        weights_path("absent.pth")
