"""What arrives, as the data plane wants it: chunks of REQUEST records, and the output lengths that only it may know.

Read `streams.py` (random streams), `arrivals.py`, `lengths.py` and `replay.py` for the parts.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.records import REQUEST
from infersim.spec.arrivals import Trace
from infersim.spec.workload import Workload
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.lengths import length_blocks, partner_blocks
from infersim.workload.replay import replay_blocks
from infersim.workload.requests import Requests, rechunked, requests
from infersim.workload.streams import Feed
from infersim.workload.traces import TraceError, find_trace

__all__ = ["TraceError", "find_trace", "request_blocks", "request_chunks", "workload_span_s"]

CHUNK = 1 << 16
"""Requests in a chunk unless the caller says otherwise."""

Chunk = tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int64]]


def request_chunks(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None = None, chunk: int = CHUNK
) -> Iterator[Chunk]:
    """Requests that arrive in [0, horizon_s), in order: REQUEST records (n,), output tokens (n,), block ids; n <= chunk.

    Ids count from 0. The chunk size cuts the sequence and changes no byte of it. A trace ends with its last request if
    that comes first; its beginning is read and checked before this returns. `directory` is where relative files are
    sought first. Raises TraceError for a bad trace, ValueError for a synthetic workload without a horizon.
    """
    return _records(rechunked(request_blocks(workload, horizon_s, seed, directory), chunk))


def request_blocks(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None = None
) -> Iterator[Requests]:
    """The same requests as columns, in blocks of any size; raises as `request_chunks` does."""
    blocks = _source(workload, horizon_s, seed, directory)
    return chain([first] if (first := next(blocks, None)) is not None else [], blocks)


def workload_span_s(workload: Workload, horizon_s: float | None, directory: Path | None = None) -> float:
    """For how long requests arrive [s]: the horizon, or a trace's last arrival if that comes first (0 if it has one).

    Raises as `request_chunks` does.
    """
    if not workload.ends:
        return _needed(horizon_s)
    last = 0.0
    for block in request_blocks(workload, None, 0, directory):
        last = float(block.arrival_s[-1]) if len(block) else last
        if horizon_s is not None and last >= horizon_s:
            return horizon_s
    return last


def _source(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> Iterator[Requests]:
    """A trace's requests, or arrivals with lengths."""
    if isinstance(workload.arrivals, Trace):
        return replay_blocks(workload.arrivals, horizon_s, seed, directory)
    return _drawn(workload, _needed(horizon_s), seed, directory)


def _drawn(workload: Workload, horizon_s: float, seed: int, directory: Path | None) -> Iterator[Requests]:
    """Arrivals of a process, with lengths drawn for each."""
    inputs, outputs = (Feed(blocks) for blocks in paired_lengths(workload, seed, directory))
    for times in arrival_blocks(workload.arrivals, horizon_s, seed, directory):
        yield requests(times, inputs.take(times.size), outputs.take(times.size))


def paired_lengths(
    workload: Workload, seed: int, directory: Path | None, prefix: str = ""
) -> tuple[Iterator[NDArray[np.int64]], Iterator[NDArray[np.int64]]]:
    """Prompt and output lengths for ever, with the stated rank correlation."""
    assert workload.input_tokens is not None
    assert workload.output_tokens is not None
    names = f"{prefix}input_tokens", f"{prefix}output_tokens"
    if not workload.length_correlation:
        pair = workload.input_tokens, workload.output_tokens
        return tuple(length_blocks(law, seed, name, directory) for law, name in zip(pair, names, strict=True))  # type: ignore[return-value]
    return (
        partner_blocks(workload.input_tokens, seed, names[0], directory),
        length_blocks(workload.output_tokens, seed, names[1], directory, names[0], workload.length_correlation),
    )


def _records(chunks: Iterator[Requests]) -> Iterator[Chunk]:
    """Columns as the data plane's records."""
    first = 0
    for chunk in chunks:
        records = np.zeros(len(chunk), REQUEST)
        records["id"] = np.arange(first, first + len(chunk))
        records["arrival_s"] = chunk.arrival_s
        records["deadline_s"] = np.inf
        for name in ("input_tokens", "tenant", "priority", "session", "prefix_start", "prefix_blocks"):
            records[name] = getattr(chunk, name)
        first += len(chunk)
        yield records, chunk.output_tokens, chunk.prefixes


def _needed(horizon_s: float | None) -> float:
    """The horizon of a synthetic workload, which does not end by itself."""
    if horizon_s is None:
        raise ValueError("horizon_s is missing: synthetic arrivals never end by themselves; say for how long they come")
    return horizon_s
