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
            "data": {"train": "0123456789abcdef"},
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
    about = ("notebook", "profile", "variant", "seed_number", "parameter_file")
    parts = {r["run"]: tuple(r[name] for name in about) for r in records}
    assert len(parts) == 5 and "10_cam/smoke" not in parts
    assert parts["10_cam/demo-seed1"] == ("10_cam", "demo", "", 1, "10_cam/demo")
    assert parts["13_mixup_cam/demo_fast"] == ("13_mixup_cam", "demo", "fast", 0, "13_mixup_cam/demo_fast")


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
    costs, machine = report.costs(records)
    costs = costs.set_index("run")
    assert machine == "cpu; 1 thread" and "machine" not in costs
    assert costs["files (MB)"].tolist() == [1.5] * len(costs) and costs["runs"].sum() == 5
    assert costs.loc["10_cam/demo", "runs"] == 2 and costs.loc["10_cam/demo", "seconds"] == 2.0
    assert costs.loc["10_cam/demo", "data"] == "train 012345"
    costs, machine = report.costs([records[0] | {"device": "H100"}, *records[1:]])
    assert machine == ""
    assert costs["machine"].str.contains("H100; 1 thread").sum() == 1
    found, common = report.environment(records)
    assert found["runs"].tolist() == [
        "10_cam: demo (0); 13_mixup_cam: demo (0), demo_fast (0); 50_train_explainer: demo (0)",
        "10_cam: demo (1)",
    ]
    assert found["uncommitted changes"].tolist() == ["no", "yes"] and "processor" not in found
    assert common == {"python": "3.11.7", "processor": "not named"}
    records[0] |= {"versions": {"python": "3.12.1"}, "processor": "EPYC"}
    found, common = report.environment(records)
    assert found["python"].tolist() == ["3.12.1", "3.11.7", "3.11.7"] and common == {}
    assert found["processor"].tolist() == ["EPYC", "not named", "not named"]


def test_parameters_say_why_numbers_are_not_those_of_the_print(records):
    published = pd.DataFrame({"notebook": ["10_cam", "13_mixup_cam"], "variant": ["", "gone"]})
    records[0]["parameters"] = {"data": "benchmark", "backbone": "resnet18", "width": 0.5, "weights": "", "epochs": 15}
    why = report.unlike_the_paper(published, records)
    assert why.loc["10_cam/demo"].to_dict() == {
        "data": "benchmark, not VOCdevkit/VOC2012",
        "network": "resnet18 × 0.5, not resnet38",
        "pretrained weights": "none, not a file",
        "pixels": "",
        "epochs": "same",
        "guided epochs": "",
    }
    assert len(why) == 1, "runs without a print need no reason"


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


@pytest.mark.parametrize(
    "parameters, expected",
    [
        ({"masks": "SegmentationClass", "train_split": "train_aug"}, "image labels"),
        ({"labels_from": "16_affinity/demo", "train_masks": "SegmentationClassAug"}, "image labels"),
        ({"labels_from": "", "train_masks": "SegmentationClassAug"}, "all masks"),
        ({"labels_from": "", "labels_folder": "sem_seg"}, "image labels"),
        ({"localization_weight": 0.0}, "image labels"),
        ({"localization_weight": 0.2}, "boxes"),
        ({"localization_weights": [0.0, 5.0]}, "boxes"),
        ({"num_masks": 16, "mask_weight": 1.0}, "some masks"),
        ({"num_masks": 0, "mask_weight": 1.0}, "all masks"),
        ({"num_masks": 16, "mask_weight": 0.0}, "image labels"),
    ],
)
def test_supervision_follows_from_the_parameters(parameters, expected):
    assert report.supervision({"parameters": parameters}) == expected


def made(notebook, variant="", seed=0, parameters=None, **scores):
    """A record as read_records gives it."""
    plain = {"report_split": "test", "choose_split": "val", "data": "benchmark"}
    about = {"notebook": notebook, "profile": "demo", "variant": variant, "seed_number": seed, "title": notebook}
    about["parameter_file"] = f"{notebook}/demo_{variant}".removesuffix("_")
    return about | {"parameters": plain | (parameters or {}), "scores": scores}


