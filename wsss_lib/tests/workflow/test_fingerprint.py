"""The hash of a run: what changes it, what does not, and the reasons that a stale run is given."""

import os

import pytest

from wsss_lib.files import file_hash, list_files, write_json
from wsss_lib.tests.workflow.toy import BODY, PARAMETERS, write_notebook
from wsss_lib.workflow.fingerprint import fingerprint, finished_inputs, imported_modules, statuses, tree_hash
from wsss_lib.workflow.plan import Request, make_plan


def make(toy, *run_ids):
    """Finished runs as the runner leaves them, without executing anything; returns the status of a demo plan."""
    plan = make_plan(toy.project, Request())
    for run_id in run_ids:
        run, folder = plan[run_id], toy.project.folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "maps.npz").write_text("maps")
        inputs = {target: toy.record(target)["hash"] for target in run.inputs}
        if run.patterns:
            inputs = {other: toy.record(other)["hash"] for other in plan if run.reads(other) and toy.record(other)}
        now = fingerprint(toy.project, run.notebook, run.parameters, inputs, bool(run.patterns))
        record = {"hash": now.digest, "parameters": run.parameters, "fingerprint": now.parts, "seconds": 3.0}
        write_json(folder / "record.json", record | {"files": list_files(folder)})


def reasons(toy, **options):
    plan = make_plan(toy.project, Request())
    return {run_id: list(status.reasons) for run_id, status in statuses(toy.project, plan, **options).items()}


@pytest.fixture
def whole(toy):
    make(toy, "10_cam/demo", "20_break/demo", "16_affinity/demo", "21_after/demo", "90_report/demo")
    assert reasons(toy) == {run_id: [] for run_id in reasons(toy)}
    return toy


def test_what_a_reader_cannot_tell_apart_changes_nothing(whole):
    whole.write(
        "wsss_lib/maps/cam.py", '"""New."""\nfrom wsss_lib.maps import weights  # why\ndef score(x): return (x)\n'
    )
    whole.params("10_cam", "demo", seconds=0.0)
    source = whole.project.notebook("10_cam")
    source.write_text(source.read_text().replace("# Toy 10_cam", "# Better prose").replace("px", "pixels"))
    assert not any(reasons(whole).values())


@pytest.mark.parametrize(
    "name, text, stale, reason",
    [
        ("wsss_lib/maps/cam.py", "def score(x):\n    return 2 * x\n", "10_cam/demo", "wsss_lib.maps.cam changed"),
        ("wsss_lib/maps/weights.py", "WEIGHT = 2\n", "10_cam/demo", "wsss_lib.maps.weights changed"),
        (
            "params/16_affinity/demo.yaml",
            "maps_from: 10_cam/demo\nseed: 4\n",
            "16_affinity/demo",
            "parameter seed: 0 -> 4",
        ),
        ("params/published.csv", "paper,value\n", "90_report/demo", "published.csv changed"),
    ],
)
def test_a_change_makes_stale_what_depends_on_it_and_says_why(whole, name, text, stale, reason):
    whole.write(name, text)
    found = reasons(whole)
    assert reason in found.pop(stale)
    dependants = {"10_cam/demo": {"16_affinity/demo", "90_report/demo"}, "16_affinity/demo": {"90_report/demo"}}
    assert {run_id for run_id, why in found.items() if why} == dependants.get(stale, set())


def test_code_of_the_notebook_counts(whole):
    write_notebook(whole.project.notebook("20_break"), PARAMETERS["20_break"], [*BODY["20_break"], "pass"])
    assert reasons(whole)["20_break/demo"] == ["code of the notebook changed"]
    assert reasons(whole)["21_after/demo"] == ["20_break/demo changed"]
    assert reasons(whole)["10_cam/demo"] == []


def test_a_missing_or_altered_file_makes_a_run_stale_but_not_its_dependants(whole):
    maps = whole.file("10_cam/demo", "maps.npz")
    maps.unlink()
    assert reasons(whole)["10_cam/demo"] == ["maps.npz is missing or changed"]
    assert reasons(whole)["16_affinity/demo"] == []
    maps.write_text("mapz")  # same size, written after the record
    os.utime(maps, ns=(2**62, 2**62))
    assert reasons(whole)["10_cam/demo"] == ["maps.npz is missing or changed"]
    maps.write_text("maps")
    assert reasons(whole)["10_cam/demo"] == []


