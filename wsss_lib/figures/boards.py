"""Leader boards: rows in groups, and the spread over seeds in the cell of its mean."""

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from wsss_lib.figures.tables import styled_table


def grouped_table(
    frame: pd.DataFrame, group: str, *, highest: Sequence[str] = (), signed: Sequence[str] = ()
) -> Styler:
    """HTML table with a line above each group of rows, and the best values of each group bold.

    A column ``seeds`` counts the runs behind a row: one with fewer than others of its group is not bold.

    Args:
        frame: rows of a group stand together; the index counts the rows.
        group: column that names the group of a row.
        highest: columns whose highest value is the best.
        signed: columns whose numbers carry a plus or minus.
    """
    table = styled_table(frame, signed=signed)
    for _, rows in frame.groupby(group, sort=False):
        line = {"selector": f"td.row{rows.index[0]}", "props": "border-top: 2px solid #808080"}
        table.set_table_styles([line], overwrite=False)
        judged = rows[rows["seeds"] == rows["seeds"].max()] if "seeds" in rows else rows
        for name in highest:
            best = judged.index[judged[name] == judged[name].max()]
            table.set_properties(subset=(best, [name]), **{"font-weight": "bold"})
    return with_spread(table)


def with_spread(table: Styler) -> Styler:
    """The same table, where a column ``x ±`` stands behind the numbers of the column ``x`` instead of beside it.

    >>> frame = pd.DataFrame({"mIoU": [48.25], "mIoU ±": [0.5], "F1": [90.0], "F1 ±": [1.5]})
    >>> page = with_spread(styled_table(frame)).to_html()
    >>> "48.2 ± 0.5" in page, "90.0 ± 1.5" in page, "mIoU ±" in page, "F1 ±" in page
    (True, True, False, False)
    """
    spreads = list(table.data.columns.intersection([f"{mean} ±" for mean in table.data]))
    for name in spreads:
        for row, spread in table.data[name].dropna().items():
            table.format(f"{{:.1f}} ± {spread:.1f}", subset=([row], [name.removesuffix(" ±")]))
    return table.hide(spreads, axis="columns")  # all at once: a later call would show the earlier ones again