def test_groups_of_the_board_keep_its_order():
    masks = {"num_masks": 0}
    runs = [
        made("41_unet", parameters=masks, mean_iou_test=80.0),
        made("10_cam", mean_iou_test=40.0),
        made("10_cam", seed=1, mean_iou_test=44.0),
        made("41_unet", "16_masks", parameters={"num_masks": 16}, mean_iou_test=30.0),
        made("17_deeplab", parameters={"labels_from": "16_affinity/demo"}, mean_iou_test=60.0),
        made("43_unrolled_lrp", parameters=masks, mean_iou_test=35.0),
    ]
    board = report.leader_board(runs, {"mean_iou_test": "mIoU"}, "mean_iou_test")
    grouped = report.by_supervision(board, runs)
    assert list(zip(grouped["supervision"], grouped["method"], strict=True)) == [
        ("image labels", "17_deeplab"),
        ("image labels", "10_cam"),
        ("some masks", "41_unet (16_masks)"),
        ("all masks", "41_unet"),
        ("all masks", "43_unrolled_lrp"),
    ]
    assert grouped["mIoU"].tolist() == [60, 42, 30, 80, 35] and grouped["mIoU ±"].notna().tolist()[:2] == [False, True]
    nothing = report.by_supervision(report.leader_board([], {"mean_iou_test": "mIoU"}, "mean_iou_test"), [])
    assert list(nothing) == ["supervision"] and nothing.empty


@pytest.mark.parametrize(
    "verdicts, expected",
    [
        ([1.0, 1.0], "12_teaching, weak teacher"),
        ([True, False, True], "12_teaching, weak teacher in 2 of 3 seeds"),
        ([0.0, None], "12_teaching"),
        ([None, 1.0], "12_teaching, weak teacher"),
    ],
)
def test_the_row_of_a_weak_teacher_says_so(verdicts, expected):
    runs = [made("12_teaching", seed=n, mean_iou_test=40.0, weak_teacher=weak) for n, weak in enumerate(verdicts)]
    runs += [made("12_teaching", "sound", mean_iou_test=30.0, weak_teacher=0.0), made("10_cam", mean_iou_test=20.0)]
    board = report.leader_board(runs, {"mean_iou_test": "mIoU"}, "mean_iou_test")
    assert report.by_supervision(board, iter(runs))["method"].tolist() == [expected, "12_teaching (sound)", "10_cam"]


def test_scores_over_masks_are_means_over_seeds():
    runs = [
        made("43_unrolled_lrp", "16_masks", num_masks=16.0, mean_iou_test=20.0, mean_iou_val=90.0),
        made("43_unrolled_lrp", "16_masks", seed=1, num_masks=16.0, mean_iou_test=24.0),
        made("43_unrolled_lrp", "16_masks", seed=2, num_masks=16.0, mean_iou_test=None),
        made("43_unrolled_lrp", "16_masks_as_authors", num_masks=16.0, mean_iou_test=99.0),
        made("41_unet", num_masks=300.0, mean_iou_test=80.0),
        made("10_cam", mean_iou_test=40.0),
    ]
    scores = report.scores_over_masks(runs).set_index(["model", "masks"])
    assert scores.index.tolist() == [("unrolled LRP", 16), ("U-Net", 300)]
    assert scores["mean"].tolist() == [22, 80] and scores["count"].tolist() == [2, 1]
    assert scores["std"].iloc[0] == pytest.approx(np.std([20, 24], ddof=1)) and np.isnan(scores["std"].iloc[1])
    assert report.scores_over_masks([]).empty


