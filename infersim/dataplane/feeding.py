"""How requests get to the loop: chunk by chunk, with the names of their prefix blocks and with what they follow.

Not here: who draws them (`infersim/workload/`), and how the loop takes them from here (`reading.py`).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.arrays import Arrays
from infersim.dataplane.groups import Arrivals, Ints
from infersim.dataplane.layout import PoolCost, records_of
from infersim.dataplane.records import NONE, REQUEST, SEQUEL
from infersim.dataplane.rules import ServiceRules, client_records

Chunk = tuple[NDArray, NDArray] | tuple[NDArray, NDArray, NDArray] | tuple[NDArray, NDArray, NDArray, NDArray]
"""Requests sorted by time (REQUEST), their output lengths [tokens], the names of their prefix blocks (int64), and what
they follow (SEQUEL); the latter two where they are needed. Those that follow others have the arrival of the request with
which their chain begins, and stand right behind it and each other, so that a chain is in one piece. A request may be waited
for by any number of others that wait for it alone, and by one that waits for several."""

SourceChunk = tuple[NDArray, NDArray, NDArray] | tuple[NDArray, NDArray, NDArray, NDArray]
"""Requests of users in a closed loop (REQUEST, without times), their output lengths, the time to think before each [s],
and the names of their prefix blocks where they have any."""


class Feed:
    """What has not arrived yet, and where it goes when its turn comes."""

    def __init__(
        self,
        arrays: Arrays,
        pools: list[PoolCost],
        chunks: Iterable[Chunk],
        rules: ServiceRules | None,
        sources: Sequence[Iterable[SourceChunk]],
    ) -> None:
        """Chunks of requests by time, and a stream of them for each closed loop; the clients go by `rules`."""
        self._arrays, self._chunks = arrays, iter(chunks)
        self._streams: list[Iterator[SourceChunk]] = [iter(source) for source in sources]
        self._rules = rules or ServiceRules()
        self._shared = any(pool.queue_order == "fair_share" for pool in pools)
        rules, clock = self._rules, arrays.clock
        clock.max_wait_s, clock.last_arrival_s = rules.max_wait_s, rules.last_arrival_s
        clock.max_queued = NONE if rules.max_queued is None else rules.max_queued
        arrays.crowd = arrays.crowd._replace(clients=client_records(rules.clients, max(len(rules.clients), 1)))

    def next_chunk(self) -> None:
        """Let the next requests arrive. Raises ValueError if they cannot be served as they are."""
        arrays = self._arrays
        arrays.arrivals = Arrivals(records_of(0, REQUEST), np.zeros(0, np.int64))  # gone before the next are drawn
        arrays.clock.cursor = 0
        chunk = next(self._chunks, None)
        if chunk is None:
            arrays.clock.last_chunk = True
            return
        requests, outputs, *names = chunk
        coming = np.ascontiguousarray(requests, REQUEST)
        if names or len(arrays.engines.names):  # what says where their names are will change
            coming = coming.copy()
        arrays.arrivals = Arrivals(coming.view(np.recarray), np.ascontiguousarray(outputs, np.int64))
        self._expect(arrays.arrivals.requests)
        self._keep_names(names[0] if names else np.zeros(0, np.int64))
        if arrays.clock.watching:
            self._link(names[1] if len(names) > 1 else np.zeros(0, SEQUEL))
        elif len(names) > 1:
            raise ValueError("requests that follow others need rules: give ServiceRules(), were they empty")

    def refill(self, number: int) -> None:
        """Let a source have its next requests, behind what the others still have."""
        arrays, crowd = self._arrays, self._arrays.crowd
        chunk = next(self._streams[number], None)
        if chunk is None:
            crowd.sources[number].last = True
            return
        requests, outputs, gaps, *names = chunk
        new = np.array(requests, REQUEST).view(np.recarray)
        self._expect(new)
        if names:
            known = arrays.engines.names
            new.prefix_start += len(known)
            joined = np.ascontiguousarray(np.concatenate([known, names[0]]), np.int64)
            arrays.engines = arrays.engines._replace(names=joined)
        kept, moved = self._rows_to_come(), 0
        for source in crowd.sources:
            count = int(source.end - source.cursor)
            source.cursor, source.end = moved, moved + count
            moved += count
        crowd.sources[number].cursor, crowd.sources[number].end = moved, moved + len(new)
        arrays.crowd = arrays.crowd._replace(
            source_requests=np.concatenate([crowd.source_requests[kept], new]).view(np.recarray),
            source_outputs=np.concatenate([crowd.source_outputs[kept], np.asarray(outputs, np.int64)]),
            source_gaps=np.concatenate([crowd.source_gaps[kept], np.asarray(gaps, np.float64)]),
        )

    def _expect(self, requests: np.recarray) -> None:
        """Be ready for requests of these kinds and classes, which are about to arrive."""
        if not len(requests):
            return
        arrays = self._arrays
        tables, clients = arrays.pools.tables, arrays.crowd.clients
        forks = bool(requests.forks.max() > 0)
        if forks and tables.draft_tokens.any():
            first = requests.id[requests.forks > 0][0]
            raise ValueError(f"request {first} has several samples or beams, which draft tokens are not modelled for")
        served = np.zeros(len(requests), np.bool_)
        for model in set(tables.model.tolist()):
            served |= requests.model == model
        if not served.all():
            first = requests[~served][0]
            raise ValueError(f"request {first.id} asks for model {first.model}, which no pool serves")
        tables.plain_blocks &= not forks
        classes = int(requests.tenant.max()) + 1
        known = tables.classes[tables.classes > 0]
        if len(known) and classes > known.min():
            first = requests[requests.tenant >= known.min()][0]
            raise ValueError(
                f"request {first.id} is of class {first.tenant}, and a pool tells {known.min()} classes apart"
            )
        if self._shared and classes > arrays.engines.shares.shape[1]:
            arrays.grow_shares(classes)
        if arrays.clock.watching and classes > len(clients):
            more = client_records(self._rules.clients, classes)
            more[: len(clients)] = clients
            arrays.crowd = arrays.crowd._replace(clients=more)

    def _keep_names(self, names: Ints) -> None:
        """Append the prefix names of a new chunk to those that requests in flight still need, and forget the rest."""
        arrays = self._arrays
        known, asked, ahead = arrays.engines.names, arrays.roll.asked, arrays.crowd.source_requests
        if len(names) == 0 and len(known) == 0:
            return
        slots = arrays.slots_in_use
        starts = np.append(asked.prefix_start[slots], ahead.prefix_start[self._rows_to_come()])
        needed = int(starts.min()) if len(starts) else len(known)
        asked.prefix_start[slots] -= needed
        ahead.prefix_start -= needed
        kept = known[needed:]
        arrays.arrivals.requests.prefix_start += len(kept)
        joined = np.ascontiguousarray(np.concatenate([kept, names]), np.int64)
        arrays.engines = arrays.engines._replace(names=joined)

    def _rows_to_come(self) -> Ints:
        """Rows of the sources' requests that have not been sent."""
        spans = [np.arange(source.cursor, source.end) for source in self._arrays.crowd.sources]
        return np.concatenate([np.zeros(0, np.int64), *spans])

    def _link(self, sequels: NDArray) -> None:
        """Say where those stand that the requests of a new chunk follow: in it, or in flight."""
        arrays, linked = self._arrays, records_of(len(sequels), SEQUEL)
        linked[:] = sequels
        joins = np.where(linked.after < 0, 0, np.maximum(linked.joins, 1))
        ends = np.cumsum(joins)
        asked = np.repeat(linked.after - (ends - joins), joins) + np.arange(joins.sum())
        ids, rows = arrays.arrivals.requests.id, np.repeat(np.arange(len(linked)), joins)
        place = np.searchsorted(ids, asked)
        here = (place < len(ids)) & (ids[np.minimum(place, len(ids) - 1)] == asked) if len(ids) else asked < 0
        slots, known_ids = arrays.slots_in_use, arrays.roll.asked.id
        slots = slots[np.argsort(known_ids[slots], kind="stable")]
        known = known_ids[slots]
        before = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
        found = known[before] == asked if len(known) else np.zeros(len(asked), bool)
        chain = np.cumsum(joins == 0)  # a chain stands together, so that each is known before one it follows can end
        began = np.where(here, chain[np.minimum(place, len(ids) - 1)] if len(ids) else 0, 0)
        bad = np.flatnonzero(~np.where(here, place < rows, found) | (chain[rows] != began))
        if len(bad):
            one, other = int(ids[rows[bad[0]]]), int(asked[bad[0]])
            raise ValueError(
                f"request {one} follows request {other}, which is not in the same chain before it; give those that "
                "follow with the arrival of the request that their chain begins with, right behind it"
            )
        joined = asked[np.repeat(joins, joins) > 1]
        if len(np.unique(joined)) < len(joined):
            raise ValueError("two requests wait for several others each, one of which is the same")
        linked.joins, linked.after = joins, ends - joins
        predecessors = np.where(here, place, -2 - slots[before] if len(known) else 0).astype(np.int64)
        places = np.zeros(len(linked), np.int64)
        arrays.crowd = arrays.crowd._replace(sequels=linked, predecessors=predecessors, places=places)
