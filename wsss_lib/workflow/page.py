"""An executed notebook as one HTML file that reads offline, without scripts, on a phone."""

import html
import re
from copy import deepcopy
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
PRIORITY = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/latex", "text/plain"]
# code first, so that a dollar sign in it is no formula; a sign that opens none comes last
FORMULA = re.compile(
    r"(?P<code>```.*?```|~~~.*?~~~|`[^`\n]+`)"
    r"|\\\$|\$\$(?P<display>.+?)\$\$|\$(?!\s)(?P<inline>[^$`\n]+?)(?<!\s)\$(?!\d)|\$",
    re.DOTALL,
)
TITLE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
HEADING = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)
PAPERMILL_MARK = "papermill-error-cell-tag"  # cells that papermill adds around an error
FAILED = (
    '<p class="failed"><strong>This run failed.</strong> The page ends with the error at the <a href="#error">cell</a> '
    "that raised it; there are no results.</p>"
)


def page_html(notebook: nbformat.NotebookNode, note: str = "", links: dict[str, str] | None = None) -> str:
    """The page: prose with formulas as MathML, code, tables, pictures embedded; tables and code scroll by themselves.

    Args:
        notebook: executed notebook; left as it is.
        note: last line of the page, for example run and hash.
        links: pages of other runs, text by address; they are listed below the title, folded.
    """
    formulas: list[str] = []
    body = _body(_with_placeholders(notebook, formulas))
    body = re.sub("\ue000(\\d+)\ue001", lambda found: formulas[int(found[1])], body)
    failed = 'class="output_subarea output_text output_error"'
    if failed in body:
        body = FAILED + body.replace(failed, f'id="error" {failed}', 1)
    title = re.sub(r"<[^>]+>", "", found[1]) if (found := TITLE.search(body)) else "Notebook"
    body = _with_contents(body, links or {})
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{HtmlFormatter(style='default').get_style_defs('.highlight')}\n{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<footer>{html.escape(note)}</footer>\n</body>\n</html>\n"
    )


def _body(notebook: nbformat.NotebookNode) -> str:
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        config=Config({"NbConvertBase": {"display_data_priority": PRIORITY}}),
    )
    body, _ = exporter.from_notebook_node(notebook)
    return re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL)


def _with_contents(body: str, links: dict[str, str]) -> str:
    """The page with its sections, and ``links`` folded, listed below the title."""
    sections: dict[str, str] = {}

    def numbered(found: re.Match) -> str:
        anchor = f"section-{len(sections) + 1}"
        sections[f"#{anchor}"] = found[1]
        return f'<h2 id="{anchor}">{found[1]}</h2>'

    body = HEADING.sub(numbered, body)
    lists = f'<nav class="contents">{_anchors(sections)}</nav>' if sections else ""
    if links:
        others = _anchors({address: html.escape(text) for address, text in links.items()})
        summary = f"<summary>Pages of the {len(links)} runs behind this one</summary>"
        lists += f'<details>{summary}<nav class="contents">{others}</nav></details>'
    return TITLE.sub(lambda found: found[0] + lists, body, count=1)


def _anchors(texts: dict[str, str]) -> str:
    return "".join(f'<a href="{html.escape(address)}">{text}</a>' for address, text in texts.items())


def _with_placeholders(notebook: nbformat.NotebookNode, formulas: list[str]) -> nbformat.NotebookNode:
    """A copy in which every formula of the prose is a number between two signs that Markdown leaves alone."""
    copy = deepcopy(notebook)
    copy.cells = [cell for cell in copy.cells if PAPERMILL_MARK not in cell.metadata.get("tags", [])]
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            cell.source = _without_formulas(cell.source, formulas)
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/markdown"):
                output.data["text/markdown"] = _without_formulas(text, formulas)
    return copy


def _without_formulas(text: str, formulas: list[str]) -> str:
    def placeholder(found: re.Match) -> str:
        tex = found["display"] or found["inline"]
        if tex is None:
            return found["code"] or "&#36;"
        formula = mathml(tex, "block" if found["display"] else "inline")
        formulas.append(f'<span class="formula">{formula}</span>' if found["display"] else formula)
        return f"\ue000{len(formulas) - 1}\ue001"

    return FORMULA.sub(placeholder, text)


def mathml(tex: str, display: str = "inline") -> str:
    """A formula as MathML, which browsers draw without a script; as its source where it cannot be read.

    >>> mathml("x^2")
    '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    """
    tex = re.sub(r"\\(arg|Pr)\b(?!\s*\\limits)", r"\\operatorname{\1}", tex.strip())
    try:
        return convert(tex, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    except Exception:  # the converter raises kinds of its own, and index errors
        return f"<code>{html.escape(tex)}</code>"
