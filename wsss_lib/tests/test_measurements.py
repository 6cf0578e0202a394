"""The table of the README: rows from records, gaps said; the committed table is that of the committed records."""

import pytest

from wsss_lib.measurements import measurements, with_results, with_table

RECORDS = [
    {"run": "10_cam/demo", "parameter_file": "10_cam/demo", "seconds": 60.0, "scores": {"miou": 40.0, "gone": None}},
    {
        "run": "10_cam/demo-seed1",
        "parameter_file": "10_cam/demo",
        "seconds": 120.0,
        "scores": {"miou": 44.0, "gone": None},
    },
    {"run": "10_cam/demo_fast", "parameter_file": "10_cam/demo_fast", "seconds": 6.0, "scores": {"miou": 30.0}},
]


@pytest.mark.parametrize(
    "show, cells",
    [
        ("{miou}", "42.0 ± 2.8 | 2 | 1.5 min"),
        ("{miou}; {10_cam/demo_fast:miou} without", "42.0 ± 2.8; 30.0 without | 1 | 1.5 min"),
        ("{gone}", "– | 2 | 1.5 min"),
        ("{miou}, {11_x/demo:miou}", "not run: 11_x/demo | 0 |"),
    ],
)
def test_a_row_is_the_mean_over_seeds(show, cells):
    table = measurements([{"what": "CAM", "run": "10_cam/demo", "show": show}], RECORDS)
    assert table.splitlines()[2] == f"| CAM | {cells} |"


def test_a_score_that_no_record_has_is_an_error():
    with pytest.raises(KeyError, match="10_cam/demo has no score 'moiu'; it has gone, miou"):
        measurements([{"what": "CAM", "run": "10_cam/demo", "show": "{moiu}"}], RECORDS)


def test_the_table_stands_between_its_marks():
    begin, end = "<!-- x: made by python -m wsss_lib.measurements -->\n", "<!-- end of x -->\n"
    assert with_table(f"a\n{begin}old\n{end}b\n", "x", "| new |\n") == f"a\n{begin}\n| new |\n\n{end}b\n"
    with pytest.raises(ValueError, match="end of x"):
        with_table(begin, "x", "")


def test_the_readme_shows_the_committed_records(committed, monkeypatch):
    monkeypatch.setenv("WSSS_OUTPUTS", str(committed / "outputs"))
    text = (committed / "README.md").read_text()
    assert text == with_results(text), "python -m wsss_lib.measurements writes it anew, git add stages it"
