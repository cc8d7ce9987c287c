"""What to know of recordings beside requests: prices and carbon, spot machines, faults, and counts by day or hour.

These are the files that a scenario's `series`, `capacity` and `failures.trace` name. Not here: requests (`inspect.py`),
rates that drive arrivals (`inspect_rates.py`), putting them into a run (`recorded.py`, `faults.py`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.workload.faults import fault_entries
from infersim.workload.formats.format import Head
from infersim.workload.recorded import node_counts, stamped_values
from infersim.workload.traces import TraceError, csv_rows

Floats = NDArray[np.float64]
Figures = dict[str, float | dict[str, float]]

HOUR_S, DAY_S, YEAR_D = 3600.0, 86_400.0, 365.25
NODES = 400
"""Servers that InfiniteHBD observed (SIGCOMM 2025), those without a fault included."""


@dataclass(frozen=True)
class RecordedInspection:
    """A recording in figures."""

    file: str
    title: str
    figures: Figures
    warnings: list[str] = field(default_factory=list)


def recording(head: Head) -> Callable[[Path], RecordedInspection] | None:
    """How to inspect a file with this head; None if it is no such recording."""
    if isinstance(head.first, list) and head.first and isinstance(head.first[0], dict) and "node_id" in head.first[0]:
        return inspect_faults
    if len(head.columns) == 3 and (head.columns[1] in ("add", "remove") or head.columns[0][:2] == "20"):
        return inspect_capacity
    if head.columns[:1] in (("day",), ("hour",)) and len(head.columns) > 1:
        return inspect_totals
    stamps = head.columns and head.rows and head.rows[0][:2] == "20"
    return inspect_values if stamps or head.columns == ("time_s", "value") else None


def inspect_values(path: Path) -> RecordedInspection:
    """The last column of a series over time; lines without a value are counted. Raises TraceError."""
    name, times, values = stamped_values(path)
    if times.size < 2:
        raise TraceError(path, "has one line of values; a series needs at least two")
    known = np.isfinite(values)
    kept, step_s = values[known], float(np.median(np.diff(times)))
    if not kept.size:
        raise TraceError(path, f"has no value in its last column {name}")
    gaps = int((np.diff(times) > 1.5 * step_s).sum())
    hour = (times[known] % DAY_S) // HOUR_S
    by_hour = np.array([kept[hour == k].mean() for k in np.unique(hour)])
    low, half, high = np.percentile(kept, [5, 50, 95]).tolist()
    figures: Figures = {
        "rows": values.size, "step_s": step_s, "span_d": float(times[-1] - times[0] + step_s) / DAY_S,
        "value": {"mean": float(kept.mean()), "p5": low, "p50": half, "p95": high, "least": float(kept.min()),
                  "most": float(kept.max()), "negative_share": float((kept < 0).mean())},
        "by_hour": {"least": float(by_hour.min()), "most": float(by_hour.max())},
    }  # fmt: skip
    if by_hour.min() > 0:
        figures["most_to_least_hour"] = float(by_hour.max() / by_hour.min())
    missing = values.size - kept.size
    notes = [f"{gaps} gaps: lines are more than {step_s:g} s apart"] * (gaps > 0)
    notes += [f"{missing} lines have no value; a run that reads them stops"] * (missing > 0)
    return RecordedInspection(path.name, f"a series of {name} over time", figures, notes)


def inspect_capacity(path: Path) -> RecordedInspection:
    """Nodes of a spot fleet over time. Raises TraceError."""
    times, nodes = (np.array(column, float) for column in zip(*node_counts(path), strict=True))
    held = np.diff(times)
    figures: Figures = {
        "rows": times.size, "span_h": float(times[-1] - times[0]) / HOUR_S, "least_nodes": float(nodes.min()),
        "most_nodes": float(nodes.max()),
        "mean_nodes": float((nodes[:-1] * held).sum() / held.sum()) if held.sum() else float(nodes.mean()),
        "nodes_taken_back": float(-np.minimum(np.diff(nodes), 0).sum()),
    }  # fmt: skip
    return RecordedInspection(path.name, "nodes of a spot fleet", figures)


def inspect_faults(path: Path) -> RecordedInspection:
    """Faults of nodes: how many, of what, how far apart, and how long until each is mended. Raises TraceError."""
    entries = sorted(fault_entries(path, None), key=lambda entry: entry["event_time"])
    starts = [entry for entry in entries if entry["event_type"] == "fault_start"]
    if len(starts) < 2:
        raise TraceError(path, "has fewer than two faults")
    days = entries[-1]["event_time"]  # day 0 is the beginning of the observation
    gaps_h = np.diff([entry["event_time"] for entry in starts]) * 24
    repairs_h = _repairs_h(entries)
    years = NODES * days / YEAR_D
    levels, kinds = (Counter(entry.get("fault_type", {}).get(key, "unknown") for entry in starts)
                     for key in ("Level", "Class"))  # fmt: skip
    logs = np.log(repairs_h[repairs_h > 0])
    figures: Figures = {
        "faults": len(starts), "nodes_with_faults": len({entry["node_id"] for entry in starts}), "span_d": days,
        "faults_per_node_year": {"all": len(starts) / years}
        | {name: count / years for name, count in [*levels.most_common(3), *kinds.most_common(3)]},
        "between_faults_h": {"mean": float(gaps_h.mean()), "p50": float(np.median(gaps_h)),
                             "cv": float(gaps_h.std() / gaps_h.mean())},
        "repair_h": {"mean": float(repairs_h.mean())}
        | {f"p{share}": float(np.percentile(repairs_h, share)) for share in (50, 90, 99)}
        | {"log_mean": float(logs.mean()), "log_sd": float(logs.std(ddof=1))},
    }  # fmt: skip
    notes = [
        f"a year's faults are those of {NODES} nodes, as InfiniteHBD observed; the file names only the faulty ones"
    ]
    return RecordedInspection(path.name, "faults of nodes", figures, notes)


def _repairs_h(entries: list[dict]) -> Floats:
    """Hours from each fault's beginning to its end; of several on a node with the same cause the first ends first."""
    open_faults: dict[tuple[str, str], list[float]] = {}
    found = []
    for entry in entries:
        key = entry["node_id"], str(entry.get("fault_type"))
        if entry["event_type"] == "fault_start":
            open_faults.setdefault(key, []).append(entry["event_time"])
        elif open_faults.get(key):
            found.append((entry["event_time"] - open_faults[key].pop(0)) * 24)
    return np.array(found)


