"""Leader boards whose rows stand in groups."""

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from wsss_lib.figures.tables import styled_table


def grouped_table(frame: pd.DataFrame, group: str, *, highest: Sequence[str] = ()) -> Styler:
    """HTML table with a line above each group of rows, and the best values of each group bold.

    Args:
        frame: rows of a group stand together; the index counts the rows.
        group: column that names the group of a row.
        highest: columns whose highest value is the best.
    """
    table = styled_table(frame)
    for _, rows in frame.groupby(group, sort=False):
        line = {"selector": f"td.row{rows.index[0]}", "props": "border-top: 2px solid #808080"}
        table.set_table_styles([line], overwrite=False)
        for name in highest:
            best = rows.index[rows[name] == rows[name].max()]
            table.set_properties(subset=(best, [name]), **{"font-weight": "bold"})
    return table
