"""Tables of many runs, from their records: leader board, curves over runs, costs, environments."""

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pandas as pd

from wsss_lib.files import read_json
from wsss_lib.parameters import read_parameters, read_yaml
from wsss_lib.paths import NOTEBOOKS, PARAMS, outputs_root, run_folder
from wsss_lib.tables import by_method, is_number

RUN_NAME = re.compile(r"(?P<profile>[^_-]+)(?:_(?P<variant>.+?))?(?:-seed(?P<seed>\d+))?")
SUPERVISION = ("image labels", "boxes", "some masks", "all masks")  # cheapest first
MODELS_OF_MASKS = {"41_unet": "U-Net", "42_multitask_unet": "multi-task U-Net", "43_unrolled_lrp": "unrolled LRP"}
NUMBER_OF_MASKS = re.compile(r"(?:(\d+)_masks)?")  # variants that change the number of masks and nothing of the method
UNGUIDED = "without guidance"
LONGER = "as many steps without guidance"
PROTOCOL = {  # what makes our numbers others than the printed ones -> parameters of notebooks that say it
    "data": ["data"],
    "network": ["architecture", "backbone", "backbones", "width"],
    "pretrained weights": ["weights"],
    "pixels": ["size", "crop"],
    "epochs": ["epochs"],
    "guided epochs": ["guided_epochs"],
}


def read_records(pattern: str) -> list[dict[str, Any]]:
    """Records of the finished runs whose id fits a pattern such as ``*/demo*``, in the order of the notebooks.

    Each has ``notebook``, ``profile``, ``variant`` (empty for the plain file), ``seed_number`` and ``parameter_file``
    (its id without the seed) added.
    """
    records = []
    for path in sorted(outputs_root().glob("*/*/record.json")):
        run_id = f"{path.parent.parent.name}/{path.parent.name}"
        parts = RUN_NAME.fullmatch(path.parent.name)
        if parts is None or not fnmatch(run_id, pattern):
            continue
        records.append(
            read_json(path)
            | {
                "run": run_id,
                "notebook": path.parent.parent.name,
                "profile": parts["profile"],
                "variant": parts["variant"] or "",
                "seed_number": int(parts["seed"] or 0),
                "parameter_file": run_id.removesuffix(f"-seed{parts['seed']}"),
            }
        )
    return records


def method_name(record: dict[str, Any]) -> str:
    """Title of the notebook, with the variant of the parameter file."""
    title = record["title"] or record["notebook"]
    return f"{title} ({record['variant']})" if record["variant"] else title


def short_name(method: str) -> str:
    """Name of a method without what stands behind the colon of its title, for legends; its variant stays.

    >>> short_name("Plain CAM: where a classifier looks"), short_name("FMix-CAM: masks from noise (train_aug)")
    ('Plain CAM', 'FMix-CAM (train_aug)')
    """
    head, colon, rest = method.partition(":")
    variant = f" ({rest.rpartition(' (')[2]}" if colon and rest.endswith(")") else ""
    return head + variant


def label(method: str) -> str:
    """The shortest name of a method, for rows of pictures: its abbreviation where the title has one, and the variant.

    All of them are kinds of CAM, so that names that end so do without.

    >>> label("Class activation maps (CAM): where a classifier looks"), label("IRN: relations between pixels (cam)")
    ('CAM', 'IRN (cam)')
    >>> label("Manifold Mixup-CAM"), label("FMix-CAM: masks from noise (train_aug)")
    ('Manifold Mixup', 'FMix (train_aug)')
    """
    name = short_name(method)
    abbreviation = re.match(r"[^(]*\(([A-Z][^)]*)\)(.*)", name)
    return abbreviation[1] + abbreviation[2] if abbreviation else re.sub(r"(?<=\w)-CAM(?= \(|$)", "", name)


def mean_and_std(values: Iterable[float]) -> tuple[float, float]:
    """Mean, and sample standard deviation; NaN where there are no values, and a single one has no spread.

    >>> mean_and_std([1.0, 3.0]), mean_and_std([5.0])
    ((2.0, 1.4142135623730951), (5.0, nan))
    """
    series = pd.Series(list(values), dtype=float)
    return float(series.mean()), float(series.std())


