import time

import numpy as np
import pytest

from wsss_lib.parameters import read_yaml
from wsss_lib.paths import PARAMS
from wsss_lib.tests import bench
from wsss_lib.tests.bench import Benchmark, __main__, benchmark, load_benchmarks, measure, run_benchmarks
from wsss_lib.tests.bench.papers import SMALL, small_runs, with_cost
from wsss_lib.workflow import cli
from wsss_lib.workflow.plan import Request, make_plan
from wsss_lib.workflow.project import Project

METHODS = [file for file in sorted(PARAMS.glob("*/paper*.yaml")) if not file.parent.name.startswith("9")]


def pausing(seconds, result=1.0):
    def form():
        time.sleep(seconds)
        return result

    return form


def test_both_forms_run_in_turns_and_the_fastest_counts():
    calls = []
    pauses = iter([0.5, 0.0, 0.001, 0.0])

    def slow():
        calls.append("slow")
        time.sleep(next(pauses))
        return 1

    def fast():
        calls.append("fast")
        time.sleep(next(pauses))
        return 1

    seconds = measure(slow, fast, repeats=2)
    assert calls == ["slow", "fast"] * 2
    assert 0.001 <= seconds[0] < 0.5


def test_forms_that_differ_are_refused():
    with pytest.raises(AssertionError):
        measure(pausing(0, np.array([1.0, 2.0])), pausing(0, np.array([1.0, 2.1])), repeats=1)


@pytest.mark.parametrize(
    "ratio, seconds, reached", [(5, None, True), (50, None, False), (5, 1e-6, False), (None, 1, True)]
)
def test_a_missed_goal_shows(ratio, seconds, reached):
    lines = []
    one = Benchmark("pause", lambda: (pausing(0.02), pausing(0.001)), ratio, seconds)
    assert run_benchmarks([one], lines.append) is reached
    assert lines[0].split() == ["operation", "slow", "s", "fast", "s", "ratio", "to", "reach", "ok"]
    assert lines[1].startswith("pause") and lines[1].endswith("yes" if reached else "NO")
    assert one.to_reach in lines[1]


