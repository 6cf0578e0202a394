"""What is committed below outputs/: made by the code and parameters as they are, small, and without heavy files."""

import re

import pytest

from wsss_lib.files import RECORD, describe, read_json
from wsss_lib.workflow.fingerprint import statuses
from wsss_lib.workflow.project import Project
from wsss_lib.workflow.prose import finished_runs, renew_prose

KEPT = {".json", ".csv", ".md", ".ipynb"}
EXPECTED = re.compile(  # "F1 on val at least 85", "mean_iou_val 66 to 72", "epg_test above unguided_epg_test"
    r"\b(?P<score>[A-Za-z]\w*)(?: on (?P<split>train|val|test))? "
    r"(?:(?P<side>at least|above|at most|below) (?:(?P<number>\d+)|(?P<other>\w+_\w+))"
    r"|(?:between )?(?P<low>\d+) (?:and|to) (?P<high>\d+))(?=[,;. ]|$)"
)


@pytest.fixture
def project(committed) -> Project:
    return Project(committed, committed / "outputs")


def test_committed_records_are_up_to_date(project):
    found = statuses(project, finished_runs(project), check_files=False)
    stale = [f"{run_id}: {'; '.join(status.reasons)}" for run_id, status in found.items() if status.reasons]
    assert not stale, "`./run_all.sh --only RUN` makes a run again; out of date are\n" + "\n".join(stale)


def test_committed_files_are_those_that_their_records_describe(project):
    count, wrong = 0, []
    for record in sorted(project.outputs.glob(f"*/*/{RECORD}")):
        for name, made in read_json(record)["files"].items():
            path = record.parent / name
            if path.is_file():
                count += 1
                wrong += [str(path.relative_to(project.outputs))] if describe(path) != made else []
    assert not wrong, "commit a run whole, with its record; other than described are\n" + "\n".join(wrong)
    assert count > 1000, "most files are committed"


def out_of_range(expected: str, scores: dict[str, float]) -> tuple[int, list[str]]:
    """How many ranges of scores a line ``expect: ...`` gives, and those that the scores of a run are out of.

    >>> out_of_range("F1 on val at least 85, a_test 30 to 40; b_val above c_val", {"f1_val": 90, "a_test": 41})
    (2, ['a_test 30 to 40, not 41.00'])
    """
    count, missed = 0, []
    for found in EXPECTED.finditer(expected):
        name = "_".join(filter(None, [found["score"].replace("F1", "f1"), found["split"]]))
        if name not in scores or (found["other"] or name) not in scores:
            continue  # a word that is no score
        bound = scores[found["other"]] if found["other"] else float(found["number"] or 0)
        low, high = float(found["low"] or "-inf"), float(found["high"] or "inf")
        low, high = (bound, high) if found["side"] in ("at least", "above") else (low, high)
        low, high = (low, bound) if found["side"] in ("at most", "below") else (low, high)
        count += 1
        missed += [] if low <= scores[name] <= high else [f"{found[0]}, not {scores[name]:.2f}"]
    return count, missed


def test_scores_are_in_the_ranges_that_parameter_files_promise(project):
    count, wrong = 0, []
    for run_id, run in finished_runs(project).items():
        expected = " ".join(line for line in run.promise.text.splitlines() if line.startswith("expect:"))
        found, missed = out_of_range(expected, read_json(project.outputs / run_id / RECORD)["scores"])
        count += found
        wrong += [f"{run_id}: {one}" for one in missed]
    assert not wrong, "say in `# expect:` what was found\n" + "\n".join(wrong)
    assert count > 200, "the pattern reads most lines"


def test_committed_pages_carry_the_prose_of_their_notebooks(project):
    plan = finished_runs(project)
    found = statuses(project, plan, check_files=False)
    renewed = [run_id for run_id in plan if renew_prose(project, plan[run_id], found[run_id])]
    assert not renewed, "python -m wsss_lib.workflow.prose brings it to the pages"


def test_committed_outputs_are_small(project):
    sizes = {path: path.stat().st_size for path in project.outputs.rglob("*") if path.is_file()}
    made_anew = {path for path in sizes if path.suffix not in KEPT}
    report = project.outputs / "90_report/demo"  # its page in Markdown, and the README, show its figures
    assert all(path.parent == report and path.suffix == ".png" for path in made_anew), "made anew by every run"
    assert sum(sizes.values()) < 10e6
    assert max(size for path, size in sizes.items() if path.suffix == ".ipynb") <= 350 * 1024
