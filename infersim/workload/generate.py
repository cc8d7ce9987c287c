"""What arrives, as the data plane wants it: chunks of REQUEST records, and the output lengths that only it may know.

Read `traffic.py` (one class), `classes.py` (several) and `requests.py` (the columns) for the parts.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.chance import scattered
from infersim.dataplane.records import REQUEST
from infersim.spec.closed import ClosedLoop
from infersim.spec.workload import Workload
from infersim.workload.adapters import AdapterChoice
from infersim.workload.cascades import Calls
from infersim.workload.classes import mixed, prefix_tokens, user_lists
from infersim.workload.requests import NONE, Indices, Requests, rechunked
from infersim.workload.traces import TraceError, find_trace
from infersim.workload.traffic import traffic

__all__ = [
    "Offered",
    "TraceError",
    "find_trace",
    "prefix_tokens",
    "request_blocks",
    "request_chunks",
    "workload_span_s",
]

CHUNK = 1 << 16
"""Requests in a chunk unless the caller says otherwise."""

USERS = 1 << 12
"""Requests of users in a closed loop that are made at a time."""
IDS_OF_A_LIST = 40
"""Bits of the ids of one list of several."""
CELL_SALT = 1
"""Keeps the choice of a cell apart from the choice of rows."""
REMEMBERED = 1 << 21
"""Requests of a trace that are kept between looking for its end and replaying it; longer ones are read twice."""

Chunk = (
    tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int64]]
    | tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]
)
Listed = tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


class Offered:
    """What a workload sends, made once for a run: for how long, in which prefix blocks, and the requests themselves.

    A workload that ends by itself (a trace) is read to its end for `span_s`; up to REMEMBERED of its requests are kept
    then, so that `chunks` need not read and parse it again.
    """

    def __init__(
        self,
        workload: Workload,
        horizon_s: float | None,
        seed: int,
        directory: Path | None = None,
        deadlines_s: Sequence[float | None] = (),
        cell: tuple[int, int] = (0, 1),
        models: Sequence[int] = (),
    ) -> None:
        """Nothing is read or drawn yet. `deadlines_s` are the TTFT limits of the classes, in their order, `models` what they ask for.

        `cell` (number, of how many) has only those requests that the hash of their session, or else id, sends there.
        """
        self._workload, self._horizon_s, self._seed, self._directory = workload, horizon_s, seed, directory
        self._within = np.array([np.inf if limit is None else limit for limit in deadlines_s])
        self._cell, self._models = cell, np.array(models, np.int64)
        parts = workload.parts
        self._calls = Calls([part.cascade for part in parts], seed)
        self._within = self._within[self._calls.tenant] if self._within.size else self._within
        self._forks = np.array([part.width - 1 for part in parts])[self._calls.tenant]
        adapters = [part.adapters for part in parts]
        self._adapters = AdapterChoice(adapters, seed) if any(adapters) else None
        self._remembered: list[Requests] | None = None

    @cached_property
    def prefix_tokens(self) -> int:
        """Tokens in each named prefix block; 0 if requests name none."""
        return prefix_tokens(self._workload, self._directory)

    @cached_property
    def span_s(self) -> float:
        """For how long requests arrive [s]: the horizon, or a trace's last arrival if that comes first.

        Raises TraceError for a bad trace, ValueError for a synthetic workload without a horizon.
        """
        if not self._workload.ends:
            return _needed(self._horizon_s)
        last, count, kept = 0.0, 0, list[Requests]()
        horizon = np.inf if self._horizon_s is None else self._horizon_s
        for block in request_blocks(self._workload, None, self._seed, self._directory):
            last = float(block.arrival_s[-1]) if len(block) else last
            count += len(block)
            if count <= REMEMBERED:
                kept.append(block if last < horizon else block.part(0, int(np.searchsorted(block.arrival_s, horizon))))
            if last >= horizon:
                break
        self._remembered = kept if count <= REMEMBERED else None
        return min(last, float(horizon))

    def check(self) -> None:
        """Raise what reading all requests of a trace would raise."""
        _ = self.span_s

    def blocks(self) -> Iterator[Requests]:
        """The requests as columns; what `span_s` remembered is handed out once."""
        remembered, self._remembered = self._remembered, None
        if remembered is not None:
            return iter(remembered)
        return request_blocks(self._workload, self._horizon_s, self._seed, self._directory)

    @property
    def waits(self) -> bool:
        """Whether some requests wait for others, so that the data plane must watch who sends them."""
        return self._workload.waits

    def sources(self) -> list[Iterator[Listed]]:
        """What the users of each class send after their first requests, where they are in a closed loop.

        REQUEST records without times, output tokens, times to think [s], ids of prefix blocks. A class of one list
        numbers on from its first requests; of several, each begins at a number of its own.
        """
        workload = self._workload
        if not workload.waits:
            return []
        users = workload.arrivals.users if isinstance(workload.arrivals, ClosedLoop) else 0
        lists = user_lists(workload, self._seed, self._directory)
        return [
            self._list(own, users if workload.classes is None else (1 + index) << IDS_OF_A_LIST)
            for index, own in enumerate(lists)
        ]

    def _list(self, blocks: Iterator[Requests], first: int) -> Iterator[Listed]:
        """One of the sources."""
        numbered = _numbered(rechunked(_within(blocks, self._workload.max_context_tokens), USERS), first)
        for ids, chunk in self._of_cell(numbered):
            for records, outputs, prefixes, *_ in _records(iter([(ids, chunk)])):
                yield records, outputs, chunk.arrival_s, self._of_classes(records, prefixes)

    def chunks(self) -> Iterator[Chunk]:
        """The requests as the data plane takes them, with the time in which they should be begun."""
        blocks = self._calls.expanded(self.blocks()) if self._workload.cascades else self.blocks()
        for chunk in _records(self._of_cell(_numbered(rechunked(blocks, CHUNK)))):
            names = self._of_classes(chunk[0], chunk[2])
            if len(chunk) == 4:
                self._calls.decide(chunk[0], chunk[3])
                yield chunk[0], chunk[1], names, chunk[3]
            else:
                yield chunk[0], chunk[1], names

    def _of_cell(self, chunks: Iterator[tuple[Indices, Requests]]) -> Iterator[tuple[Indices, Requests]]:
        """Those requests that belong to the cell; all calls of a question do."""
        cell, cells = self._cell
        for ids, chunk in chunks:
            if cells > 1:
                key = np.where(chunk.session == NONE, ids - self._calls.step[chunk.tenant], chunk.session)
                mine = np.flatnonzero(scattered(key, CELL_SALT) % np.uint64(cells) == cell)
                ids, chunk = ids[mine], chunk.at(mine)
            yield ids, chunk

    def _of_classes(self, records: NDArray[np.void], prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Fill in what goes by class: deadlines, models, samples and adapters; return the names of the prefix blocks."""
        if self._within.size:
            records["deadline_s"] = self._within[records["tenant"]]
        if self._models.any():
            records["model"] = self._models[records["tenant"]]
        if self._forks.any():
            records["forks"] = self._forks[records["tenant"]]
        return prefixes if self._adapters is None else self._adapters.name(records, prefixes)


