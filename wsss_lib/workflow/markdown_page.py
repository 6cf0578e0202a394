"""The executed page of a report as one Markdown file: prose, tables and figures beside it, without the code."""

import re
from collections.abc import Mapping
from pathlib import Path

import nbformat

CAPTION = re.compile(r"\*\*(?:Figure|Table) \d+\.\*\* (?P<caption>.*)", re.DOTALL)
RULE = re.compile(r"-{3,}")
MISSING = "–"


def page_markdown(notebook: nbformat.NotebookNode, folder: Path, captions: Mapping[str, str], note: str = "") -> str:
    """Prose as it is, each figure and table where the page shows it.

    Args:
        notebook: executed notebook.
        folder: of its run, which holds ``<name>.png`` of figures and ``<name>.md`` of tables.
        captions: of the files of figures (.png) and tables (.csv), as the record keeps them.
        note: last line of the page.

    Raises:
        ValueError: a shown caption is that of no file.
    """
    file_of = {caption: Path(name) for name, caption in captions.items()}
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        for output in cell.get("outputs", []):
            shown = CAPTION.fullmatch(output.get("data", {}).get("text/markdown", ""))
            if shown is None:
                continue
            if shown["caption"] not in file_of:
                raise ValueError(f"no figure or table of {folder.name} has the caption {shown['caption']!r}")
            file = file_of[shown["caption"]]
            parts += [_picture(file, shown["caption"]) if file.suffix == ".png" else _table(folder / file), shown[0]]
    return "\n\n".join(part.strip() for part in [*parts, note and f"*{note}*"] if part) + "\n"


def _picture(file: Path, caption: str) -> str:
    return f"![{caption.translate(str.maketrans('[]', '()'))}]({file.name})"


def _table(file: Path) -> str:
    """The table that is kept beside its numbers, as the page shows it: without its caption, the blanks that align it
    and an index that only counts, with a spread behind its mean and a dash where there is no number."""
    lines = [line for line in file.with_suffix(".md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    header, rule, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    rows = [[MISSING if cell in ("nan", "<NA>") else cell for cell in row] for row in rows]
    for name in [name for name in header if f"{name} ±" in header]:
        mean, spread = header.index(name), header.index(f"{name} ±")
        for row in rows:
            row[mean] += f" ± {row[spread]}" if row[spread] not in ("", MISSING) else ""
    hidden = {place for place, name in enumerate(header) if name.removesuffix(" ±") in header and name.endswith(" ±")}
    if not header[0] and [row[0] for row in rows] == [str(number) for number in range(len(rows))]:
        hidden.add(0)
    header, rule, *rows = (
        [cell for place, cell in enumerate(row) if place not in hidden] for row in (header, rule, *rows)
    )
    rules = "|" + "|".join(RULE.sub("---", cell) for cell in rule) + "|"
    return "\n".join([_line(header), rules, *map(_line, rows)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
