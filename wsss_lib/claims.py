"""Claims of the papers, judged by what was measured: paired differences over seeds, their interval, a verdict."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy import stats

from wsss_lib.paths import PARAMS
from wsss_lib.tables import is_number

RUNS = ("run", "against", "than_run", "than_against")
VERDICTS = ("reproduced", "contradicted", "undecided", "not run")
MIN_SEEDS = 3  # below it the spread of the seeds is not known, and nothing is decided
OWN_QUESTIONS = "no paper: questions of this kit"  # where a claim has its paper
COLUMNS = [
    *("claim", "verdict", "seeds", "printed", "difference", "low", "high"),
    *("direction", "margin", "compared", "source", "paper"),
]


class Claim(BaseModel):
    """One claim: a run differs from another one in a score, in one direction, by more than a margin.

    Attributes:
        claim: the statement, in one sentence.
        paper: as in ``published.csv``, or ``OWN_QUESTIONS``.
        source: table or place of the print.
        run, against: ids of the compared runs without seeds; ``{profile}`` stands for the profile of the report.
        than_run, than_against: two more runs where the claim is about a trend: the difference of the first two is
            larger than the difference of these, by the same scores.
        metric: score of ``run``, as in its record.
        against_metric: score of ``against``, where it has another name.
        direction: where the paper sees ``run``; ``near``: on neither side.
        margin: points that the difference has to exceed; below 0 tolerates so much of the other direction. Of ``near``
            the points, above 0, that it has to stay within.
        printed: the difference in print, points; None where the paper gives none.
        instead: for a profile, other values of the runs and scores.
    """

    model_config = ConfigDict(extra="forbid")

    claim: str
    paper: str
    source: str
    run: str
    against: str
    than_run: str = ""
    than_against: str = ""
    metric: str
    against_metric: str = ""
    direction: Literal["higher", "lower", "near"] = "higher"
    margin: float = 0.0
    printed: float | None = None
    instead: dict[str, dict[str, str]] = Field(default_factory=dict)

    def in_profile(self, profile: str) -> "Claim":
        """The claim with the run ids (and other scores) of a profile.

        >>> claim = Claim(claim="c", paper="p", source="s", run="a/{profile}", against="b/{profile}", metric="f1_val")
        >>> claim.in_profile("demo").run
        'a/demo'
        """
        values = self.model_dump() | self.instead.get(profile, {}) | {"instead": {}}
        values["against_metric"] = values["against_metric"] or values["metric"]
        return Claim(**values | {name: values[name].format(profile=profile) for name in RUNS})

    @model_validator(mode="after")
    def _trend_is_whole(self) -> "Claim":
        if bool(self.than_run) != bool(self.than_against):
            raise ValueError("a trend compares two differences; name than_run and than_against, or neither")
        return self

    @model_validator(mode="after")
    def _near_has_a_width(self) -> "Claim":
        if self.direction == "near" and self.margin <= 0:
            raise ValueError(f"near within {self.margin:g} points can never be reproduced; give a margin above 0")
        return self


def read_claims(file: Path | None = None) -> list[Claim]:
    """All claims of ``params/claims.yaml``.

    Raises:
        ValueError: an entry has an unknown or missing field; the message names the entry.
    """
    file = file or PARAMS / "claims.yaml"
    claims = []
    for number, entry in enumerate(yaml.safe_load(file.read_text()), start=1):
        try:
            claims.append(Claim(**entry))
        except (ValidationError, TypeError) as error:
            raise ValueError(f"entry {number} of {file.name} is no claim: {error}") from error
    return claims


def interval(differences: Iterable[float]) -> tuple[float, float]:
    """95 % interval of the mean of paired differences (Student's t), NaN for fewer than two.

    >>> [round(bound, 2) for bound in interval([1.0, 2.0, 3.0])]
    [-0.48, 4.48]
    """
    differences = np.asarray(list(differences), dtype=float)
    if len(differences) < 2:
        return np.nan, np.nan
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return float(differences.mean() - half), float(differences.mean() + half)


def verdict(differences: Iterable[float], direction: str = "higher", margin: float = 0.0) -> str:
    """'reproduced' if the interval lies beyond the margin, 'contradicted' if on the other side of it, else 'undecided'.

    ``near`` is 'reproduced' if the interval lies within the margin on both sides of 0, 'contradicted' if outside of it.
    Fewer than three seeds are 'undecided', none at all is 'not run'.

    >>> verdict([1.0, 1.1, 0.9]), verdict([1.0, 1.1, 0.9], direction="lower"), verdict([1.0, 1.1])
    ('reproduced', 'contradicted', 'undecided')
    >>> verdict([1.0, 1.1, 0.9], "near", 3.0), verdict([-5.0, -5.1, -4.9], "near", 3.0)
    ('reproduced', 'contradicted')
    """
    differences = np.asarray(list(differences), dtype=float)
    if len(differences) == 0:
        return "not run"
    if len(differences) < MIN_SEEDS:
        return "undecided"
    low, high = interval(-differences if direction == "lower" else differences)
    if direction == "near":
        inside, outside = -margin < low and high < margin, low > margin or high < -margin
        return "reproduced" if inside else "contradicted" if outside else "undecided"
    return "reproduced" if low > margin else "contradicted" if high < margin else "undecided"


def scores_by_seed(records: Iterable[Mapping[str, Any]], run: str, metric: str) -> dict[int, float]:
    """A score of the runs of a parameter file for every seed that has it: seed number -> percent."""
    return {
        record["seed_number"]: float(record["scores"][metric])
        for record in records
        if record["parameter_file"] == run and is_number(record["scores"].get(metric))
    }


def paired_differences(claim: Claim, records: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """``run`` less ``against`` in points, of a trend less the other such difference, for every seed that all have."""
    records = list(records)

    def difference(run: str, against: str) -> dict[int, float]:
        ours = scores_by_seed(records, run, claim.metric)
        theirs = scores_by_seed(records, against, claim.against_metric or claim.metric)
        return {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}

    first = difference(claim.run, claim.against)
    if not claim.than_run:
        return first
    second = difference(claim.than_run, claim.than_against)
    return {seed: first[seed] - second[seed] for seed in first if seed in second}


def compared(claim: Claim) -> str:
    """What the difference of a claim is taken of, in one line; runs of a trend follow in brackets.

    >>> compared(Claim(claim="c", paper="p", source="s", run="2_b/demo", against="1_a/demo", metric="f1_val"))
    '2_b/demo − 1_a/demo: f1_val'
    """
    other = claim.against_metric or claim.metric
    runs = claim.run if claim.run == claim.against else f"{claim.run} − {claim.against}"
    trend = f" (less {claim.than_run} − {claim.than_against})" if claim.than_run else ""
    return f"{runs}{trend}: {claim.metric}" + (f" − {other}" if other != claim.metric else "")


def judge(claims: Iterable[Claim], records: Iterable[Mapping[str, Any]], profile: str) -> pd.DataFrame:
    """One row a claim: what was compared, the mean difference with its interval, and the verdict.

    Args:
        claims: from :func:`read_claims`.
        records: of the finished runs, from ``report.read_records``.
        profile: whose runs are compared.
    """
    records, rows = list(records), []
    for claim in (one.in_profile(profile) for one in claims):
        differences = paired_differences(claim, records)
        low, high = interval(differences.values())
        measured = {
            "compared": compared(claim),
            "difference": np.mean(list(differences.values())) if differences else np.nan,
            "low": low,
            "high": high,
            "seeds": len(differences),
            "verdict": verdict(differences.values(), claim.direction, claim.margin),
            "printed": np.nan if claim.printed is None else claim.printed,
        }
        rows.append(claim.model_dump(include={"claim", "paper", "source", "direction", "margin"}) | measured)
    return pd.DataFrame(rows, columns=COLUMNS)


def count_verdicts(judged: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper came out how: one row a paper in the order of the claims, one column a verdict.

    Args:
        judged: from :func:`judge`.

    >>> judged = pd.DataFrame({"paper": ["B", "A", "A"], "verdict": ["not run", "undecided", "not run"]})
    >>> count_verdicts(judged)["not run"].to_dict()
    {'B': 1, 'A': 1}
    """
    counts = pd.crosstab(judged["paper"], judged["verdict"])
    return counts.reindex(index=judged["paper"].unique(), columns=VERDICTS, fill_value=0).rename_axis(columns=None)
