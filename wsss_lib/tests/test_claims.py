"""Claims: the verdict follows the interval, seeds are paired, and every claim of the committed list can be judged."""

import math
import statistics
from functools import cache

import numpy as np
import pandas as pd
import pytest

from wsss_lib import claims, tables
from wsss_lib.parameters import read_parameters, read_yaml
from wsss_lib.paths import NOTEBOOKS, PARAMS

FIELDS = {"claim": "b is better", "paper": "p", "source": "Table 1", "run": "2_b/{profile}", "against": "1_a/{profile}"}
WITHOUT_PRINTS = {"Unrolled LRP (Yu et al., xAI 2024)"}  # papers whose tables could not be read
CLAIMS = {  # of each paper; a claim that is taken out, or put in, is counted here
    "Model guidance, ICCV 2023": 35,
    "Sub-category and mixing CAMs (report)": 31,
    "Unrolled LRP (Yu et al., xAI 2024)": 11,
    claims.OWN_QUESTIONS: 13,
    "KTSE, ECCV 2024": 7,
    "LaViSE, CVPR 2022": 6,
    "SC-CAM, CVPR 2020": 3,
    "BECO, CVPR 2023": 2,
    "AffinityNet, CVPR 2018": 1,
    "DeepLab v2 in PyTorch": 1,
}
T_975 = {1: 12.706, 2: 4.303, 3: 3.182}  # 97.5 % quantile of Student's t, from a printed table


def record(run, **scores):
    parameter_file, _, seed = run.partition("-seed")
    return {"run": run, "parameter_file": parameter_file, "seed_number": int(seed or 0), "scores": scores}


@pytest.mark.parametrize("differences", [[1.0, 3.0], [1.0, 2.0, 4.5], [0.5, -1.0, 2.0, 7.0]])
def test_interval_is_student_s(differences):
    count = len(differences)
    half = T_975[count - 1] * statistics.stdev(differences) / math.sqrt(count)
    mean = sum(differences) / count
    np.testing.assert_allclose(claims.interval(differences), (mean - half, mean + half), rtol=1e-3)


def test_no_interval_from_one_seed():
    assert all(math.isnan(bound) for bound in claims.interval([2.0]))


@pytest.mark.parametrize(
    ("differences", "direction", "margin", "expected"),
    [
        ([], "higher", 0.0, "not run"),
        ([5.0], "higher", 0.0, "undecided"),
        ([5.0, 5.1], "higher", 0.0, "undecided"),
        ([5.0, 5.1, 4.9], "higher", 0.0, "reproduced"),
        ([5.0, 5.1, 4.9], "higher", 5.0, "undecided"),
        ([5.0, 5.1, 4.9], "higher", 6.0, "contradicted"),
        ([5.0, 5.1, 4.9], "lower", 0.0, "contradicted"),
        ([-5.0, -5.1, -4.9], "lower", 3.0, "reproduced"),
        ([-5.0, 5.0, 1.0], "higher", 0.0, "undecided"),
        ([-0.5, -0.6, -0.4], "higher", -1.0, "reproduced"),
        ([-0.5, -0.6, -0.4], "near", 1.0, "reproduced"),
        ([-5.0, -5.1, -4.9], "near", 1.0, "contradicted"),
        ([5.0, 5.1, 4.9], "near", 1.0, "contradicted"),
        ([5.0, 5.1, 4.9], "near", 5.0, "undecided"),
        ([-5.0, 5.0, 1.0], "near", 3.0, "undecided"),
    ],
)
def test_verdict(differences, direction, margin, expected):
    assert claims.verdict(differences, direction, margin) == expected


def test_only_seeds_of_both_runs_are_paired():
    records = [
        record("1_a/demo", f1=10.0),
        record("1_a/demo-seed1", f1=20.0),
        record("1_a/demo-seed2", f1=30.0),
        record("2_b/demo", f1=11.0),
        record("2_b/demo-seed2", f1=33.0),
        record("2_b/demo-seed3", f1=99.0),
        record("2_b/demo_other-seed1", f1=99.0),
    ]
    claim = claims.Claim(**FIELDS, metric="f1").in_profile("demo")
    assert claims.paired_differences(claim, records) == {0: 1.0, 2: 3.0}
    (row,) = claims.judge([claims.Claim(**FIELDS, metric="f1", printed=1.5)], records, "demo").to_dict("records")
    assert (row["difference"], row["seeds"], row["verdict"], row["printed"]) == (2.0, 2, "undecided", 1.5)
    assert claims.judge([claims.Claim(**FIELDS, metric="f1")], records, "paper")["verdict"].tolist() == ["not run"]


def test_two_scores_of_one_run_and_other_runs_of_a_profile():
    records = [record(f"3_c/demo-seed{s}" if s else "3_c/demo", after=50.0 + s, before=40.0 + 2 * s) for s in range(3)]
    claim = claims.Claim(
        **FIELDS,
        metric="after",
        against_metric="before",
        margin=3,
        instead={"demo": {"run": "3_c/demo", "against": "3_c/demo"}},
    )
    (row,) = claims.judge([claim], records, "demo").to_dict("records")
    assert row["difference"] == 9.0 and row["verdict"] == "reproduced"
    assert claim.in_profile("photos").run == "2_b/photos"


