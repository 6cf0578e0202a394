"""Plans: which runs a command means, in which order, with which parameters; and what is refused before any starts."""

import os
from pathlib import Path

import pytest
from PIL import Image

from wsss_lib.data.batch import make_loader
from wsss_lib.data.transforms import WholeImage
from wsss_lib.data.voc import open_dataset
from wsss_lib.files import write_json
from wsss_lib.networks.base import IMAGENET
from wsss_lib.parameters import ParameterError
from wsss_lib.paths import PROJECT
from wsss_lib.tests.workflow.toy import BODY, PARAMETERS, write_notebook
from wsss_lib.workflow.launcher import Machine, machine
from wsss_lib.workflow.plan import Request, make_plan, prediction
from wsss_lib.workflow.project import PlanError, Project


def plan(toy, *names, **options):
    return make_plan(toy.project, Request(only=names, **options))


def finished(toy, run_id, **parameters):
    write_json(toy.file(run_id, "record.json"), {"hash": "abc", "parameters": parameters, "files": {}, "seconds": 1})


def test_runs_come_after_their_inputs_and_the_report_last(toy):
    order = list(plan(toy))
    assert set(order) == {f"{stem}/demo" for stem in ("10_cam", "16_affinity", "20_break", "21_after", "90_report")}
    assert order.index("10_cam/demo") < order.index("16_affinity/demo")
    assert order.index("20_break/demo") < order.index("21_after/demo")
    assert order[-1] == "90_report/demo"


def test_a_notebook_brings_the_runs_that_it_needs(toy):
    assert list(plan(toy, "16_affinity")) == ["10_cam/demo", "16_affinity/demo"]
    assert list(plan(toy, "10_cam", profile="smoke")) == ["10_cam/smoke"]
    assert list(plan(toy, "90_report")) == ["90_report/demo"], "a pattern reads what is there"


def test_seeds_shift_together_and_the_report_runs_once(toy):
    toy.params("10_cam", "demo", seed=7)
    made = plan(toy, seeds=3)
    assert {run_id for run_id in made if run_id.startswith("10_cam")} == {
        "10_cam/demo",
        "10_cam/demo-seed1",
        "10_cam/demo-seed2",
    }
    assert made["10_cam/demo-seed2"].parameters["seed"] == 9
    assert made["16_affinity/demo-seed2"].parameters == {"seed": 2, "maps_from": "10_cam/demo-seed2"}
    assert made["16_affinity/demo-seed2"].inputs == ("10_cam/demo-seed2",)
    assert made["16_affinity/demo"].injected == {"maps_from": "10_cam/demo"}, "defaults need no injection"
    assert [run_id for run_id in made if run_id.startswith("90_report")] == ["90_report/demo"]


def test_a_copied_notebook_does_not_empty_the_runs_of_its_original(toy):
    for copy in ("18_bare", "19_copy"):
        toy.project.notebook(copy).write_text(toy.project.notebook("10_cam").read_text())
    toy.params("19_copy", "demo")
    with pytest.raises(
        PlanError, match=r'a run of 10_cam and would empty its folder; write start_run\("19_copy", globals'
    ):
        plan(toy, "19_copy")
    with pytest.raises(PlanError, match=r"18_bare\.ipynb has no parameter files; add params/18_bare/smoke\.yaml"):
        plan(toy, "18_bare")


def test_variants_run_only_with_the_grid(toy):
    toy.params("10_cam", "demo_large", sizes=[3])
    toy.params("16_affinity", "demo_large", maps_from="10_cam/demo_large")
    assert "10_cam/demo_large" not in plan(toy)
    made = plan(toy, "16_affinity", grid=True, seeds=2)
    assert {"10_cam/demo_large", "10_cam/demo_large-seed1", "16_affinity/demo_large-seed1"} <= set(made)


def test_one_seed_of_a_run_can_be_named(toy):
    made = plan(toy, "16_affinity/demo-seed2")
    assert set(made) == {"10_cam/demo-seed2", "16_affinity/demo-seed2"}
    assert [run.parameters["seed"] for run in made.values()] == [2, 2]
    fresh = Request(only=("16_affinity/demo-seed2",))
    assert fresh.names("16_affinity/demo-seed2") and not fresh.names("16_affinity/demo")
    for wrong in ("16_affinity/demo-seed0", "16_affinity/demo-seed", "16_affinity/nowhere-seed1"):
        with pytest.raises(PlanError, match=f"unknown parameter file '{wrong}'"):
            plan(toy, wrong)


def test_settings_are_typed_by_the_parameters_cell(toy):
    made = plan(toy, "16_affinity", "10_cam", settings={"seconds": "1e-3", "sizes": "[3, 5]"})
    assert made["10_cam/demo"].parameters["seconds"] == 0.001 and made["10_cam/demo"].parameters["sizes"] == [3, 5]
    assert plan(toy, settings={"data": "7"})["10_cam/demo"].parameters["data"] == "7"
    assert plan(toy, "16_affinity", settings={"seed": "3"})["10_cam/demo"].parameters["seed"] == 0, (
        "not named by --only"
    )


