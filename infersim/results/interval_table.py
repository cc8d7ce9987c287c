"""The table of many runs' intervals for a terminal.

Not here: the intervals (`infersim/studies/replications.py`).
"""

from typing import TYPE_CHECKING

import pandas as pd

from infersim.results import units

if TYPE_CHECKING:
    from rich.table import Table

SPELLINGS = (("_s.", units.seconds), ("usd", units.usd), ("attainment", units.percent))
"""What in a number's key decides how it is spelled."""


def interval_table(intervals: pd.DataFrame) -> "Table":
    """One row for each headline number: mean, its 95 % interval, and where nine of ten runs land."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("number", style="bold")
    for name in ("mean", "95 % interval of the mean", "9 of 10 runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in intervals.itertuples():
        spell = next((spell for part, spell in SPELLINGS if part in row.number), units.digits)
        table.add_row(row.number, spell(row.mean), f"{spell(row.low)} to {spell(row.high)}",
                      f"{spell(row.p5)} to {spell(row.p95)}")  # fmt: skip
    return table
