"""Recorded series: prices and carbon intensities from CSV, machines to be had from spot traces.

    time_s,value            0,2.10         seconds from the start of the run; a value holds until the next line
    start,end,value         2024-05-09 07:00:00,2024-05-09 07:05:00,48.4       (CAISO OASIS)
    timestamp,...,avg_CI    2022-01-01 00:00:00+00:00,...,222.3                (EIA generation mixes, hourly)

    0,add,node1             milliseconds, add or remove, node                  (spot fleet; Bamboo)
    2021-12-10, 13:07:45, 80        date, time, running nodes                  (spot fleet; Bamboo)

A file may be gzipped. Time stamps must be evenly spaced where the run reads them: a gap is an error. Not here: request
traces (`formats/`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from infersim.cost.series import StepFunction
from infersim.spec.series import Capacity, Series
from infersim.workload.traces import TraceError, csv_rows, find_trace

Row = tuple[int, list[str]]


def series(spec: Series, span_s: float, directory: Path | None = None) -> StepFunction:
    """The series over a run of `span_s` [s]; TraceError names the file and line of what is wrong, gaps among them."""
    if spec.file is None:
        assert spec.at_s is not None
        assert spec.values is not None
        return StepFunction(np.array(spec.at_s, float), np.array(spec.values, float))
    path = find_trace(spec.file, directory)
    header, rows = _table(path)
    column = _column(path, header, spec.column)
    times, unit = _times(path, rows)
    first = _first(path, rows, spec.start)
    stamped = unit is not None
    ends = times[-1] - times[first] + (unit or 0.0)
    if not spec.repeat and stamped and ends < span_s:
        raise TraceError(path, f"holds {ends:g} s from its start on, and the run needs {span_s:g} s; set repeat: true")
    last = first
    while last + 1 < len(rows) and (spec.repeat or times[last + 1] - times[first] < span_s):
        last += 1
        if unit is not None and times[last] - times[last - 1] > 1.5 * unit:
            gap = f"nothing between {rows[last - 1][1][0]} and {rows[last][1][0]}, though lines are {unit:g} s apart"
            raise TraceError(path, f"has a gap: {gap}; fill it, or set start after it", rows[last][0])
    chosen = range(first, last + 1)
    values = [_number(path, rows[k], column) * spec.scale for k in chosen]
    at_s = np.array([times[k] - times[first] for k in chosen])
    period_s = np.inf if not spec.repeat else at_s[-1] + (unit if unit is not None else _last_step(path, at_s))
    return StepFunction(at_s, np.array(values), period_s)


def capacity(spec: Capacity, directory: Path | None = None) -> StepFunction:
    """How many replicas there are machines for, over time; TraceError names file and line of what is wrong."""
    if spec.file is None:
        assert spec.at_s is not None
        assert spec.replicas is not None
        return StepFunction(np.array(spec.at_s, float), np.array(spec.replicas, float))
    path = find_trace(spec.file, directory)
    nodes: dict[float, int] = {}
    for time_s, count in node_counts(path):
        nodes[time_s] = count
    times = np.array(sorted(nodes))
    counts = np.array([nodes[time] for time in times])
    return StepFunction(times - times[0], np.floor(counts / spec.nodes_per_replica))


def node_counts(path: Path) -> Iterator[tuple[float, int]]:
    """(seconds, nodes) of either format of a spot trace, in the order of the file."""
    alive: set[str] = set()
    for line, row in _rows(path):
        cells = [cell.strip() for cell in row]
        if len(cells) != 3:
            raise TraceError(path, f"found {len(cells)} cells; a spot trace has `ms,add|remove,node` or a count", line)
        if cells[1] in ("add", "remove"):
            if (cells[2] in alive) == (cells[1] == "add"):
                what = "is there already" if cells[1] == "add" else "is not there"
                raise TraceError(path, f"cannot {cells[1]} {cells[2]}, which {what}", line)
            alive ^= {cells[2]}
            yield _number(path, (line, cells), 0) / 1000, len(alive)
        else:
            stamp = _stamp(path, (line, [f"{cells[0]} {cells[1]}"]))
            yield stamp, round(_number(path, (line, cells), 2))


def stamped_values(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Name, times [s] and values of the last column of a series, all of the file; NaN where a value is missing."""
    header, rows = _table(path)
    times, _ = _times(path, rows)
    cells = [row[len(header) - 1].strip() if len(row) >= len(header) else "" for _, row in rows]
    values = [_number(path, row, len(header) - 1) if cell else np.nan for row, cell in zip(rows, cells, strict=True)]
    return header[-1], np.array(times), np.array(values)


def _rows(path: Path) -> Iterator[Row]:
    yield from ((line, row) for line, row in csv_rows(path) if row)


def _table(path: Path) -> tuple[list[str], list[Row]]:
    rows = list(_rows(path))
    if len(rows) < 2:
        raise TraceError(path, "holds no values; a series is a header and lines of time and value")
    return [cell.strip() for cell in rows[0][1]], rows[1:]


def _column(path: Path, header: list[str], name: str | None) -> int:
    if name is None:
        return len(header) - 1
    if name not in header:
        raise TraceError(path, f"has no column {name}; it has {', '.join(header)}", 1)
    return header.index(name)


def _times(path: Path, rows: list[Row]) -> tuple[list[float], float | None]:
    """Each row's time [s], and the spacing of rows where they have time stamps."""
    numeric = rows[0][1][0].replace(".", "", 1).isdigit()
    times = [_number(path, row, 0) if numeric else _stamp(path, row) for row in rows]
    for k, (before, after) in enumerate(pairwise(times)):
        if after <= before:
            raise TraceError(path, f"found {rows[k + 1][1][0]} after {rows[k][1][0]}; times must rise", rows[k + 1][0])
    if numeric and times[0] != 0:
        raise TraceError(path, f"begins at {times[0]:g} s; the first value must hold from 0 on", rows[0][0])
    return times, None if numeric or len(times) < 2 else float(np.median(np.diff(times)))


def _first(path: Path, rows: list[Row], start: str | None) -> int:
    if start is None:
        return 0
    for k, (_, row) in enumerate(rows):
        if row[0].strip().startswith(start):
            return k
    raise TraceError(path, f"has no line that starts at {start}; it begins at {rows[0][1][0]}")


def _last_step(path: Path, at_s: np.ndarray) -> float:
    if len(at_s) < 2:
        raise TraceError(path, "has one value, which cannot repeat; remove repeat")
    return float(at_s[-1] - at_s[-2])


def _stamp(path: Path, row: Row) -> float:
    try:
        when = datetime.fromisoformat(row[1][0].strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise TraceError(path, f"found {row[1][0]!r}; a time is seconds, or like 2024-05-09 07:00:00", row[0]) from None


def _number(path: Path, row: Row, column: int) -> float:
    text = row[1][column].strip() if column < len(row[1]) else ""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        found = f"found {text!r}" if text else "has a gap: no value"
        raise TraceError(path, f"{found} in column {column + 1}; it must be a number", row[0])
    return value