def test_a_number_among_choices_can_be_set(toy):
    lines = (
        PARAMETERS["10_cam"] + "\noutput_stride: int = 8  # one of 8, 16; px\nlevels: list[int] = [8]  # one of 8, 16"
    )
    write_notebook(toy.root / "notebooks/10_cam.ipynb", lines, BODY["10_cam"])
    made = plan(toy, "10_cam", settings={"output_stride": "16", "levels": "[16, 8]"})["10_cam/demo"].parameters
    assert made["output_stride"] == 16 and made["levels"] == [16, 8]
    for text, shown in {"32": "32", "many": "'many'"}.items():
        with pytest.raises(ParameterError, match=f"parameter output_stride is {shown}; Input should be 8 or 16"):
            plan(toy, "10_cam", settings={"output_stride": text})


@pytest.mark.parametrize(
    "names, options, error, words",
    [
        (("10_cm",), {}, PlanError, r"unknown notebook '10_cm' \(did you mean 10_cam\?\); known: 10_cam, 16_affinity"),
        ((), {"profile": "dmo"}, PlanError, r"unknown profile 'dmo' \(did you mean demo\?\)"),
        (("10_cam",), {"profile": "photos"}, PlanError, "no parameter file photos.yaml; it has: demo, smoke"),
        ((), {"profile": "paper"}, PlanError, "no notebook has a parameter file paper.yaml"),
        ((), {"settings": {"second": "1"}}, PlanError, r"unknown parameter 'second' \(did you mean seconds\?\)"),
        (("10_cam",), {"settings": {"maps_from": "x"}}, PlanError, "unknown parameter 'maps_from'"),
        ((), {"settings": {"seconds": "soon"}}, ParameterError, "10_cam: parameter seconds is 'soon'"),
        ((), {"settings": {"seconds": "-1"}}, ParameterError, r"\(run 10_cam/demo\)"),
        ((), {"settings": {"maps_from": "somewhere"}}, PlanError, "maps_from is 'somewhere'; a run is named"),
        ((), {"settings": {"maps_from": "../../etc/x"}}, PlanError, "a run is named"),
        (
            (),
            {"settings": {"maps_from": "10_cam/dema"}},
            PlanError,
            r"unknown run '10_cam/dema' \(did you mean 10_cam/",
        ),
    ],
)
def test_bad_words_are_refused_with_the_known_ones(toy, names, options, error, words):
    with pytest.raises(error, match=words):
        plan(toy, *names, **options)


def test_a_misspelled_parameter_in_a_file_is_refused(toy):
    toy.params("20_break", "demo", fial="cell")
    with pytest.raises(ParameterError, match="20_break has no parameter 'fial'; did you mean 'fail'"):
        plan(toy)


def test_a_circle_is_named(toy):
    toy.params("16_affinity", "demo", maps_from="21_after/demo")
    toy.params("21_after", "demo", maps_from="16_affinity/demo")
    with pytest.raises(PlanError, match=r"circle: .*16_affinity/demo -> "):
        plan(toy)


def test_a_parameter_file_of_the_user_names_its_run(toy):
    path = toy.write("elsewhere/mine.yaml", "seconds: 2\n")
    made = plan(toy, "10_cam", file=path, seeds=2)
    assert list(made) == ["10_cam/mine", "10_cam/mine-seed1"] and made["10_cam/mine"].parameters["seconds"] == 2
    taken = toy.write("elsewhere/demo.yaml", "seconds: 2\n")
    for names, file, words in [
        (("10_cam",), taken, "the run 10_cam/demo belongs to"),
        ((), path, "--params FILE needs --only"),
        (("10_cam/demo",), path, "--params FILE needs --only with the one notebook"),
        (("10_cam",), toy.write("elsewhere/a-b.yaml", ""), "letters, digits and _"),
        (("10_cam",), toy.root / "none.yaml", "there is no file"),
    ]:
        with pytest.raises(PlanError, match=words):
            plan(toy, *names, file=file)


def test_a_finished_run_of_the_user_serves_as_input(toy):
    with pytest.raises(PlanError, match="unknown run '10_cam/mine'"):
        plan(toy, "16_affinity", settings={"maps_from": "10_cam/mine"})
    finished(toy, "10_cam/mine")
    made = plan(toy, "16_affinity", settings={"maps_from": "10_cam/mine"}, seeds=2)
    assert list(made) == ["16_affinity/demo", "16_affinity/demo-seed1"]
    assert made["16_affinity/demo-seed1"].inputs == ("10_cam/mine",)


