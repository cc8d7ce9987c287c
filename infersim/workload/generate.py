"""What arrives, as the data plane wants it: chunks of REQUEST records, and the output lengths that only it may know.

Read `streams.py` (random streams), `arrivals.py`, `lengths.py` and `azure.py` for the parts.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.records import REQUEST
from infersim.spec.scenario import Trace, Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.azure import read_azure
from infersim.workload.lengths import length_blocks
from infersim.workload.streams import Feed
from infersim.workload.traces import Recording, TraceError, find_trace

__all__ = ["TraceError", "find_trace", "request_chunks", "workload_span_s"]

CHUNK = 1 << 16
"""Requests in a chunk unless the caller says otherwise."""

Chunk = tuple[NDArray[np.void], NDArray[np.int64]]


def request_chunks(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None = None, chunk: int = CHUNK
) -> Iterator[Chunk]:
    """Requests that arrive in [0, horizon_s), in order: REQUEST records (n,) and output tokens (n,), n <= chunk.

    Ids count from 0. The chunk size cuts the sequence and changes no byte of it. A trace ends with its last request if
    that comes first, and is read and checked before this returns; `directory` is where relative files are sought first.
    Raises TraceError for a bad trace, ValueError for a synthetic workload without a horizon.
    """
    return _records(_columns(workload, horizon_s, seed, directory), chunk)


def workload_span_s(workload: Workload, horizon_s: float | None, directory: Path | None = None) -> float:
    """For how long requests arrive [s]: the horizon, or a trace's last arrival if that comes first (0 if it has one).

    Raises as `request_chunks` does.
    """
    if isinstance(workload.arrivals, Trace):
        last = float(_recording(workload.arrivals, directory).arrival_s[-1])
        return last if horizon_s is None else min(last, horizon_s)
    return _needed(horizon_s)


def _columns(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> list[Feed]:
    """Arrival times, input tokens and output tokens; the times end, the lengths need not."""
    if isinstance(workload.arrivals, Trace):
        recording = _recording(workload.arrivals, directory)
        kept = None if horizon_s is None else int(np.searchsorted(recording.arrival_s, horizon_s))
        return [Feed([column[:kept]]) for column in recording]
    lengths = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    return [
        Feed(arrival_blocks(workload.arrivals, _needed(horizon_s), seed)),
        *(Feed(length_blocks(given, seed, name)) for name, given in lengths.items() if given is not None),
    ]


def _records(columns: list[Feed], chunk: int) -> Iterator[Chunk]:
    """Columns put together, `chunk` requests at a time."""
    arrivals, inputs, outputs = columns
    first = 0
    while (times := arrivals.take(chunk)).size:
        requests = np.empty(times.size, REQUEST)
        requests["id"] = np.arange(first, first + times.size)
        requests["arrival_s"] = times
        requests["input_tokens"] = inputs.take(times.size)
        first += times.size
        yield requests, outputs.take(times.size)


def _recording(trace: Trace, directory: Path | None) -> Recording:
    """The whole trace as the scenario wants it replayed."""
    return read_azure(find_trace(trace.file, directory), trace.rate_scale, trace.limit)


def _needed(horizon_s: float | None) -> float:
    """The horizon of a synthetic workload, which does not end by itself."""
    if horizon_s is None:
        raise ValueError("horizon_s is missing: synthetic arrivals never end by themselves; say for how long they come")
    return horizon_s