def test_committed_records_are_compared_without_their_maps(whole):
    whole.file("10_cam/demo", "maps.npz").unlink()
    assert not any(reasons(whole, check_files=False).values())
    whole.write("wsss_lib/maps/cam.py", "")
    assert reasons(whole, check_files=False)["10_cam/demo"] == [
        "wsss_lib.maps.cam changed",
        "wsss_lib.maps.weights changed",
    ]


def test_fresh_and_unfinished_runs_are_stale(whole):
    assert reasons(whole, fresh=["20_break/demo"])["20_break/demo"] == ["asked for"]
    whole.file("20_break/demo", "record.json").write_text("{half")
    assert reasons(whole)["20_break/demo"] == ["no finished run"]
    write_json(whole.file("10_cam/demo", "record.json"), {"hash": None, "parameters": {}, "files": {}, "seconds": 1})
    assert reasons(whole)["10_cam/demo"] == ["made by other code"]


def test_finished_runs_outside_the_plan_count_for_the_report(whole):
    write_json(whole.file("10_cam/demo-seed1", "record.json"), {"hash": "abc", "files": {}})
    assert reasons(whole)["90_report/demo"] == ["10_cam/demo-seed1 changed"]


def test_a_run_of_jupyterlab_counts_where_it_is_named(whole):
    before = reasons(whole)
    page = {"hash": None, "parameters": {}, "files": {}, "seconds": 1}
    write_json(whole.file("10_cam/lab", "record.json"), page)
    write_json(whole.file("10_cam/demo_by_hand", "record.json"), page)
    assert reasons(whole) == before, "patterns do not find it"
    (run,) = make_plan(whole.project, Request(only=("16_affinity",), settings={"maps_from": "10_cam/lab"})).values()
    first = finished_inputs(whole.project, run)
    assert first == {"10_cam/lab": file_hash(whole.file("10_cam/lab", "record.json"))}
    write_json(whole.file("10_cam/lab", "record.json"), page | {"seconds": 2})
    assert finished_inputs(whole.project, run).keys() == first.keys() != set()
    assert finished_inputs(whole.project, run) != first, "made again"


@pytest.mark.parametrize(
    "cell, modules",
    [
        ("import wsss_lib.maps.weights as w", {"wsss_lib", "wsss_lib.maps", "wsss_lib.maps.weights"}),
        ("from wsss_lib.maps import weights", {"wsss_lib", "wsss_lib.maps", "wsss_lib.maps.weights"}),
        (
            "%matplotlib inline\nfrom wsss_lib.maps.weights import WEIGHT",
            {"wsss_lib", "wsss_lib.maps", "wsss_lib.maps.weights"},
        ),
        ("def f():\n    from wsss_lib import lazy", {"wsss_lib", "wsss_lib.lazy", "wsss_lib.paths"}),
        ("import numpy, wsss_library", set()),
    ],
)
def test_imports_are_followed_however_they_are_written(toy, cell, modules):
    toy.write("wsss_lib/lazy.py", "def f():\n    from . import paths\n")
    assert set(imported_modules(toy.project.library, [cell])) == modules


def test_a_cell_that_is_no_python_imports_nothing_and_counts(whole):
    write_notebook(whole.project.notebook("20_break"), PARAMETERS["20_break"], [*BODY["20_break"], "files = !ls"])
    found = reasons(whole)
    assert found["20_break/demo"] == ["code of the notebook changed"] and found["10_cam/demo"] == []
    cells = ["def f(:\n    import wsss_lib.maps.weights", "import wsss_lib.maps.weights"]
    assert imported_modules(whole.project.library, cells[:1]) == {}
    assert imported_modules(whole.project.library, cells) == imported_modules(whole.project.library, cells[1:])


def test_tree_hash_sees_values_and_names():
    base = tree_hash("def f(x, *, y=1):\n    return f'{x:>{y}} a' 'b'")
    assert base == tree_hash('def f(x, *, y = 0x1):\n    """Doc."""\n    return (f"{x:>{y}} ab")')
    for other in ("def f(x, *, y=2):\n    return f'{x:>{y}} ab'", "def g(x, *, y=1):\n    return f'{x:>{y}} ab'"):
        assert tree_hash(other) != base
    assert tree_hash("x = True") != tree_hash("x = 1") and tree_hash("x = None") != tree_hash("x = 'None'")
    assert tree_hash("x: int") != tree_hash("x: int = None")
