"""Recorded faults of nodes, as InfiniteHBD published them (SIGCOMM 2025): when which node of a pool is out of order.

    [{"node_id": "6f24...", "event_time": 3.8955, "event_type": "fault_start", "fault_type": {"Level": ..., "Class": ...}}]

event_time counts days. Faults of one node that overlap count as one. Not here: breaking it
(`infersim/controlplane/faults.py`).
"""

import gzip
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infersim.spec.faults import FaultTrace
from infersim.workload.traces import TraceError, find_trace

DAY_S = 86400.0


@dataclass(frozen=True)
class Recorded:
    """A time in which one node was out of order."""

    node: int
    """Of those observed, numbered at random."""
    begin_s: float
    end_s: float
    """inf if it was not mended."""
    what: str


def recorded_faults(spec: FaultTrace, draws: np.random.Generator, directory: Path | None = None) -> list[Recorded]:
    """Faults from the start of the run on, by begin and node; TraceError says which entry is wrong."""
    path = find_trace(spec.file, directory)
    entries = fault_entries(path, spec.level)
    ids = list(dict.fromkeys(entry["node_id"] for entry in entries))
    if len(ids) > spec.nodes:
        raise TraceError(path, f"has faults on {len(ids)} nodes, but nodes says that {spec.nodes} were observed")
    number = dict(zip(ids, draws.permutation(spec.nodes)[: len(ids)].tolist(), strict=True))
    begun: dict[str, tuple[float, int, str]] = {}
    found = []
    for entry in sorted(entries, key=lambda entry: entry["event_time"]):
        node, time_s = entry["node_id"], (entry["event_time"] - spec.from_day) * DAY_S
        begin_s, depth, what = begun.get(node, (0.0, 0, _what(entry)))
        if entry["event_type"] == "fault_start":
            begun[node] = (max(time_s, 0.0), 1, _what(entry)) if depth == 0 else (begin_s, depth + 1, what)
            continue
        begun[node] = (begin_s, max(depth - 1, 0), what)
        if depth <= 1 and time_s > 0:  # an end without a beginning: it was out of order when observation began
            found.append(Recorded(number[node], begin_s, time_s, what))
    found += [
        Recorded(number[node], begin_s, math.inf, what) for node, (begin_s, depth, what) in begun.items() if depth
    ]
    return sorted(found, key=lambda fault: (fault.begin_s, fault.node))


def _what(entry: dict[str, Any]) -> str:
    kind = entry.get("fault_type", {})
    return f"{kind.get('Class', 'node')}: {kind.get('Desc', 'fault')}"


def fault_entries(path: Path, level: str | None) -> list[dict[str, Any]]:
    """The checked entries of a recording, of one level or (None) of all; TraceError says which entry is wrong."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        entries = json.loads(text)
    except (OSError, ValueError) as error:
        raise TraceError(path, f"cannot be read as JSON: {error}") from error
    if not isinstance(entries, list):
        raise TraceError(path, "must be a list of faults")
    for index, entry in enumerate(entries):
        where = f"entry {index}"
        if not isinstance(entry, dict) or {"node_id", "event_time", "event_type"} - entry.keys():
            raise TraceError(path, f"{where} must have node_id, event_time and event_type")
        if entry["event_type"] not in ("fault_start", "fault_end"):
            raise TraceError(path, f"{where}: found event_type {entry['event_type']!r}; fault_start or fault_end")
        if not isinstance(entry["event_time"], int | float) or not math.isfinite(entry["event_time"]):
            raise TraceError(path, f"{where}: found event_time {entry['event_time']!r}; it must be a number of days")
    chosen = [entry for entry in entries if level is None or entry.get("fault_type", {}).get("Level") == level]
    if not chosen:
        levels = sorted({str(entry.get("fault_type", {}).get("Level")) for entry in entries})
        raise TraceError(path, f"has no fault of level {level}; it has {', '.join(levels) or 'none at all'}")
    return chosen
