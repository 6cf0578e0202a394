"""The tables of results in README.md, from the records of finished runs: ``python -m wsss_lib.measurements``.

``params/measurements.yaml`` lists the rows of measurements, table by table. A table stands between two marks of the
README, so that nobody types a number.
"""

import re
from collections.abc import Collection, Iterable
from math import isnan
from typing import Any

import yaml

from wsss_lib.claims import count_verdicts, judge, read_claims
from wsss_lib.figures.tables import markdown_table
from wsss_lib.paths import PARAMS, PROJECT
from wsss_lib.report import mean_and_std, read_records
from wsss_lib.store import write_text
from wsss_lib.tables import is_number

README = PROJECT / "README.md"
MARKS = ("<!-- {}: made by python -m wsss_lib.measurements -->\n", "<!-- end of {} -->\n")
SCORE = re.compile(r"\{(?:([\w/]+):)?(\w+)\}")
NOT_RUN = "not run"


def read_rows() -> dict[str, list[dict[str, str]]]:
    """Rows of each table: ``what``, ``run``, and ``show``, a text with scores such as ``{mean_iou_val}`` in braces.

    A score of another run is ``{15_fmix_cam/demo:mean_iou_val}``.
    """
    return yaml.safe_load((PARAMS / "measurements.yaml").read_text())


def measurements(rows: Iterable[dict[str, str]], records: Iterable[dict[str, Any]]) -> str:
    """The table in Markdown: mean over the seeds of a run, ± their sample standard deviation where there are two.

    Args:
        rows: of one table, see :func:`read_rows`.
        records: see :func:`wsss_lib.report.read_records`.

    Raises:
        KeyError: a run was made and has no such score.
    """
    by_run: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_run.setdefault(record["parameter_file"], []).append(record)
    lines = ["| what | score | seeds | time |", "|---|---|---|---|"]
    for row in rows:
        runs = {match[1] or row["run"] for match in SCORE.finditer(row["show"])}
        if missing := [run for run in sorted(runs) if run not in by_run]:
            lines.append(f"| {row['what']} | {NOT_RUN}: {', '.join(missing)} | 0 | |")
            continue

        def shown(match: re.Match, run: str = row["run"]) -> str:
            return mean_and_spread(by_run[match[1] or run], match[2])

        seeds = min(len(by_run[run]) for run in runs)
        lines.append(f"| {row['what']} | {SCORE.sub(shown, row['show'])} | {seeds} | {minutes(by_run[row['run']])} |")
    return "\n".join([*lines, ""])


def mean_and_spread(records: Collection[dict[str, Any]], score: str) -> str:
    """Mean of a score, and its spread where there is one.

    >>> mean_and_spread([{"run": "a", "scores": {"f1": value}} for value in (1.0, 3.0)], "f1")
    '2.0 ± 1.4'
    """
    for record in records:
        if score not in record["scores"]:
            raise KeyError(f"{record['run']} has no score {score!r}; it has {', '.join(sorted(record['scores']))}")
    mean, std = mean_and_std(r["scores"][score] for r in records if is_number(r["scores"][score]))
    return "–" if isnan(mean) else f"{mean:.1f}" + ("" if isnan(std) else f" ± {std:.1f}")


def minutes(records: Iterable[dict[str, Any]]) -> str:
    """Mean time of runs.

    >>> minutes([{"seconds": 80.0}, {"seconds": 120.0}]), minutes([{"seconds": 3.0}])
    ('1.7 min', '0.1 min')
    """
    mean, _ = mean_and_std(record["seconds"] / 60 for record in records)
    return f"{mean:.1f} min"


def verdicts(records: Iterable[dict[str, Any]]) -> str:
    """How many claims of each paper came out how, with the rendered pages that show it, in Markdown."""
    claims = read_claims()
    counts = count_verdicts(judge(claims, records, "demo"))
    counts.loc["all"] = counts.sum()
    pages: dict[str, set[str]] = {}
    for claim in claims:
        compared = claim.in_profile("demo")
        pages.setdefault(claim.paper, set()).update(run.partition("/")[0] for run in (compared.run, compared.against))
    links = [", ".join(map(page_link, sorted(pages.get(paper, ())))) for paper in counts.index]
    counts.insert(0, "rendered pages", links)
    return re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", markdown_table(counts))) + "\n"


def page_link(notebook: str) -> str:
    """Link to the rendered demo run of a notebook, by its number.

    >>> page_link("10_cam")
    '[10](outputs/10_cam/demo/notebook.ipynb)'
    """
    return f"[{notebook.partition('_')[0]}](outputs/{notebook}/demo/notebook.ipynb)"


def with_table(text: str, name: str, table: str) -> str:
    """The text with the table between the marks of its name.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = (mark.format(name) for mark in MARKS)
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the text should have the lines {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def with_results(text: str) -> str:
    """The README with the tables of all finished demo and photos runs."""
    records = {profile: read_records(f"*/{profile}*") for profile in ("demo", "photos")}
    for name, rows in read_rows().items():
        text = with_table(text, name, measurements(rows, [*records["demo"], *records["photos"]]))
    return with_table(text, "claims", verdicts(records["demo"]))


if __name__ == "__main__":
    write_text(README, with_results(README.read_text()))