def test_learning_curves_are_means_over_seeds_at_the_steps_that_all_models_scored(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(tmp_path))
    runs = []
    scored = {"41_unet": (10, "1,10,20,30,40"), "43_unrolled_lrp": (20, "1,50,70")}
    for notebook, (epoch_steps, values) in scored.items():
        for seed in (0, 1):
            one = made(notebook, "16_masks", seed=seed, parameters={"epoch_steps": epoch_steps}, num_masks=16)
            lines = [f"{epoch},0.5,{float(value) + seed}" for epoch, value in enumerate(values.split(","))]
            runs.append(one | {"run": f"{notebook}/demo_16_masks-seed{seed}"})
            folder = tmp_path / runs[-1]["run"]
            folder.mkdir(parents=True)
            (folder / "epochs.csv").write_text("\n".join(["epoch,total,mean_iou", *lines, "9,0.5,"]))
    endless = made("41_unet", parameters={"epoch_steps": 0}, num_masks=300)
    other = made("43_unrolled_lrp", "16_masks_as_authors", parameters={"epoch_steps": 20}, num_masks=16)
    (masks, frame), *rest = report.learning_curves([*runs, endless, other]).items()
    assert masks == 16 and not rest and frame.index.name == "step"
    expected = pd.DataFrame({"U-Net": [10.5, 30.5], "unrolled LRP": [1.5, 50.5]}, index=[20, 40])
    pd.testing.assert_frame_equal(frame, expected, check_names=False, check_index_type=False)
    assert report.learning_curves([]) == {}