def inspect_totals(path: Path) -> RecordedInspection:
    """Totals by day, or means by hour of the day, as BurstGPT is published in short. Raises TraceError."""
    lines = [(line, row) for line, row in csv_rows(path) if row]
    names = [name.strip() for name in lines[0][1]]
    table = np.array([_numbers(path, line, row, names) for line, row in lines[1:]], float).reshape(-1, len(names))
    if not table.any():
        raise TraceError(path, "holds no numbers above 0")
    figures: Figures = {"rows": len(table)}
    for name, column in zip(names[1:], table.T[1:], strict=True):
        least, most = int(column.argmin()), int(column.argmax())
        figures[name] = {
            "sum": float(column.sum()), "mean": float(column.mean()), "least": float(column[least]),
            f"{names[0]}_of_least": float(table[least, 0]), "most": float(column[most]),
            f"{names[0]}_of_most": float(table[most, 0]), "peak_to_mean": _ratio(column[most], column.mean()),
            "most_to_least": _ratio(column[most], column[least]),
            "cv": _ratio(column.std(ddof=min(1, len(table) - 1)), column.mean()),
        }  # fmt: skip
    return RecordedInspection(path.name, f"totals by {names[0]}", figures)


def _ratio(one: float, other: float) -> float:
    return float(one / other) if other else float("nan")


def _numbers(path: Path, line: int, row: list[str], names: list[str]) -> list[float]:
    try:
        found = [float(cell) for cell in row]
    except ValueError:
        found = []
    if len(found) != len(names) or not np.isfinite(found).all() or min(found) < 0:
        raise TraceError(
            path, f"found {','.join(row)[:60]!r}; a line has {len(names)} numbers: {','.join(names)}", line
        )
    return found
