"""Rates over time from a list or from a file.

Not here: arrivals at those rates (`modulated.py`).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from infersim.spec.arrivals import RateSeries
from infersim.workload.delimited import Table, tables
from infersim.workload.renewal import Times
from infersim.workload.traces import TraceError, find_trace

RATES = ("t_s", "rate_rps")
COUNTS = ("Time", "TIMESTAMP")
"""Ten-second counts of the Azure 2024 week, as published with an energy study; TIMESTAMP is the count."""


class RateTable(NamedTuple):
    """Rates that hold from each start to the next."""

    starts_s: Times
    """The first is 0."""
    rates_rps: Times
    end_s: float | None
    """End of the last one; None is never."""


def rate_table(spec: RateSeries, directory: Path | None) -> RateTable:
    """The rates of a series, multiplied by its factor; TraceError for a faulty file."""
    if spec.rates_rps is not None and spec.interval_s is not None:
        count = len(spec.rates_rps)
        table = RateTable(
            np.arange(count, dtype=np.float64) * spec.interval_s,
            np.asarray(spec.rates_rps, np.float64),
            count * spec.interval_s,
        )
    else:
        table = read_rates(find_trace(spec.file or "", directory))
    return table._replace(rates_rps=table.rates_rps * spec.rate_factor)


def read_rates(path: Path) -> RateTable:
    """A CSV of rates, or of counts in equal intervals (whose first and last bins may be half)."""
    parts = []
    for table in tables(path):
        counted = set(table.columns) == set(COUNTS)
        if not counted and set(table.columns) != set(RATES):
            problem = (
                f"found {','.join(table.columns)}; rates have {','.join(RATES)} (or Azure counts {','.join(COUNTS)})"
            )
            raise TraceError(path, problem, line=1)
        parts.append(_counts(table) if counted else _rates(table))
    starts, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    if starts.size < 2:
        raise TraceError(path, "has one row; a series of rates needs at least two", line=2)
    wrong = np.flatnonzero(np.diff(starts) <= 0)
    if wrong.size:
        raise TraceError(path, "times must rise from row to row", line=int(wrong[0]) + 3, column=table.columns[0])
    widths = np.diff(starts)
    widths = np.append(widths, widths[-1])
    if counted:
        values = values / widths
    if values.max() <= 0:
        raise TraceError(path, "every rate is 0, so nothing would arrive")
    starts = starts - starts[0]
    return RateTable(starts, values, float(starts[-1] + widths[-1]))


def _rates(table: Table) -> tuple[Times, Times]:
    return table.decimals("t_s"), table.decimals("rate_rps", least=0)


def _counts(table: Table) -> tuple[Times, Times]:
    ticks = table.instants("Time")
    return ticks / 1e7, table.whole_numbers("TIMESTAMP", 0).astype(np.float64)
