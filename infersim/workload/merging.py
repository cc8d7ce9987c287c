"""Several arrival processes as one, in order of time and in bounded memory; and requests that come in batches.

Not here: the single processes (`renewal.py`, `modulated.py`). Read `clients.py` next.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.workload.renewal import Times

Indices = NDArray[np.int64]


class _Line:
    """One sorted stream, read up to a time."""

    def __init__(self, blocks: Iterator[Times]) -> None:
        self._blocks = blocks
        self._rest: Times = np.empty(0)
        self.ended = False

    def until(self, end_s: float) -> Times:
        """All times before `end_s` that have not been read."""
        pieces = []
        while not self.ended:
            kept = int(np.searchsorted(self._rest, end_s))
            pieces.append(self._rest[:kept])
            self._rest = self._rest[kept:]
            if self._rest.size:
                break
            block = next(self._blocks, None)
            self.ended = block is None
            self._rest = np.empty(0) if block is None else block
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0), *pieces])


def merged(streams: Sequence[Iterator[Times]], slice_s: float) -> Iterator[tuple[Times, Indices]]:
    """Times of all streams in order, and which stream each came from; ties in the order of the streams.

    Works through slices of time of the given width, which should hold some ten thousand arrivals; the memory is that
    of a slice.
    """
    lines = [_Line(blocks) for blocks in streams]
    count = 0
    while not all(line.ended for line in lines):
        count += 1
        parts = [line.until(count * slice_s) for line in lines]
        times = np.concatenate(parts)
        order = np.argsort(times, kind="stable")
        yield times[order], np.repeat(np.arange(len(parts)), [part.size for part in parts])[order]


def batched(
    starts: Iterator[Times], sizes: Iterator[Indices], spread_s: float, horizon_s: float, rng: np.random.Generator
) -> Iterator[Times]:
    """`size` requests for each batch, every one an exponential time of mean `spread_s` after the batch begins.

    Nothing is left of batches from before 0, so the rate needs a few `spread_s` to build up. A request waits in memory
    until no later batch can begin before it.
    """
    waiting: Times = np.empty(0)
    rest: Indices = np.empty(0, np.int64)
    for begun in starts:
        while rest.size < begun.size:
            rest = np.concatenate([rest, next(sizes)])
        count, rest = rest[: begun.size], rest[begun.size :]
        times = np.repeat(begun, count)
        if spread_s:
            times = np.sort(np.concatenate([waiting, times + spread_s * rng.standard_exponential(times.size)]))
            known = int(np.searchsorted(times, begun[-1])) if begun.size else 0
            times, waiting = times[:known], times[known:]
        yield times[: int(np.searchsorted(times, horizon_s))]
    yield waiting[: int(np.searchsorted(waiting, horizon_s))]