@pytest.mark.parametrize(
    "change", [{"metrics": "f1"}, {"direction": "sideways"}, {"claim": None}, {"direction": "near"}]
)
def test_a_wrong_entry_is_named(tmp_path, change):
    file = tmp_path / "claims.yaml"
    entry = {name: value for name, value in (FIELDS | {"metric": "f1"} | change).items() if value is not None}
    file.write_text("\n".join(["- " + "\n  ".join(f"{name}: '{value}'" for name, value in entry.items())]))
    with pytest.raises(ValueError, match=r"entry 1 of claims\.yaml"):
        claims.read_claims(file)


def test_a_trend_is_a_difference_of_differences():
    trend = FIELDS | {"than_run": "2_b/{profile}_many", "than_against": "1_a/{profile}_many", "metric": "score"}
    claim = claims.Claim(**trend).in_profile("demo")
    records = [record("2_b/demo", score=50.0), record("1_a/demo", score=40.0)]
    assert claims.paired_differences(claim, records) == {}, "the other two runs are missing"
    records += [record("2_b/demo_many", score=63.0), record("1_a/demo_many", score=60.0)]
    assert claims.paired_differences(claim, records) == {0: 7.0}
    with pytest.raises(ValueError, match="than_against"):
        claims.Claim(**FIELDS | {"than_run": "2_b/demo", "metric": "score"})


def test_every_claim_names_parameter_files_and_papers_with_prints():
    """In ``demo`` and in ``paper`` the compared runs can be made, and both read the same data."""
    papers = set(tables.published_numbers()["paper"]) | WITHOUT_PRINTS | {claims.OWN_QUESTIONS}
    for claim in claims.read_claims():
        assert claim.paper in papers, claim.claim
        assert claim.printed is None or claim.paper != claims.OWN_QUESTIONS, claim.claim
        assert set(claim.instead) <= {"demo", "photos", "paper"}
        for profile in ("demo", "paper"):
            one = claim.in_profile(profile)
            for run in filter(None, (one.run, one.against, one.than_run, one.than_against)):
                assert (PARAMS / f"{run}.yaml").exists(), f"{claim.claim}: no parameter file makes {run}"
            assert (one.run, one.metric) != (one.against, one.against_metric), claim.claim


@cache
def values_of(run):
    """All parameters of a parameter file, defaults included."""
    return read_parameters(NOTEBOOKS / f"{run.split('/')[0]}.ipynb").defaults | read_yaml(PARAMS / f"{run}.yaml")[0]


@cache
def splits_of(run):
    """Splits that a parameter file names, or the file of the maps that it refines; those of 32 are fixed."""
    notebook, values = run.split("/")[0], values_of(run)
    named = {value for name, value in values.items() if name.endswith("split")}
    named |= splits_of(values["maps_from"]) if values.get("maps_from") else set()
    return named | ({"test"} if notebook == "32_waterbirds" else set())


@pytest.mark.parametrize("profile", ["demo", "photos", "paper"])
def test_every_claim_compares_splits_that_its_runs_score(profile):
    """A score is named after its split: one that the run does not read would leave the claim "not run" for ever."""
    for claim in (one.in_profile(profile) for one in claims.read_claims()):
        for run, metric in ((claim.run, claim.metric), (claim.against, claim.against_metric)):
            if (PARAMS / f"{run}.yaml").exists():
                assert metric.rpartition("_")[2] in splits_of(run), f"{claim.claim}: {run} has no score {metric}"


SCORED = ("data", "classes", "other_classes", "report_split", "choose_split", "choose_every", "score_on", "boundary")


@pytest.mark.parametrize("profile", ["demo", "photos", "paper"])
def test_every_claim_compares_scores_of_the_same_images(profile):
    """Where one split serves to choose and to report, ``choose_every`` says which of its images are which."""
    for claim in (one.in_profile(profile) for one in claims.read_claims()):
        for pair in ((claim.run, claim.against), (claim.than_run, claim.than_against)):
            if all((PARAMS / f"{run}.yaml").exists() for run in pair):
                first, second = map(values_of, pair)
                differ = [name for name in SCORED if name in first.keys() & second and first[name] != second[name]]
                assert not differ, f"{claim.claim}: {' and '.join(pair)} differ in {', '.join(differ)}"


def test_claims_are_distinct_and_none_is_dropped():
    found = claims.read_claims()
    assert pd.Series([claim.claim for claim in found]).is_unique
    assert pd.Series([claim.paper for claim in found]).value_counts().to_dict() == CLAIMS


def test_printed_differences_are_those_of_the_printed_tables():
    """Where ``published.csv`` has both scores of a claim's table, its printed difference is their difference."""
    printed = {}
    for row in tables.published_numbers().to_dict("records"):
        score = row["notebook"], row["variant"], f"{row['metric']}_{row['split']}"
        printed.setdefault((row["paper"], *score), (row["table"], row["value"]))
    checked = []
    for claim in (one.in_profile("paper") for one in claims.read_claims() if not one.than_run):
        sides = []
        for run, metric in ((claim.run, claim.metric), (claim.against, claim.against_metric)):
            notebook, _, variant = run.partition("/paper")
            key = claim.paper, notebook, variant.removeprefix("_"), metric.removeprefix("best_")
            sides.append(printed.get(key, ("", None)))
        (table, ours), (_, theirs) = sides
        if claim.printed is not None and theirs is not None and table and table in claim.source:
            assert claim.printed == pytest.approx(ours - theirs, abs=0.051), claim.claim
            checked.append(claim.paper)
    assert checked.count("Sub-category and mixing CAMs (report)") >= 28, "the rows of its Tables 1 to 3"
