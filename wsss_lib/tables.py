"""Printed results beside ours, and where the options of the original code went: what single pages show."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wsss_lib.paths import PARAMS

PROTOCOL = ["data", "split", "metric"]  # what two numbers must share to be compared


def published_numbers(file: Path | None = None) -> pd.DataFrame:
    """Printed results, ``params/published.csv``; ``notebook`` and ``variant`` name the file that redoes them."""
    frame = pd.read_csv(file or PARAMS / "published.csv", dtype=str, keep_default_na=False)
    return frame.astype({"value": float})


def published_beside_ours(published: pd.DataFrame, records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Every printed number with our mean over seeds on whichever data was run.

    ``difference`` is given only where data, split and metric agree with the print; otherwise ours stands there for
    orientation and ``note`` says on which data. A row without a run says 'not run'.
    """
    rows = []
    methods = by_method(records)
    for printed in published.to_dict("records"):
        group = methods.get((printed["notebook"], printed["variant"]), [])
        name = f"{printed['metric']}_{printed['split']}"
        ours = [r["scores"][name] for r in group if is_number(r["scores"].get(name))]
        row = {key: printed[key] for key in ("paper", "table", "row", *PROTOCOL)} | {"published": printed["value"]}
        same_data = bool(group) and group[0]["parameters"].get("data") == printed["data"]
        row["ours"] = np.mean(ours) if ours else np.nan
        row["difference"] = row["ours"] - printed["value"] if ours and same_data else np.nan
        row["note"] = "not run" if not ours else "" if same_data else f"ours on {group[0]['parameters'].get('data')}"
        rows.append(row | {"source": printed["source"]})
    columns = ["paper", "table", "row", *PROTOCOL, "published", "ours", "difference", "note", "source"]
    return pd.DataFrame(rows, columns=columns)


def original_options(notebook: str) -> pd.DataFrame:
    """Commands and options of the original code and where they went, ``params/original_options.csv``.

    Args:
        notebook: rows of this notebook only.
    """
    frame = pd.read_csv(PARAMS / "original_options.csv", dtype=str, keep_default_na=False)
    return frame[frame["notebook"] == notebook].drop(columns=["notebook"]).reset_index(drop=True)


def by_method(records: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Records by notebook and variant of the parameter file: those of one method differ in their seed."""
    methods: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        methods.setdefault((record["notebook"], record["variant"]), []).append(record)
    return methods


def is_number(value: Any) -> bool:
    """Whether a score is a number (not missing, not a truth value, not a group of scores)."""
    return isinstance(value, int | float) and not isinstance(value, bool)