def test_prediction_uses_a_whole_run_as_it_is_and_makes_a_missing_one_first(toy, tmp_path):
    made = prediction(toy.project, "10_cam/demo", tmp_path, "predict")
    assert list(made) == ["10_cam/demo", "10_cam/predict"]
    finished(toy, "10_cam/demo", seed=0, seconds=0.25, sizes=[9], gone=1)
    (run,) = prediction(toy.project, "10_cam/demo", tmp_path, "mine").values()
    assert run.run_id == "10_cam/mine" and run.inputs == ("10_cam/demo",)
    wanted = {"seconds": 0.25, "sizes": [9], "data": str(tmp_path), "masks": "none", "weights_from": "10_cam/demo"}
    assert run.parameters == wanted | {"seed": 0}
    for arguments, words in [
        (("16_affinity/demo", tmp_path, "predict"), "16_affinity cannot predict: it has no parameter 'weights_from'"),
        (("10_cm/demo", tmp_path, "predict"), "unknown notebook"),
        (("10_cam/demo", tmp_path / "none", "predict"), "there is no folder"),
        (("10_cam/demo", tmp_path, "demo"), "--out 'demo' cannot name this run"),
    ]:
        with pytest.raises(PlanError, match=words):
            prediction(toy.project, *arguments)


def test_prediction_has_no_other_inputs(toy, tmp_path):
    lines = PARAMETERS["10_cam"] + '\nbaseline_from: str = ""  # run\nmore_from: list[str] = []  # runs'
    write_notebook(toy.root / "notebooks/10_cam.ipynb", lines, BODY["10_cam"])
    toy.params("10_cam", "demo_second", baseline_from="10_cam/demo")
    (run,) = (
        r for r in prediction(toy.project, "10_cam/demo_second", tmp_path, "mine").values() if r.run_id.endswith("mine")
    )
    assert run.inputs == ("10_cam/demo_second",) and run.parameters["baseline_from"] == ""


@pytest.mark.parametrize(
    "trained", ["10_cam/demo", "15_fmix_cam/demo", "17_deeplab/demo", "20_ktse/demo", "22_beco/demo", "10_cam/paper"]
)
def test_prediction_reads_every_photograph_once_whatever_its_size(tmp_path, trained):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name, size in {"a": (40, 30), "b": (20, 50)}.items():
        Image.new("RGB", size).save(photographs / f"{name}.png")
    project = Project(PROJECT, tmp_path / "outputs")
    values = prediction(project, trained, photographs, "mine")[f"{trained.partition('/')[0]}/mine"].parameters
    splits = [values[name] for name in ("choose_split", "report_split", "seed_split") if name in values]
    assert len(splits) > 1 and len(set(splits)) == 1 and values["max_images"] == 0
    options = {name: values[name] for name in ("masks", "max_images")}
    dataset = open_dataset(values["data"], splits[0], classes=["cat"], **options)
    (batch_size,) = (values[name] for name in ("map_batch", "test_batch") if name in values)
    loader = make_loader(dataset, WholeImage(IMAGENET), batch_size=batch_size, seed=0)
    assert [(batch.ids, batch.sizes) for batch in loader] == [(["a"], [(30, 40)]), (["b"], [(50, 20)])]


def test_single_runs_can_be_chosen(toy):
    toy.params("10_cam", "demo_second", seconds=0.5)
    assert list(plan(toy, "10_cam/demo_second")) == ["10_cam/demo_second"]
    assert set(plan(toy, "10_cam/demo_second", "16_affinity")) == {
        "10_cam/demo_second",
        "10_cam/demo",
        "16_affinity/demo",
    }
    with pytest.raises(PlanError, match=r"unknown parameter file '10_cam/demo_third'.*10_cam/demo_second"):
        plan(toy, "10_cam/demo_third")


@pytest.mark.parametrize("asked, jobs, threads", [("", 1, 8), ("", 3, 2), ("4", 1, 4), ("4", 3, 2), ("1,2", 1, 8)])
def test_runs_share_the_cores_and_omp_num_threads_caps_them(monkeypatch, asked, jobs, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert Machine(Path(), True, jobs, ()).threads == threads


@pytest.mark.parametrize(
    "jobs, cores, gigabytes, runs, expected",
    [
        (None, 2, 24, 9, 2),
        (None, 16, 64, 9, 4),
        (None, 16, 64, 1, 1),
        (None, 8, 16, 9, 3),
        (None, 8, 2, 9, 1),
        (1, 8, 64, 9, 1),
    ],
)
def test_jobs_that_nobody_asked_for_follow_cores_memory_and_runs(monkeypatch, jobs, cores, gigabytes, runs, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores), raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": gigabytes * 2**18, "SC_PAGE_SIZE": 4096}.__getitem__)
    on = Machine(Path(), True, jobs, ()).ready_for(runs)
    assert (on.jobs, on.threads) == (expected, cores // expected)
    cluster = Machine(Path(), False, None, ())
    assert cluster.ready_for(runs) is cluster


def test_the_folder_of_a_machine_is_seen_from_the_caller(monkeypatch, tmp_path):
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/config.yaml").write_text("executor: slurm\n")
    monkeypatch.setenv("WSSS_CALLED_FROM", str(tmp_path))
    for on in ("cluster", str(tmp_path / "cluster")):
        assert machine(on, 3) == Machine(tmp_path / "cluster", False, 3, ())
    assert machine("slurm", None).profile.name == "slurm"
