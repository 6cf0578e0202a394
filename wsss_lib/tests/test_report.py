"""Tables over runs: seeds become mean and spread, gaps are said."""

import numpy as np
import pandas as pd
import pytest

from wsss_lib import report
from wsss_lib.store import write_json

RUNS = {
    "10_cam/demo": {"mean_iou_val": 40.0, "class_iou": {"cat": 30.0, "dog": None}},
    "10_cam/demo-seed1": {"mean_iou_val": 44.0, "class_iou": {"cat": 50.0, "dog": 20.0}},
    "13_mixup_cam/demo": {"mean_iou_val": 45.0},
    "13_mixup_cam/demo_fast": {"mean_iou_val": None},
    "50_train_explainer/demo": {"recall": 10.0},
    "10_cam/smoke": {"mean_iou_val": 5.0},
}


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(tmp_path))
    for number, (run_id, scores) in enumerate(RUNS.items()):
        record = {
            "title": run_id.split("/")[0].split("_", 1)[1].upper(),
            "hash": str(number),
            "scores": scores,
            "parameters": {"data": "benchmark"},
            "seconds": 2.0,
            "peak_memory_mb": 100,
            "device": "cpu",
            "threads": 1,
            "files": {"a.csv": {"bytes": 1_500_000, "sha256": ""}},
            "git": {"commit": "c" * 40, "dirty": number == 1},
            "versions": {"python": "3.11.7"},
        }
        write_json(tmp_path / run_id / "record.json", record)
    return report.read_records("*/demo*")


def test_records_know_profile_variant_and_seed(records):
    parts = {r["run"]: (r["notebook"], r["profile"], r["variant"], r["seed_number"]) for r in records}
    assert len(parts) == 5 and "10_cam/smoke" not in parts
    assert parts["10_cam/demo-seed1"] == ("10_cam", "demo", "", 1)
    assert parts["13_mixup_cam/demo_fast"] == ("13_mixup_cam", "demo", "fast", 0)


def test_leader_board_gives_mean_and_spread_and_leaves_out_other_tasks(records):
    board = report.leader_board(records, {"mean_iou_val": "mIoU val"}, order_by="mean_iou_val")
    assert board["method"].tolist() == ["MIXUP_CAM", "CAM"]
    cam = board.iloc[1]
    assert (
        cam["seeds"] == 2 and cam["mIoU val"] == 42.0 and cam["mIoU val ±"] == pytest.approx(np.std([40, 44], ddof=1))
    )
    assert np.isnan(board.iloc[0]["mIoU val ±"])


def test_groups_average_over_the_seeds_that_have_a_number(records):
    per_class = report.score_groups(records, "class_iou")
    assert per_class.index.tolist() == ["CAM"]
    assert per_class.loc["CAM"].to_dict() == {"cat": 40.0, "dog": 20.0}


def test_tables_of_a_paper_stand_side_by_side():
    beside = pd.DataFrame(
        [
            ("P", "Table 1", "CAM", 45.0, 49.0),
            ("P", "Table 1", "FMix", 48.2, np.nan),
            ("Q", "Table 1", "CAM", 1.0, 1.0),
            ("P", "Table 2", "FMix", 54.0, 60.0),
        ],
        columns=["paper", "table", "row", "published", "ours"],
    )
    wide = report.tables_of_paper(beside, "P")
    assert wide.index.tolist() == ["CAM", "FMix"]
    assert wide.columns.tolist() == [
        "Table 1, published",
        "Table 1, ours",
        "Table 2, published",
        "Table 2, ours",
    ]
    assert wide.loc["CAM"].tolist()[:2] == [45.0, 49.0] and wide.loc["CAM"].isna().tolist()[2:] == [True, True]
    assert wide.loc["FMix"].tolist()[0] == 48.2 and wide.loc["FMix"].tolist()[2:] == [54.0, 60.0]


def test_leader_board_shows_the_parameters_asked_for(records):
    board = report.leader_board(
        records, {"mean_iou_val": "mIoU val"}, "mean_iou_val", {"data": "data", "no": "missing"}
    )
    assert board["data"].tolist() == ["benchmark", "benchmark"] and "missing" not in board


def test_costs_and_environments(records):
    assert report.costs(records)["files (MB)"].tolist() == [1.5] * 5
    found = report.environment(records)
    assert found.shape[1] == 2 and found["2"]["runs"] == "10_cam/demo-seed1"
    assert found.loc["sources changed since"].tolist() == ["no", "yes"]


def test_parameter_files_without_a_run_are_said_to_be_missing(records, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PARAMS", tmp_path / "params")
    for name in ("10_cam/demo.yaml", "10_cam/paper.yaml", "20_ktse/demo.yaml", "13_mixup_cam/demo_fast.yaml"):
        (tmp_path / "params" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "params" / name).touch()
    states = report.runs_of_profile("demo", records)
    assert states.T.to_dict() == {
        "10_cam": {"run": "demo (seeds 0, 1)", "not run": ""},
        "13_mixup_cam": {"run": "demo_fast (seed 0)", "not run": ""},
        "20_ktse": {"run": "", "not run": "demo"},
    }


def test_a_gallery_needs_images_that_all_runs_have(records, tmp_path):
    for run_id, names in {"10_cam/demo": "ab", "10_cam/demo-seed1": "z", "13_mixup_cam/demo": "bc"}.items():
        for name in names:
            (tmp_path / run_id / "maps").mkdir(exist_ok=True)
            (tmp_path / run_id / "maps" / f"{name}.npz").touch()
    kept, images = report.runs_with_images(records)
    assert [r["run"] for r in kept] == ["10_cam/demo", "13_mixup_cam/demo"] and images == ["b"]
    kept[1]["parameters"]["data"] = "voc"
    assert report.runs_with_images(records)[1] == ["a", "b"], "maps of other data are left out"
    assert report.runs_with_images([]) == ([], [])


def test_short_names_tell_variants_apart():
    names = ["Erasing (KTSE)", "Erasing (KTSE) (baseline)", "IRN: relations", "IRN: relations (cam)", "A: b (c) d"]
    short = [report.short_name(name) for name in names]
    assert short == ["Erasing (KTSE)", "Erasing (KTSE) (baseline)", "IRN", "IRN (cam)", "A"]