def request_chunks(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None = None, chunk: int = CHUNK
) -> Iterator[Chunk]:
    """Requests that arrive in [0, horizon_s): REQUEST records (n,), output tokens (n,), ids of blocks; n <= chunk.

    Ids count from 0. The chunk size cuts the sequence and changes no byte of it. A trace ends with its last request if
    that comes first; its beginning is read and checked before this returns. `directory` is where relative files are
    sought first. Raises TraceError for a bad trace, ValueError for a synthetic workload without a horizon.
    """
    return _records(_numbered(rechunked(request_blocks(workload, horizon_s, seed, directory), chunk)))


def request_blocks(
    workload: Workload, horizon_s: float | None, seed: int, directory: Path | None = None
) -> Iterator[Requests]:
    """The same requests as columns, in blocks of any size; raises as `request_chunks` does."""
    blocks = _source(workload, horizon_s, seed, directory)
    return chain([first] if (first := next(blocks, None)) is not None else [], blocks)


def workload_span_s(workload: Workload, horizon_s: float | None, directory: Path | None = None) -> float:
    """As `Offered.span_s`, of a workload's first seed."""
    return Offered(workload, horizon_s, 0, directory).span_s


def _source(workload: Workload, horizon_s: float | None, seed: int, directory: Path | None) -> Iterator[Requests]:
    """The requests of all classes, within the longest context."""
    horizon = horizon_s if workload.ends else _needed(horizon_s)
    if workload.classes is None:
        blocks = traffic(workload, horizon, seed, directory)
    else:
        blocks = mixed(workload, horizon, seed, directory)
    return _within(blocks, workload.max_context_tokens)


def _within(blocks: Iterator[Requests], most: int | None) -> Iterator[Requests]:
    """The requests within the longest context, if there is one."""
    return blocks if most is None else (_cut(block, most) for block in blocks)


def _cut(block: Requests, most: int) -> Requests:
    """Prompt and output within a context of `most` tokens: prompts are cut first, then outputs; blocks beyond go."""
    inputs = np.minimum(block.input_tokens, most - 1)
    outputs = np.minimum(block.output_tokens, most - inputs)
    if block.prefixes.size and (inputs < block.input_tokens).any():
        block = _first_blocks(block, block.prefix_blocks * inputs // np.maximum(block.input_tokens, 1))
    return block.with_columns(input_tokens=inputs, output_tokens=outputs)


def _first_blocks(block: Requests, counts: NDArray[np.int64]) -> Requests:
    """The requests with only the first blocks of their prompts."""
    place = np.arange(block.prefixes.size) - np.repeat(block.prefix_start, block.prefix_blocks)
    kept = block.prefixes[place < np.repeat(counts, block.prefix_blocks)]
    return block.with_columns(prefix_blocks=counts, prefixes=kept)


def _numbered(chunks: Iterator[Requests], first: int = 0) -> Iterator[tuple[Indices, Requests]]:
    """The requests with their ids, which count from `first`."""
    for chunk in chunks:
        yield np.arange(first, first + len(chunk)), chunk
        first += len(chunk)


def _records(chunks: Iterator[tuple[Indices, Requests]]) -> Iterator[Chunk]:
    """Columns as the data plane's records."""
    blank = np.zeros((), REQUEST)
    blank["session"], blank["deadline_s"] = NONE, np.inf
    for ids, chunk in chunks:
        records = np.full(len(chunk), blank)
        records["id"] = ids
        records["arrival_s"] = chunk.arrival_s
        records["input_tokens"] = chunk.input_tokens
        for name in ("tenant", "priority", "session", "prefix_start", "prefix_blocks"):
            column = getattr(chunk, name)
            if (column != blank[name]).any():
                records[name] = column
        if not chunk.sequels.size:
            yield records, chunk.output_tokens, chunk.prefixes
            continue
        sequels = chunk.sequels.copy()
        sequels["after"] = np.where(sequels["joins"] > 0, ids - sequels["after"], NONE)
        yield records, chunk.output_tokens, chunk.prefixes, sequels


def _needed(horizon_s: float | None) -> float:
    """The horizon of a synthetic workload, which does not end by itself."""
    if horizon_s is None:
        raise ValueError("horizon_s is missing: synthetic arrivals never end by themselves; say for how long they come")
    return horizon_s
