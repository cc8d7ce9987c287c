"""Replay of a recorded trace: which of its requests come, and when.

Checked on the way: order and token counts. What a format documents is repaired with a TraceWarning and a count (failed
requests left out, a published disorder sorted); everything else is an error with its line.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infersim.spec.arrivals import Trace
from infersim.workload.formats import format_of
from infersim.workload.formats.format import Format
from infersim.workload.requests import Requests, joined
from infersim.workload.streams import stream
from infersim.workload.traces import TraceError, TraceWarning, find_trace


def replay_blocks(
    spec: Trace, horizon_s: float | None, seed: int, directory: Path | None = None, name: str = "arrivals"
) -> Iterator[Requests]:
    """The requests of a trace as the scenario wants them, in order of arrival, up to the horizon if there is one.

    Raises TraceError for a bad trace, ValueError for a rate_scale that leaves all numbers.
    """
    path = find_trace(spec.file, directory)
    kind = format_of(path)
    if kind.clock == "none":
        raise TraceError(path, f"is {kind.title}, which has lengths and no times; use distribution: empirical, file")
    if (kind.clock == "session") != (spec.session_rate_rps is not None):
        what = "needs session_rate_rps: its sessions have no absolute times" if kind.clock == "session" else (
            "has absolute times; remove session_rate_rps"
        )  # fmt: skip
        raise TraceError(path, f"is {kind.title}, and {what}")
    thinning = stream(seed, f"{name}.thinning")
    lap_start, lap = 0.0, 0
    while True:
        count, last = 0, 0.0
        for block in _lap(spec, path, kind, seed, name, lap):
            count += len(block)
            last = float(block.arrival_s[-1]) if len(block) else last
            kept = block if spec.keep_share == 1 else block.at(thinning.random(len(block)) < spec.keep_share)
            times = lap_start + _clock(spec, kept.arrival_s, path)
            inside = times.size if horizon_s is None else int(np.searchsorted(times, horizon_s))
            yield kept.part(0, inside).with_columns(arrival_s=times[:inside])
            if inside < times.size:
                return
        if not spec.loop or horizon_s is None:
            return
        if last <= 0:
            raise TraceError(path, "has no two requests at different times; it cannot loop")
        lap_start += float(_clock(spec, np.array([last * count / (count - 1)]), path)[0])
        lap += 1
        if lap_start >= horizon_s:
            return


def _lap(spec: Trace, path: Path, kind: Format, seed: int, name: str, lap: int) -> Iterator[Requests]:
    """The trace once, checked, its first requests if there is a limit."""
    blocks = checked(path, kind)
    if kind.clock == "session":
        from infersim.workload.recorded_sessions import started

        blocks = started(blocks, spec.session_rate_rps or 1.0, stream(seed, f"{name}.sessions.{lap}"))
    left = spec.limit
    for block in blocks:
        part = block if left is None else block.part(0, left)
        # a session of the second lap is another session
        yield part.with_columns(session=np.where(part.session >= 0, part.session + (lap << 40), part.session))
        if left is not None:
            left -= len(part)
            if left <= 0:
                return


def _clock(spec: Trace, times: np.ndarray, path: Path) -> np.ndarray:
    """Seconds of the trace as seconds of the replay."""
    if spec.time_warp is not None:
        was, now = np.array(spec.time_warp).T
        slope = (now[-1] - now[-2]) / (was[-1] - was[-2])
        times = np.where(times > was[-1], now[-1] + (times - was[-1]) * slope, np.interp(times, was, now))
    with np.errstate(over="ignore"):
        scaled = times / spec.rate_scale
    if scaled.size and not np.isfinite(scaled[-1]):
        problem = f"rate_scale {spec.rate_scale:g} stretches {path.name} beyond all numbers; 1 replays it as recorded"
        raise ValueError(problem)
    return scaled


def checked(path: Path, kind: Format) -> Iterator[Requests]:
    """The rows of a file as requests that can be replayed: in order, with at least one token on either side."""
    blocks: Iterator[Requests] = kind.read(path)
    if kind.disordered:
        blocks = iter([_sorted(path, joined(blocks))])
    before, failed, named = -np.inf, 0, 0
    for block in blocks:
        if kind.zeros_failed:
            ended = (block.output_tokens > 0) & (block.input_tokens > 0)
            failed += int(ended.size - ended.sum())
            block = block if ended.all() else block.at(ended)
        for column in ("input_tokens", "output_tokens"):
            if (zero := np.flatnonzero(getattr(block, column) < 1)).size:
                problem = "found '0'; tokens are a whole number from 1 to 1000000000"
                raise TraceError(path, problem, int(block.line[zero[0]]), _column(kind, column))
        if kind.clock == "absolute" and len(block):
            back = np.flatnonzero(np.diff(block.arrival_s, prepend=before) < 0)
            if back.size:
                row = int(back[0])
                earlier = block.arrival_s[row - 1] if row else before
                found = f"second {block.arrival_s[row]:.7f} is before second {earlier:.7f} of the request above"
                raise TraceError(
                    path, f"{found}; sort the file by time", int(block.line[row]), _column(kind, "arrival_s")
                )
            before = float(block.arrival_s[-1])
        named += int((block.tenant != 0).sum())
        yield block.with_columns(tenant=np.zeros(len(block), np.int64))
    if named:
        what = f"{named} rows have a tenant other than 0; a replay is of one class, the scenario's or its own"
        warnings.warn(TraceWarning(f"{path.name}: {what}"), stacklevel=2)
    if failed:
        what = f"{failed} rows without tokens are failed requests; left out"
        warnings.warn(TraceWarning(f"{path.name}: {what}"), stacklevel=2)


def _sorted(path: Path, block: Requests) -> Requests:
    order = np.argsort(block.arrival_s, kind="stable")
    moved = int((np.diff(block.arrival_s) < 0).sum())
    if moved:
        warnings.warn(TraceWarning(f"{path.name}: {moved} rows stand after a later one; sorted by time"), stacklevel=2)
    block = block.at(order)
    return block.with_columns(arrival_s=block.arrival_s - block.arrival_s[0])


def _column(kind: Format, column: str) -> str:
    """What the format calls a column."""
    return kind.names.get(column, column)
