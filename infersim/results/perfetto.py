"""A run as a trace for ui.perfetto.dev, in Chrome's JSON trace format.

A process for each pool, in it a track for each replica (starting, ready, draining), one of what bound the pool's steps
window by window, and counters; scaling as instants. Requests are slices of a process of their own (queued, prefill,
decode), with an arrow from their arrival to the replica that admitted them.

Times are simulated, in microseconds as the format wants. Read `export.py` for the other formats.
"""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from infersim.results.power import CAUSES
from infersim.results.run import Run
from infersim.results.why_latency import ttft_parts
from infersim.results.windows import window_edges, windows

MOST_REQUESTS = 20_000
"""Requests in a trace, evenly spaced when there are more: viewers grow slow beyond some hundred thousand slices."""

COUNTERS = {
    "replicas": ("ready", "starting", "draining"),
    "requests": ("running", "waiting"),
    "KV occupancy": ("kv_occupancy",),
    "power [W]": ("power_w",),
    "USD per hour": ("usd_per_hour",),
    "MFU": ("mfu",),
}
"""Counter tracks of a pool -> columns of the timeline."""

REQUESTS = 1
"""Process of the requests; pools follow."""

Event = dict[str, Any]


def perfetto_trace(run: Run) -> bytes:
    """The trace as JSON."""
    pools = {name: REQUESTS + 1 + k for k, name in enumerate(run.summary["pools"])}
    events = [_name(REQUESTS, None, "requests")]
    events += [_name(number, None, f"pool {name}") for name, number in pools.items()]
    for part in (_replicas, _bounds, _counters, _control, _requests):
        events.extend(part(run, pools))
    other = {"scenario": run.summary["scenario"]["name"], "infersim": run.summary["infersim"]}
    text = json.dumps({"traceEvents": events, "otherData": other}, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _us(seconds: float) -> float:
    """Microseconds, to the nanosecond."""
    return round(float(seconds) * 1e6, 3)


def _name(process: int, track: int | None, name: str) -> Event:
    kind, place = ("process_name", {}) if track is None else ("thread_name", {"tid": track})
    return {"ph": "M", "pid": process, "name": kind, "args": {"name": name}, **place}


def _slice(process: int, track: int, name: str, start_s: float, end_s: float, **details: Any) -> Event:
    event = {"ph": "X", "pid": process, "tid": track, "name": name, "ts": _us(start_s)}
    return event | {"dur": round(max(_us(end_s) - _us(start_s), 0.0), 3), "args": details}


def _track(replica: int) -> int:
    """Track of a replica; track 1 of a pool is what bound it."""
    return int(replica) + 2


def _replicas(run: Run, pools: dict[str, int]) -> Iterator[Event]:
    """Each replica's life."""
    for row in run.replicas.itertuples():
        process, track = pools[row.pool], _track(row.replica)
        yield _name(process, track, f"replica {row.replica}")
        up = row.closed_s if pd.isna(row.ready_s) else row.ready_s
        if up > row.requested_s:
            yield _slice(process, track, "starting", row.requested_s, up, usd=row.cold_start_usd)
        if pd.isna(row.ready_s):
            continue
        drained = row.closed_s if pd.isna(row.draining_s) else row.draining_s
        facts = {"requests": int(row.requests), "steps": int(row.steps), "usd": row.cost_usd}
        yield _slice(process, track, "ready", row.ready_s, drained, **facts)
        if drained < row.closed_s:
            yield _slice(process, track, "draining", drained, row.closed_s)


def _bounds(run: Run, pools: dict[str, int]) -> Iterator[Event]:
    """What bound the steps of each pool, window by window."""
    table = windows(run.timeline, window_edges(float(run.summary["run"]["end_s"]), 240))
    for process in pools.values():
        yield _name(process, 1, "bound by")
    for row in table.to_dict("records"):
        if row["busy_s"] > 0:
            shares = {cause: round(row[f"{cause}_s"] / row["busy_s"], 4) for cause in CAUSES}
            batch = round(row["running"] / max(row["ready"] + row["draining"], 1e-9), 2)
            most = max(CAUSES, key=lambda cause: shares[cause])
            yield _slice(pools[row["pool"]], 1, most, row["start_s"], row["end_s"], batch=batch, **shares)


def _counters(run: Run, pools: dict[str, int]) -> Iterator[Event]:
    """States and rates at each sample."""
    for row in run.timeline.to_dict("records"):
        for name, columns in COUNTERS.items():
            values = {column: float(row[column]) for column in columns if not pd.isna(row[column])}
            if values:
                yield {"ph": "C", "pid": pools[row["pool"]], "name": name, "ts": _us(row["time_s"]), "args": values}


def _control(run: Run, pools: dict[str, int]) -> Iterator[Event]:
    """Scaling and replicas' changes, as instants."""
    for row in run.events.itertuples():
        place = {"tid": _track(row.replica), "s": "t"} if row.replica >= 0 else {"tid": 1, "s": "p"}
        if row.pool in pools:
            details = {"detail": row.detail} if row.detail else {}
            yield {"ph": "i", "pid": pools[row.pool], "name": row.kind, "ts": _us(row.time_s), "args": details, **place}


def _requests(run: Run, pools: dict[str, int]) -> Iterator[Event]:
    """The phases of requests, and an arrow from each arrival to the replica that admitted it."""
    yield _name(REQUESTS, 1, "arrivals")
    done = run.requests[run.requests["status"] == "finished"]
    done = done.iloc[:: -(-len(done) // MOST_REQUESTS)] if len(done) > MOST_REQUESTS else done
    parts = ttft_parts(done)
    admitted = done["arrival_s"] + parts.drop(columns=["prefill", "preempted"]).sum(axis=1)
    for row, begun in zip(done.itertuples(), admitted, strict=True):
        number, replica = int(row.id), (pools[row.pool], _track(row.replica))
        facts = {"id": number, "input_tokens": int(row.input_tokens), "output_tokens": int(row.output_tokens)}
        yield _slice(REQUESTS, 1, "arrives", row.arrival_s, row.arrival_s, **facts)
        yield _slice(*replica, "admits", begun, begun, id=number)
        yield from _arrow(number, (REQUESTS, 1), row.arrival_s, replica, begun)
        phases = (("request", row.arrival_s, row.finish_s), ("waits", row.arrival_s, begun),
                  ("prefill", begun, row.first_token_s), ("decode", row.first_token_s, row.finish_s))  # fmt: skip
        for name, start_s, end_s in phases:
            same = {"cat": "request", "id": number, "pid": REQUESTS, "tid": 1, "name": name}
            yield {"ph": "b", "ts": _us(start_s), **same} | ({"args": facts} if name == "request" else {})
            yield {"ph": "e", "ts": _us(end_s), **same}


def _arrow(number: int, start: tuple[int, int], start_s: float, end: tuple[int, int], end_s: float) -> list[Event]:
    same = {"cat": "request", "id": number, "name": "served by"}
    return [
        {"ph": "s", "pid": start[0], "tid": start[1], "ts": _us(start_s), **same},
        {"ph": "f", "bp": "e", "pid": end[0], "tid": end[1], "ts": _us(end_s), **same},
    ]
