"""Requests as columns: what every source of traffic gives, a file and a generator alike.

Not here: where they come from (`generate.py`, `replay.py`, `formats/`) and the data plane's records.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.records import SEQUEL

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NONE = -1
"""No session."""
MOST_IDS = 1 << 22
"""About the most prefix blocks held at a time."""


@dataclass(frozen=True)
class Requests:
    """Some requests, arrays of one length; prefix blocks lie one request after the other in `prefixes`."""

    arrival_s: Floats
    """When the client sent it [s]; NaN where a recording has no times."""
    input_tokens: Indices
    output_tokens: Indices
    tenant: Indices
    """Index of the class."""
    priority: Indices
    session: Indices
    """Requests of one session share a number; -1 none."""
    prefix_blocks: Indices
    """How many blocks of its prompt are known by content."""
    line: Indices
    """Line, or row, of the file it was read from; 0 for drawn requests."""
    prefixes: Indices
    """Ids of those blocks: equal ids are equal prompts up to and including that block."""
    sequels: NDArray[np.void]
    """SEQUEL of each, `after` counting rows backwards from it; empty if none follows another or belongs to a user."""
    images: Indices
    """How many images its prompt has; empty if none has any."""

    def __len__(self) -> int:
        """How many requests."""
        return self.arrival_s.size

    @property
    def prefix_start(self) -> Indices:
        """Where each request's blocks begin in `prefixes`."""
        return np.cumsum(self.prefix_blocks) - self.prefix_blocks

    def at(self, rows: NDArray) -> "Requests":
        """The requests at these places (indices, or a mask), in that order."""
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        for name in _OPTIONAL:
            columns[name] = getattr(self, name)[rows] if getattr(self, name).size else getattr(self, name)
        if not self.prefixes.size:
            return Requests(**columns, prefixes=self.prefixes)
        counts = columns["prefix_blocks"]
        first = np.repeat(self.prefix_start[rows] - (np.cumsum(counts) - counts), counts)
        return Requests(**columns, prefixes=self.prefixes[first + np.arange(first.size)])

    def part(self, first: int, end: int) -> "Requests":
        """The requests from `first` up to `end`, without copying."""
        start = self.prefix_start
        bounds = np.append(start, self.prefixes.size)[[min(first, len(self)), min(end, len(self))]]
        columns = {name: getattr(self, name)[first:end] for name in (*_COLUMNS, *_OPTIONAL)}
        return Requests(**columns, prefixes=self.prefixes[bounds[0] : bounds[1]])

    def with_columns(self, **columns: NDArray) -> "Requests":
        """The same requests with some columns replaced."""
        return replace(self, **columns)


_OPTIONAL = ("sequels", "images")
_COLUMNS = tuple(field.name for field in fields(Requests) if field.name not in ("prefixes", *_OPTIONAL))


def no_sequels(count: int) -> NDArray[np.void]:
    """SEQUEL of requests that follow nothing."""
    blank = np.zeros((), SEQUEL)
    blank["after"] = blank["source"] = NONE
    return np.full(count, blank)


def requests(
    arrival_s: Floats,
    input_tokens: Indices,
    output_tokens: Indices,
    tenant: Indices | int = 0,
    priority: int = 0,
    session: Indices | None = None,
    prefix_blocks: Indices | None = None,
    prefixes: Indices | None = None,
    line: Indices | None = None,
    sequels: NDArray[np.void] | None = None,
    images: Indices | None = None,
) -> Requests:
    """Requests with the usual values of what is not given: class 0, no session, no known blocks, no images."""
    count = arrival_s.size
    return Requests(
        arrival_s=arrival_s,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        tenant=np.full(count, tenant, np.int64) if isinstance(tenant, int) else tenant,
        priority=np.full(count, priority, np.int64),
        session=np.full(count, NONE, np.int64) if session is None else session,
        prefix_blocks=np.zeros(count, np.int64) if prefix_blocks is None else prefix_blocks,
        line=np.zeros(count, np.int64) if line is None else line,
        prefixes=np.empty(0, np.int64) if prefixes is None else prefixes,
        sequels=np.empty(0, SEQUEL) if sequels is None else sequels,
        images=np.empty(0, np.int64) if images is None else images,
    )


def joined(parts: Iterable[Requests]) -> Requests:
    """Requests one after the other."""
    parts = [part for part in parts if len(part)] or [
        requests(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    ]
    if len(parts) == 1:
        return parts[0]
    if any(part.sequels.size for part in parts):
        parts = [part if part.sequels.size else part.with_columns(sequels=no_sequels(len(part))) for part in parts]
    if any(part.images.size for part in parts):
        none = [np.zeros(len(part), np.int64) for part in parts]
        parts = [part if part.images.size else part.with_columns(images=n) for part, n in zip(parts, none, strict=True)]
    return Requests(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Requests)}
    )


def rechunked(blocks: Iterable[Requests], size: int) -> Iterator[Requests]:
    """The same requests, `size` at a time; fewer at the end and where their prefixes have MOST_IDS blocks."""
    waiting: list[Requests] = []
    count = ids = 0
    for block in blocks:
        if ids + block.prefixes.size > MOST_IDS and count:
            yield joined(waiting)
            waiting, count, ids = [], 0, 0
        waiting.append(block)
        count += len(block)
        ids += block.prefixes.size
        if count < size:
            continue
        whole = joined(waiting)
        cut = count - count % size
        yield from (whole.part(first, first + size) for first in range(0, cut, size))
        waiting, count = [whole.part(cut, count)], count - cut
        ids = waiting[0].prefixes.size
    if count:
        yield joined(waiting)
