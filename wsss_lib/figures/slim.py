"""Tables of long pages in half the bytes: only the classes that a style names, equal styles once, a row a line."""

import re

from pandas.io.formats.style import Styler

RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
CELL = re.compile(r"<(t[hd])\b([^<>]*)>")
VALUE = re.compile(r'\b(class|id)="([^"]*)"')
SPAN = re.compile(r'\b(colspan|rowspan)="(\d+)"')
QUOTED = re.compile(r'"(\w+)"')  # quotes that HTML does without, and that a notebook would write as two characters
ENDS = re.compile(r"</t[hdr]>")  # of cells and rows; HTML does without them, too


def slim(table: Styler) -> Styler:
    """The same table, whose page says the same in fewer bytes; call it last.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"a": [1]}).style.set_table_styles([{"selector": ".col0", "props": "color: red"}])
    >>> print(slim(table)._repr_html_().partition("<tbody>")[2])
    <BLANKLINE>
    <tr><th>0<td class=col0>1</tbody></table>
    """
    page = slim_html(table.to_html())
    table._repr_html_ = lambda: page
    return table


def slim_html(page: str) -> str:
    """The page of a table: one rule for each style; no class, identifier, end tag or line break without a use."""
    style, end, body = page.partition("</style>")
    rules: dict[str, list[str]] = {}
    for selector, props in RULE.findall(style.partition(">")[2]):
        rules.setdefault(re.sub(r"\s*\n\s*", " ", props.strip()), []).append(" ".join(selector.split()))
    named = {name for selectors in rules.values() for name in re.findall(r"[.#](\w+)", " ".join(selectors))}

    def kept(found: re.Match) -> str:
        values = {name: [one for one in words.split() if one in named] for name, words in VALUE.findall(found[2])}
        words = [f'{name}="{" ".join(some)}"' for name, some in values.items() if some]
        others = [f"{name}={number}" for name, number in SPAN.findall(found[2])]
        return " ".join([f"<{found[1]}", *(QUOTED.sub(r"\1", word) for word in words), *others]) + ">"

    head, _, rows = body.partition("<thead>")  # the attributes of the table stay
    rows = CELL.sub(kept, "<thead>" + rows)
    rows = ENDS.sub("", re.sub(r">\s*\n\s*<", "><", rows)).replace("<tr>", "\n<tr>").replace("<tbody>", "\n<tbody>")
    styles = "\n".join(f"{', '.join(selectors)} {{{props}}}" for props, selectors in rules.items())
    return f"<style>\n{styles}\n{end}{head.rstrip()}{rows.strip()}"