def leader_board(
    records: Iterable[dict[str, Any]], metrics: dict[str, str], order_by: str, parameters: dict[str, str] | None = None
) -> pd.DataFrame:
    """One row a method: mean over its seeds, and the sample standard deviation where there are two or more.

    Args:
        records: from :func:`read_records`.
        metrics: score name in the record -> column heading; methods without any of them are left out.
        order_by: score name to sort by, best first.
        parameters: parameter name -> column heading, shown beside the method where a notebook has it.
    """
    parameters = parameters or {}
    rows = []
    for (notebook, _), group in by_method(records).items():
        scores = {name: [r["scores"][name] for r in group if is_number(r["scores"].get(name))] for name in metrics}
        if not any(scores.values()):
            continue
        row: dict[str, Any] = {"method": method_name(group[0]), "notebook": notebook, "seeds": len(group)}
        row |= {heading: group[0]["parameters"].get(name) for name, heading in parameters.items()}
        for name, heading in metrics.items():
            row[heading], row[f"{heading} ±"] = mean_and_std(scores[name])
        rows.append(row)
    columns = [
        "method",
        "notebook",
        *parameters.values(),
        "seeds",
        *(c for h in metrics.values() for c in (h, f"{h} ±")),
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.sort_values(metrics[order_by], ascending=False, na_position="last", kind="stable")
    return frame.dropna(axis="columns", how="all").reset_index(drop=True)


def supervision(record: dict[str, Any]) -> str:
    """One of ``SUPERVISION``: the dearest annotation that a method learns from, by the parameters of its run.

    Pseudo labels and initial weights count as image labels, which is what the notebooks make them from.
    """
    given = record["parameters"]
    if "num_masks" in given and given.get("mask_weight", 1):
        return "some masks" if given["num_masks"] else "all masks"
    if "labels_from" in given and not (given["labels_from"] or given.get("labels_folder")):
        return "all masks"  # without pseudo labels, networks of segmentation learn the true masks
    guided = any([given.get("localization_weight"), *given.get("localization_weights", [])])
    return "boxes" if guided else "image labels"


def weak_teachers(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Methods whose teacher knows the image labels of the reported split less well than its student, with the words.

    Returns:
        Name of the method -> "weak teacher", with the number of such seeds where not all of them are so.
    """
    verdicts: dict[str, list[bool]] = {}
    for r in records:
        if r["scores"].get("weak_teacher") is not None:
            verdicts.setdefault(method_name(r), []).append(bool(r["scores"]["weak_teacher"]))
    return {
        method: "weak teacher" + ("" if all(weak) else f" in {sum(weak)} of {len(weak)} seeds")
        for method, weak in verdicts.items()
        if any(weak)
    }


def by_supervision(board: pd.DataFrame, records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A leader board in groups by supervision, which its first column names; each group keeps the board's order.

    The row of a method with a weak teacher says so.
    """
    if board.empty:
        return pd.DataFrame(columns=["supervision"])
    records = list(records)
    kinds = {method_name(r): SUPERVISION.index(supervision(r)) for r in records}
    places, weak = board["method"].map(kinds), weak_teachers(records)
    board = board.assign(supervision=[SUPERVISION[place] for place in places])
    board["method"] = [", ".join(filter(None, (short_name(name), weak.get(name)))) for name in board["method"]]
    board = board.iloc[np.argsort(places, kind="stable")].reset_index(drop=True)
    return board[["supervision", *board.columns.drop("supervision")]]


def scores_over_masks(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Mean IoU on the reported split over the number of masks, as counted by the runs of both U-Nets and unrolled LRP.

    Returns:
        One row a model and number of masks: ``model``, ``masks``, ``mean``, ``std`` (NaN for one seed) and ``count``
        of the seeds. Variants that change more than the number of masks are left out.
    """
    rows = []
    for r in _runs_by_masks(records):
        score = r["scores"].get(f"mean_iou_{r['parameters']['report_split']}")
        rows.append((MODELS_OF_MASKS[r["notebook"]], r["scores"].get("num_masks"), score))
    frame = pd.DataFrame(rows, columns=["model", "masks", "score"]).astype({"masks": float, "score": float}).dropna()
    return frame.groupby(["model", "masks"], sort=False)["score"].agg(["mean", "std", "count"]).reset_index()


def learning_curves(records: Iterable[dict[str, Any]]) -> dict[int, pd.DataFrame]:
    """Mean IoU on the split of choice over the training of both U-Nets and unrolled LRP, by number of masks.

    Returns:
        Number of masks, rising -> one row for each step at which all its models were scored, one column a model; mean
        over seeds, percent. Runs whose parameters do not say how many steps an epoch has are left out.
    """
    curves: dict[int, dict[str, list[pd.Series]]] = {}
    for r in _runs_by_masks(records):
        if length := r["parameters"]["epoch_steps"]:
            epochs = pd.read_csv(run_folder(r["run"]) / "epochs.csv", index_col="epoch")["mean_iou"].dropna()
            curve = epochs.set_axis((epochs.index + 1) * length)
            models = curves.setdefault(int(r["scores"]["num_masks"]), {})
            models.setdefault(MODELS_OF_MASKS[r["notebook"]], []).append(curve)
    frames = {
        masks: pd.DataFrame({model: pd.DataFrame(seeds).mean() for model, seeds in curves[masks].items()}).dropna()
        for masks in sorted(curves)
    }
    return {masks: frame.rename_axis("step") for masks, frame in frames.items() if len(frame)}


def _runs_by_masks(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of both U-Nets and unrolled LRP whose parameter files differ in nothing but the number of masks."""
    return [r for r in records if r["notebook"] in MODELS_OF_MASKS and NUMBER_OF_MASKS.fullmatch(r["variant"])]


def masks_not_run(profile: str, records: Iterable[dict[str, Any]]) -> str:
    """Numbers of masks whose parameter files were not run, by model; empty where none is missing."""
    files = runs_of_profile(profile, records)["not run"]
    missing = []
    for notebook, model in MODELS_OF_MASKS.items():
        variants = [
            name.removeprefix(profile).removeprefix("_") for name in files.get(notebook, "").split("; ") if name
        ]
        found = [match[1] for match in map(NUMBER_OF_MASKS.fullmatch, variants) if match]
        numbers = [*map(str, sorted(int(number) for number in found if number)), *["all"] * (None in found)]
        missing += [f"{model} {', '.join(numbers)}"] if numbers else []
    return "; ".join(missing)


def guided_models(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Epochs on the Pareto fronts of the runs of model guidance, and the classifiers that they started from.

    Returns:
        One row a model: ``network``, ``loss`` (``UNGUIDED`` before guidance, ``LONGER`` in its control), ``depth``, and
        the scores ``micro_f1``, ``epg`` and ``iou`` (with the threshold of the run's form) on the split on which runs
        choose, percent. Seeds and weights of a loss are not told apart.
    """
    scores, rows = ["micro_f1", "epg", "iou"], []
    for r in records:
        given = r["parameters"]
        if r["notebook"] != "30_model_guidance":
            continue
        about = {"network": f"{given['backbone']} ({given['attribution']}) on {given['data']}", "depth": given["depth"]}
        axes = ["micro_f1", "epg", "iou" if given["form"] == "official" else "tuned_iou"]
        of_start = [r["scores"][f"unguided_{axis}_{given['choose_split']}"] for axis in axes]
        before = dict(zip(scores, of_start, strict=True))
        rows.append(about | {"loss": UNGUIDED} | before)
        fine_tuned = given["localization_weight"] or given["continue_unguided"]
        if fine_tuned and (before["micro_f1"] or 0) >= given["min_fscore"]:
            loss = given["loss"] if given["localization_weight"] else LONGER
            epochs: dict[str, dict[str, Any]] = {}
            for name, value in r["scores"]["front"].items():
                epoch, _, score = name.rpartition(" ")
                epochs.setdefault(epoch, about | {"loss": loss})[score] = value
            rows += epochs.values()
    return pd.DataFrame(rows, columns=["network", "loss", "depth", *scores]).dropna().drop_duplicates(ignore_index=True)


def scores_of_boxes(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Scores of the networks of ``31_limited_annotations``, by how many boxes guided them and how coarse these were.

    Returns:
        One row a set-up and budget: ``network`` (loss, depth, kind), ``boxes`` (words), ``% of images`` (0 without
        boxes), ``grown by`` (percent), ``seeds``, and mean and sample standard deviation (``EPG`` and ``EPG ±``) of
        EPG, IoU with a chosen threshold, and F1 on the reported split.
    """
    metrics, rows = {"epg": "EPG", "tuned_iou": "IoU", "micro_f1": "F1"}, []
    for r in (r for r in records if r["notebook"] == "31_limited_annotations"):
        given = r["parameters"]
        budgets = {"unguided": ("none", 0.0, 0.0), "unguided_longer": ("none, as many steps", 0.0, 0.0)}
        for share, grown in [(s, 0.0) for s in given["shares"]] + [
            (max(given["shares"]), d) for d in given["dilations"]
        ]:
            percent, wider = 100 * share, 100 * grown
            words = f"{percent:g} %" + (f", grown by {wider:g} %" if grown else "")
            name = f"{percent:g}" + (f"_dilated_{wider:g}" if grown else "")
            budgets[name] = (words, percent, wider)
        for loss in given["losses"]:
            network = f"{loss} at {given['depth']}, {given['backbone']}"
            for name, about in budgets.items():
                place = name if name.startswith("unguided") else f"{loss.lower()}_{name}"
                scores = [r["scores"].get(f"{place}_{metric}_{given['report_split']}") for metric in metrics]
                rows.append((network, *about, *scores))
    keys = ["network", "boxes", "% of images", "grown by"]
    frame = pd.DataFrame(rows, columns=[*keys, *metrics.values()]).astype(dict.fromkeys(metrics.values(), float))
    groups = frame.groupby(keys, sort=False)
    columns = ["seeds", *(column for heading in metrics.values() for column in (heading, f"{heading} ±"))]
    board = pd.concat([groups.size().rename("seeds"), groups.mean(), groups.std().add_suffix(" ±")], axis="columns")
    return board[columns].reset_index()


def table_of_groups(beside: pd.DataFrame, records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Table 1 of model guidance (Waterbirds) in its own form: a loss a row, for each task and accuracy print and ours.

    Args:
        beside: from :func:`published_beside_ours`.
        records: the runs that it was made from; ``... ours ±`` is the deviation over the seeds of the plain file.
    """
    chosen = beside[beside["metric"].str.fullmatch(r"(bird|background)_\w+_(worst_group|overall)")]
    scores = [r["scores"] for r in records if r["notebook"] == "32_waterbirds" and not r["variant"]]
    names = chosen["metric"] + "_" + chosen["split"]
    spread = [mean_and_std(one[name] for one in scores if is_number(one.get(name)))[1] for name in names]
    parts = chosen["row"].str.extract(r"(?P<loss>.+), (?P<task>\w+) task")
    kind = chosen["metric"].map(lambda name: "worst group" if name.endswith("worst_group") else "overall")
    chosen = chosen.assign(loss=parts["loss"], score=parts["task"] + ", " + kind, **{"ours ±": spread})
    sources = ["published", "ours", "ours ±"]
    order = [(score, source) for score in chosen["score"].unique() for source in sources]
    wide = chosen.pivot_table(index="loss", columns="score", values=sources, sort=False, dropna=False)
    wide = wide.reindex(index=chosen["loss"].unique())
    return pd.DataFrame({f"{score}, {source}": wide[source, score] for score, source in order}).rename_axis("loss")


def score_groups(records: Iterable[dict[str, Any]], group: str) -> pd.DataFrame:
    """A named group of scores (for example ``class_iou``) of every method: one row a method, mean over seeds."""
    rows = {}
    for records_of_method in by_method(records).values():
        groups = [r["scores"][group] for r in records_of_method if isinstance(r["scores"].get(group), dict)]
        if groups:
            rows[method_name(records_of_method[0])] = pd.DataFrame(groups).astype(float).mean()
    return pd.DataFrame(rows).T.rename_axis("method")


def tables_of_paper(beside: pd.DataFrame, paper: str) -> pd.DataFrame:
    """The tables of one paper in its own form: a row of the paper a row, and for each table its print and ours.

    Args:
        beside: from :func:`published_beside_ours`.
        paper: a value of its column ``paper``.
    """
    chosen = beside[beside["paper"] == paper]
    wide = chosen.pivot_table(index="row", columns="table", values=["published", "ours"], sort=False, dropna=False)
    order = [(kind, table) for table in chosen["table"].unique() for kind in ("published", "ours")]
    wide = wide.reindex(columns=pd.MultiIndex.from_tuples(order), index=chosen["row"].unique())
    wide.columns = [f"{table}, {kind}" for kind, table in order]
    return wide.rename_axis("method")


def ablation(published: pd.DataFrame, records: Iterable[dict[str, Any]], score: str) -> pd.DataFrame:
    """An ablation in the form of its paper: a step a row, with print, mean over seeds and gain over the first row.

    The gain is that of equal seeds: it is the mean of the differences of the seeds that the row and the first one have.

    Args:
        published: rows of one printed table in its order, from :func:`tables.published_numbers`; first the baseline.
        records: from :func:`read_records`.
        score: of the records, as it stands for the printed one.

    Returns:
        Columns ``row``, ``published``, ``published gain``, ``ours``, ``ours ±``, ``gain``, ``gain ±`` and ``seeds``
        (of the gain, of the first row its own); a row without a run has the print alone.
    """
    methods, rows, base = by_method(records), [], None
    for printed in published.to_dict("records"):
        group = methods.get((printed["notebook"], printed["variant"]), [])
        ours = {r["seed_number"]: r["scores"][score] for r in group if is_number(r["scores"].get(score))}
        base = (printed["value"], ours) if base is None else base
        gains = [ours[seed] - base[1][seed] for seed in sorted(ours.keys() & base[1].keys())] if rows else []
        row = {"row": printed["row"], "published": printed["value"]}
        row["published gain"] = printed["value"] - base[0] if rows else np.nan
        row["ours"], row["ours ±"] = mean_and_std(ours.values())
        row["gain"], row["gain ±"] = mean_and_std(gains)
        rows.append(row | {"seeds": len(gains) if rows else len(ours)})
    columns = ["row", "published", "published gain", "ours", "ours ±", "gain", "gain ±", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def costs(records: Iterable[dict[str, Any]]) -> tuple[pd.DataFrame, str]:
    """What the runs of each parameter file took, one row for all its seeds: number of runs, mean seconds, peak memory
    in MB and size of the files in MB (the largest), first digits of the fingerprints of its data, machines.

    Returns:
        The table; and the machine, which is no column then, if all runs have the same.
    """
    rows = [
        {
            "run": r["parameter_file"],
            "seconds": r["seconds"],
            "memory": r["peak_memory_mb"],
            "files": sum(made["bytes"] for made in r["files"].values()) / 1e6,
            "data": ", ".join(f"{split} {fingerprint[:6]}" for split, fingerprint in r["data"].items()),
            "machine": machine(r),
        }
        for r in records
    ]

    def listed(values: pd.Series) -> str:
        return ", ".join(sorted(set(values)))

    columns = {
        "runs": ("seconds", "size"),
        "seconds": ("seconds", "mean"),
        "peak memory (MB)": ("memory", "max"),
        "files (MB)": ("files", "max"),
        "data": ("data", listed),
        "machine": ("machine", listed),
    }
    table = pd.DataFrame(rows, columns=["run", "seconds", "memory", "files", "data", "machine"])
    common = listed(table["machine"]) if table["machine"].nunique() == 1 else ""
    table = table.groupby("run", sort=False).agg(**columns).reset_index()
    return table.drop(columns=["machine"] if common else []), common


def machine(record: dict[str, Any]) -> str:
    """Device of a run and its threads; which processor, if that is the device, is told with the environment.

    >>> machine({"device": "cpu", "threads": 2})
    'cpu; 2 threads'
    """
    return f"{record['device']}; {record['threads']} {'thread' if record['threads'] == 1 else 'threads'}"


def environment(records: Iterable[dict[str, Any]]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Commit, whether the sources differed from it, processor (older records do not name it), and versions, as far as
    they are not the same for all runs.

    Returns:
        One row for each distinct environment, with its runs, those of one parameter file together; and the versions
        and processor that all runs have in common.
    """
    found = []
    for r in records:
        git = r["git"] or {"commit": "not a git checkout", "dirty": False}
        sources = {"commit": git["commit"][:12], "uncommitted changes": "yes" if git["dirty"] else "no"}
        found.append((sources, r["versions"] | {"processor": r.get("processor", "not named")}, r))
    under = pd.DataFrame([one for _, one, _ in found], dtype=str)
    common = {name: values.iloc[0] for name, values in under.items() if values.nunique(dropna=False) == 1}
    rows: dict[tuple, dict[str, Any]] = {}
    for sources, names, r in found:
        about = sources | {name: value for name, value in names.items() if name not in common}
        runs = rows.setdefault(tuple(about.items()), about | {"runs": {}})["runs"]
        runs.setdefault(r["parameter_file"], []).append(r["seed_number"])
    for row in rows.values():
        row["runs"] = _shortly(row["runs"])
    return pd.DataFrame(rows.values()), common


def _shortly(runs: dict[str, list[int]]) -> str:
    """Parameter files of each notebook with their seeds.

    >>> _shortly({"10_cam/demo": [0], "20_ktse/demo": [1, 2], "20_ktse/demo_erasing": [0]})
    '10_cam: demo (0); 20_ktse: demo (1, 2), demo_erasing (0)'
    """
    notebooks: dict[str, list[str]] = {}
    for run, seeds in runs.items():
        notebook, _, name = run.partition("/")
        notebooks.setdefault(notebook, []).append(f"{name} ({', '.join(map(str, seeds))})")
    return "; ".join(f"{notebook}: {', '.join(names)}" for notebook, names in notebooks.items())


def unlike_the_paper(published: pd.DataFrame, records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Why our numbers differ from the printed ones, as far as parameters say it.

    Args:
        published: from ``tables.published_numbers``; its rows name the notebooks and variants that redo them.
        records: from :func:`read_records`.

    Returns:
        One row for each run that redoes a printed number, one column for each of ``PROTOCOL``: "ours, not theirs" by
        the parameter file of the profile ``paper`` (of the variant, else the plain one), "same", or empty where the
        notebook has no such parameter.
    """
    printed = {(row["notebook"], row["variant"]) for row in published.to_dict("records")}
    rows = {}
    for (notebook, variant), (first, *_) in by_method(records).items():
        files = [PARAMS / notebook / f"{name}.yaml" for name in (f"paper_{variant}", "paper")]
        file = next((file for file in files if file.exists()), None)
        if (notebook, variant) in printed and file is not None and first["profile"] != "paper":
            theirs = read_parameters(NOTEBOOKS / f"{notebook}.ipynb").defaults | read_yaml(file)[0]
            ours = first["parameters"] | ({"epochs": None} if first["parameters"].get("weights_from") else {})
            rows[first["parameter_file"]] = {
                what: _unlike([ours.get(name) for name in names], [theirs.get(name) for name in names])
                for what, names in PROTOCOL.items()
            }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(PROTOCOL)).rename_axis("run")


def _unlike(ours: list[Any], theirs: list[Any]) -> str:
    """Two settings in words.

    >>> _unlike(["resnet18", 0.5], ["resnet38", 1.0]), _unlike([16, None], [15, None]), _unlike([96], [96])
    ('resnet18 × 0.5, not resnet38', '16, not 15', 'same')
    >>> _unlike([""], ["weights/a.params"]), _unlike([None], [None])
    ('none, not a file', '')
    """

    def words(values: list[Any]) -> str:
        told = []
        for value in values:
            if isinstance(value, list):
                value = " and ".join(dict.fromkeys(map(str, value)))
            if isinstance(value, float):
                value = "" if value == 1.0 else f"× {value:g}"
            elif isinstance(value, str) and ("weights/" in value or value.startswith("IMAGENET")):
                value = "a file"
            told += [] if value is None or value == "" else [str(value)]
        return " ".join(told) or "none"

    if all(value is None for value in ours):
        return ""
    return "same" if ours == theirs else f"{words(ours)}, not {words(theirs)}"


def runs_of_profile(profile: str, records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Parameter files of a profile, variants too: by notebook, which were run (with their seeds) and which were not.

    Returns:
        Columns ``run`` and ``not run``, one row for each notebook but those about runs (90, 91).
    """
    seeds: dict[str, list[int]] = {}
    for r in records:
        seeds.setdefault(r["parameter_file"], []).append(r["seed_number"])
    rows: dict[str, dict[str, list[str]]] = {}
    for path in sorted([*PARAMS.glob(f"*/{profile}.yaml"), *PARAMS.glob(f"*/{profile}_*.yaml")]):
        notebook, found = path.parent.name, seeds.get(f"{path.parent.name}/{path.stem}", [])
        if not notebook.startswith("9"):
            row = rows.setdefault(notebook, {"run": [], "not run": []})
            numbers = ", ".join(map(str, sorted(found)))
            row["run" if found else "not run"].append(
                f"{path.stem} ({'seeds' if len(found) > 1 else 'seed'} {numbers})" if found else path.stem
            )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["run", "not run"]).rename_axis(index="notebook")
    return table.map("; ".join)


def runs_with_images(records: Iterable[dict[str, Any]], folder: str = "maps") -> tuple[list[dict[str, Any]], list[str]]:
    """Runs that keep a file per image, one a method, on the data of the first, and the images that all of them have.

    Args:
        records: from :func:`read_records`.
        folder: of the run, for example ``maps`` or ``labels``.
    """
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    images: dict[tuple[str, str], set[str]] = {}
    for method, runs in by_method(records).items():
        found = {path.stem for path in (run_folder(runs[0]["run"]) / folder).glob("*.*")}
        first = next(iter(kept.values()), runs[0])
        if found and runs[0]["parameters"].get("data") == first["parameters"].get("data"):
            kept[method], images[method] = runs[0], found
    return list(kept.values()), sorted(set.intersection(*images.values())) if images else []
