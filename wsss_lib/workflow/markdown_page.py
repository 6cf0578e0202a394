"""The executed page of a report as one Markdown file: prose, tables and figures beside it, without the code."""

import re
from collections.abc import Mapping
from pathlib import Path

import nbformat

CAPTION = re.compile(r"\*\*(?:Figure|Table) \d+\.\*\* (?P<caption>.*)", re.DOTALL)
PADDING = re.compile(r" {2,}")
RULE = re.compile(r"-{4,}")


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
    """The table that is kept beside its numbers, without its caption and the blanks that align it."""
    rows = [line for line in file.with_suffix(".md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return "\n".join(
        [PADDING.sub(" ", rows[0]), RULE.sub("---", rows[1]), *(PADDING.sub(" ", row) for row in rows[2:])]
    )