def test_numbers_of_masks_that_were_not_run_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PARAMS", tmp_path)
    files = ["41_unet/demo", "41_unet/demo_150_masks", "41_unet/demo_16_masks", "41_unet/paper_20_masks"]
    for name in [*files, "42_multitask_unet/demo", "43_unrolled_lrp/demo_50_masks_as_authors"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").touch()
    assert report.masks_not_run("demo", []) == "U-Net 16, 150, all; multi-task U-Net all"
    assert report.masks_not_run("demo", [made("41_unet"), made("42_multitask_unet")]) == "U-Net 16, 150"
    plain = [made("41_unet"), made("42_multitask_unet")]
    runs = [*plain, made("41_unet", "16_masks"), made("41_unet", "150_masks", seed=1)]
    assert report.masks_not_run("demo", runs) == ""


def few_boxes(seed, **scores):
    parameters = {"losses": ["Energy"], "depth": "Final", "backbone": "bcos", "shares": [1.0, 0.01], "dilations": [0.5]}
    return made("31_limited_annotations", seed=seed, parameters=parameters, **scores)


def test_scores_of_boxes_are_means_over_seeds_beside_both_controls():
    runs = [
        few_boxes(0, unguided_epg_test=60.0, energy_1_epg_test=62.0, energy_100_dilated_50_epg_test=70.0),
        few_boxes(1, unguided_epg_test=64.0, energy_1_epg_test=66.0, energy_1_micro_f1_test=90.0),
        made("32_waterbirds"),
    ]
    board = report.scores_of_boxes(runs).set_index("boxes")
    names = ["none", "none, as many steps", "100 %", "1 %", "100 %, grown by 50 %"]
    assert board.index.tolist() == names and set(board["network"]) == {"Energy at Final, bcos"}
    assert board["% of images"].tolist() == [0, 0, 100, 1, 100] and board["grown by"].tolist() == [0, 0, 0, 0, 50]
    assert board.loc["none", "EPG"] == 62 and board.loc["1 %", "EPG"] == 64 and set(board["seeds"]) == {2}
    assert board.loc["1 %", "EPG ±"] == pytest.approx(np.std([62, 66], ddof=1))
    assert board.loc["1 %", "F1"] == 90 and np.isnan(board.loc["100 %", "EPG"])
    assert report.scores_of_boxes([]).empty


def test_table_of_groups_has_a_loss_a_row_and_the_spread_of_the_seeds():
    columns = ["row", "metric", "split", "published", "ours"]
    rows = [
        ("baseline, conventional task", "bird_none_worst_group", "test", 40.0, 3.0),
        ("baseline, conventional task", "bird_none_overall", "test", 60.0, 2.0),
        ("L1, reversed task", "background_l1_worst_group", "test", 50.0, np.nan),
        ("B-cos + Energy", "epg", "test", 70.0, 3.0),
    ]
    records = [
        made("32_waterbirds", seed=seed, bird_none_worst_group_test=3.0 + seed - 1, bird_none_overall_test=2.0)
        for seed in range(3)
    ]
    records += [made("32_waterbirds", variant="all_boxes", bird_none_worst_group_test=90.0)]
    table = report.table_of_groups(pd.DataFrame(rows, columns=columns), records)
    assert table.index.tolist() == ["baseline", "L1"]
    assert table.columns[:3].tolist() == [f"conventional, worst group, {of}" for of in ("published", "ours", "ours ±")]
    assert table.loc["baseline"].dropna().tolist() == [40, 3, 1, 60, 2, 0]
    assert table.loc["L1", "reversed, worst group, published"] == 50 and table.loc["L1"].count() == 1
    assert report.table_of_groups(pd.DataFrame(rows[3:], columns=columns), records).empty


def test_an_ablation_compares_equal_seeds_with_its_first_row():
    rows = [("base", "baseline", 50.0), ("base + part", "part", 53.0), ("all", "", 60.0), ("unknown", "other", 61.0)]
    published = pd.DataFrame(rows, columns=["row", "variant", "value"]).assign(notebook="20_ktse")
    runs = [made("20_ktse", "baseline", seed, iou=value) for seed, value in enumerate((40.0, 44.0, 45.0))]
    runs += [made("20_ktse", "part", 1, iou=46.0), made("20_ktse", "part", 2, iou=49.0)]
    runs += [made("20_ktse", "", 7, iou=70.0), made("20_ktse", "other", 0, another=1.0), made("10_cam", "", 0, iou=9.0)]
    table = report.ablation(published, runs, "iou").set_index("row")
    assert table.index.tolist() == ["base", "base + part", "all", "unknown"]
    assert table["seeds"].tolist() == [3, 2, 0, 0], "of the gain, of the first row its own"
    assert table["published gain"].tolist()[1:] == [3, 10, 11] and np.isnan(table["published gain"].iloc[0])
    assert table.loc["base + part", ["ours", "gain"]].tolist() == [47.5, 3.0], "seed 0 of the baseline has no partner"
    assert table.loc["base + part", "gain ±"] == pytest.approx(2**0.5)
    assert table.loc["all", "ours"] == 70 and np.isnan(table.loc["all", "gain"]), "no seed in common"
    assert table.loc["unknown", ["ours", "ours ±", "gain", "gain ±"]].isna().all()


def guided(seed, weight, front, loss="L1", min_fscore=0.0, longer=False):
    """A record of a run of model guidance, with F1, EPG and IoU of the epochs on its front."""
    names = ("micro_f1", "epg", "iou")
    epochs = {f"epoch {n} {name}": v for n, row in front.items() for name, v in zip(names, row, strict=True)}
    about = {"backbone": "bcos", "attribution": "BCos", "depth": "Final", "loss": loss, "min_fscore": min_fscore}
    measured = ("micro_f1", "epg", "tuned_iou")
    before = {f"unguided_{name}_val": 10.0 * place + seed for place, name in enumerate(measured, start=1)}
    parameters = about | {"localization_weight": weight, "continue_unguided": longer, "form": "paper"}
    return made("30_model_guidance", f"{loss}_{weight}", seed, parameters, front=epochs, **before)


def test_guided_models_of_all_seeds_stand_beside_the_unguided_ones():
    runs = [
        guided(0, 0.5, {4: (80.0, 60.0, 40.0), 12: (70.0, 65.0, 45.0)}),
        guided(1, 0.5, {1: (75.0, 61.0, None)}),
        guided(0, 0.0, {16: (90.0, 50.0, 30.0)}),
        guided(0, 0.0, {2: (85.0, 52.0, 33.0)}, longer=True),
        guided(0, 0.5, {16: (90.0, 50.0, 30.0)}, loss="Energy", min_fscore=50.0),
        made("31_limited_annotations"),
    ]
    models = report.guided_models(runs)
    assert set(models["network"]) == {"bcos (BCos) on benchmark"} and set(models["depth"]) == {"Final"}
    rows = [tuple(row) for row in models[["loss", "micro_f1", "epg", "iou"]].itertuples(index=False)]
    assert rows == [
        ("without guidance", 10, 20, 30),
        ("L1", 80, 60, 40),
        ("L1", 70, 65, 45),
        ("without guidance", 11, 21, 31),
        ("as many steps without guidance", 85, 52, 33),
    ], "a run of weight 0, or below the least F1, was not guided; epochs without a score are left out"
    assert report.guided_models([made("10_cam")]).empty