def test_the_command_chooses_by_name_and_fails_where_a_goal_is_missed(monkeypatch, capsys):
    known = {
        name: Benchmark(name, lambda: (pausing(0.01), pausing(0.0)), ratio)
        for name, ratio in (("easy sum", 1), ("easy sort", 1), ("hard sum", 1e9))
    }
    monkeypatch.setattr(__main__, "load_benchmarks", lambda: known)
    monkeypatch.setattr(__main__.torch, "set_num_threads", lambda threads: None)
    papers, asked = iter([True, False, True, True]), []
    monkeypatch.setattr(__main__, "run_papers", lambda *only, write: asked.append((*only, write)) or next(papers))
    assert __main__.main(["--only", "easy"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["easy sum", "easy sort"]
    assert __main__.main([]) == 1
    assert __main__.main(["--only", "paper"]) == 1, "the paper files alone"
    assert __main__.main(["--only", "paper/10_cam"]) == 0
    assert __main__.main(["--only", "paper/10_cam", "--write"]) == 0
    assert asked == [(False,), ("", False), ("10_cam", False), ("10_cam", True)]
    with pytest.raises(SystemExit):
        __main__.main(["--only", "product"])
    assert "easy sum, easy sort, hard sum" in capsys.readouterr().err


@pytest.mark.parametrize("only, lacking", [("", set()), ("10_cam", {"teacher_weights"}), ("17_deeplab", {"min_count"})])
def test_small_settings_are_those_of_the_runs(tmp_path, only, lacking):
    project = Project(outputs=tmp_path)
    chosen = cli.parse(small_runs(project, only)[0])
    assert lacking <= SMALL.keys() - chosen.settings.keys() and (only or set(chosen.settings) == set(SMALL))
    request = Request(chosen.profile, tuple(chosen.only), grid=chosen.grid, settings=chosen.settings)
    runs = make_plan(project, request).values()
    assert {run.parameters["max_images"] for run in runs if "max_images" in run.parameters} == {2}
    if only == "17_deeplab":
        assert "10_cam" in {run.notebook for run in runs}, "what it needs is small too"


def test_what_trains_nothing_is_not_trained_by_small_settings(tmp_path):
    project = Project(outputs=tmp_path)
    trained, released = (cli.parse(words) for words in small_runs(project, "21_irn"))
    assert {"20_ktse/paper", "21_irn/paper"} <= {*trained.only} and not any("released" in run for run in trained.only)
    assert {"20_ktse/paper_released", "21_irn/paper_released"} == {*released.only}
    assert "epochs" not in released.settings and trained.settings["epochs"] == "2"
    request = Request(released.profile, tuple(released.only), grid=True, settings=released.settings)
    runs = make_plan(project, request)
    assert runs["20_ktse/paper_released"].parameters["epochs"] == 0
    assert runs["21_irn/paper_released"].parameters["max_steps"] == 2
    (alone,) = (cli.parse(words) for words in small_runs(project, "20_ktse/paper_released"))
    assert "epochs" not in alone.settings and alone.only == ["20_ktse/paper_released"]


def test_a_notebook_without_paper_files_is_named(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--only", "paper/10_cm"])
    assert "unknown notebook '10_cm' (did you mean 10_cam?)" in capsys.readouterr().err


def test_files_of_the_folder_are_found_and_their_forms_agree():
    known = load_benchmarks()
    assert {"bench_maps", "bench_scores"} <= {one.forms.__module__.rsplit(".")[-1] for one in known.values()}
    (sweep,) = (one for name, one in known.items() if "threshold sweep" in name)
    slow, fast = sweep.forms()
    np.testing.assert_allclose(fast(), slow(), atol=1e-9)


@pytest.mark.parametrize(
    "operation, authors, ours",  # seconds; larger walks stand beside one of eight squarings at 47 x 63 px
    [
        ("IRN random walk, 47 x 63 px", 4.2, 0.2),
        ("IRN random walk, 70 x 94 px", 4.2 / 8, 0.8),
        ("IRN random walk, 94 x 125 px", 4.2 / 8, 1.0),
        ("pixel-adaptive refinement, 160 x 160, 4 classes, 10 times", 0.18, 0.06),
        ("IRN losses, radius 10, 128 x 128 px", 0.24, 0.12),
        ("threshold sweep, 375 x 500 px", 0.24, 0.02),
        ("confidence mask, 375 x 500 px", 0.30, 0.03),
    ],
)
def test_the_erasing_pipeline_is_measured(operation, authors, ours):
    (one,) = (one for name, one in load_benchmarks().items() if name.startswith(operation))
    assert (one.ratio and one.ratio >= 0.99 * authors / ours) or (one.seconds and one.seconds <= ours)


def test_a_benchmark_needs_a_goal_and_a_name_of_its_own(monkeypatch):
    monkeypatch.setattr(bench, "REGISTERED", {})
    with pytest.raises(ValueError, match="nothing to reach"):
        benchmark("sum")
    benchmark("sum", ratio=2)(lambda: (pausing(0), pausing(0)))
    with pytest.raises(ValueError, match="two benchmarks 'sum'"):
        benchmark("sum", ratio=2)(lambda: (pausing(0), pausing(0)))


@pytest.mark.parametrize("file", METHODS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_head_of_every_paper_file_takes_the_cost_of_two_steps(tmp_path, file):
    plain = file.read_text(encoding="utf-8")
    first, second = with_cost(plain, 12.3, 1, 3456), with_cost(with_cost(plain, 12.3, 1, 3456), 45.6, 2, 7890)
    assert "two training steps on two images: 12 s of one thread, 3.5 GB)" in first
    assert "two training steps on two images: 46 s of 2 threads, 7.9 GB)" in second and "12 s" not in second
    (tmp_path / "paper.yaml").write_text(second, encoding="utf-8")
    values, promise = read_yaml(file)
    after, promised = read_yaml(tmp_path / "paper.yaml")
    assert after == values
    assert promised.expected_seconds == promise.expected_seconds
    assert promised.expected_megabytes == promise.expected_megabytes


def test_what_was_measured_whole_keeps_its_head():
    assert with_cost("# takes: 15 s, 3 MB; 2 cores\n", 1.0, 1, 100) == "# takes: 15 s, 3 MB; 2 cores\n"


def test_what_trains_nothing_took_no_training_steps():
    plain = "# takes: 2 h, 50 MB; one GPU (a guess; two images: 8 s of one thread, 1.9 GB)"
    assert with_cost(plain, 5.0, 1, 1400, trained=False).endswith("(a guess; two images: 5 s of one thread, 1.4 GB)")
