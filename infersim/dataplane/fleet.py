"""The door of the data plane: casts and checks what comes in, owns the arrays, grows them, and calls the loop.

Everything that changes the fleet from outside goes through the verbs of `Fleet`. Not here: who calls them and when
(`infersim/controlplane/`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane import abi, failing, loop, progress
from infersim.dataplane.agenda import SLOT_BITS
from infersim.dataplane.faults import PolicyFault, exceptions_of_policies
from infersim.dataplane.layout import PoolCost, flattened, records_of, replay, tally_of, winner_tree
from infersim.dataplane.records import (
    ADAPTER,
    AHEAD,
    ASKED,
    AWAY,
    CALL,
    CLOCK,
    CLOSED,
    DECODE_ONLY,
    DRAINING,
    ENTRY,
    FLIGHT,
    LEAVING,
    NONE,
    OUTCOME,
    QUEUE_ORDER,
    READY,
    REPLICA,
    REQUEST,
    ROUTER,
    SENDING,
    SEQUEL,
    SERVER,
    SHARE,
    SOURCE,
    STATE,
    STEP,
)
from infersim.dataplane.rules import ServiceRules, client_records
from infersim.dataplane.sequences import NEVER
from infersim.dataplane.tally import Tally, itl_edges

__all__ = ["Chunk", "Fleet", "Occupancy", "PolicyFault", "PoolCost", "Wake", "Why"]

Chunk = tuple[NDArray, NDArray] | tuple[NDArray, NDArray, NDArray] | tuple[NDArray, NDArray, NDArray, NDArray]
"""Requests sorted by time (REQUEST), their output lengths [tokens], the names of their prefix blocks (int64), and what
they follow (SEQUEL); the latter two where they are needed. Those that follow others have the arrival of the request with
which their chain begins, and stand right behind it and each other, so that a chain is in one piece. A request may be waited
for by any number of others that wait for it alone, and by one that waits for several."""

SourceChunk = tuple[NDArray, NDArray, NDArray] | tuple[NDArray, NDArray, NDArray, NDArray]
"""Requests of users in a closed loop (REQUEST, without times), their output lengths, the time to think before each [s],
and the names of their prefix blocks where they have any."""

Sink = Callable[[NDArray], None]
"""What takes ended requests (OUTCOME), batch after batch."""

SIGNALS = ("usd_per_hour", "grams_per_kwh", "sun")
"""What the control plane tells routers of a pool."""

_OUTCOME_ROWS = 1 << 15


class Why(IntEnum):
    """Why the fleet stopped."""

    ON_TIME = loop.ON_TIME
    DRAINED = loop.DRAINED
    HELD = loop.HELD_EDGE
    LEAVING = loop.LEAVING_EDGE
    FINISHED = loop.ALL_FINISHED


@dataclass(frozen=True)
class Wake:
    """The moment at which the fleet stopped."""

    time: float
    why: Why
    replica: int = NONE
    """The replica that drained, if one did."""


@dataclass(frozen=True)
class Occupancy:
    """What one pool holds at a moment."""

    ready: int
    draining: int
    waiting: int
    running: int
    kv_blocks_used: int
    kv_blocks: int
    routed: int
    ended: int


class Fleet:
    """All replicas of all pools, the requests in flight, and the clock of the data plane.

    `chunks` yields requests sorted by arrival; ids must rise. `route` is a compiled routing policy. Ended requests are
    handed in batches to `sink` (an OUTCOME array, in order of ending) or, without one, kept for `outcomes()`.
    `by_load` says that the router's answer is always the replica with the fewest requests outstanding, the lowest index
    on ties, which is kept as a tree instead of asking. `reads` names the signals beyond the counts that the router
    reads (kv, prefix); with `scrape_s` it sees the
    replicas as they were at the last multiple of so many seconds. `order(pool, request)` is the compiled key of pools
    whose queue order is `own`, `shape(pool, state)` the answer of those whose batching is.
    `rules` say what clients put up with, and let requests follow others;
    `sources` are streams of what users in closed loops send (a SEQUEL says whose user sends a request of `chunks`).
    """

    def __init__(
        self,
        pools: list[PoolCost],
        chunks: Iterable[Chunk],
        route: Callable,
        sink: Sink | None = None,
        reads: frozenset[str] = frozenset(),
        scrape_s: float = 0.0,
        by_load: bool = False,
        order: Callable | None = None,
        shape: Callable | None = None,
        rules: ServiceRules | None = None,
        sources: Sequence[Iterable[SourceChunk]] = (),
    ) -> None:
        """An empty fleet at time 0."""
        self._route = route
        self._order = order or abi.compiled_policy(abi.no_order, abi.ORDER)
        self._shape = shape or abi.compiled_policy(abi.no_shape, abi.SHAPE)
        self._chunks: Iterator[Chunk] = iter(chunks)
        self._kept: list[NDArray] = []
        self._sink = sink or self._kept.append
        self._clocks = records_of(1, CLOCK)
        self._clock = self._clocks[0]
        self._clock.reads_kv, self._clock.reads_prefix = "kv" in reads, "prefix" in reads
        self._clock.reads_network = "network" in reads
        self._clock.selective = any(
            pool.min_input_tokens > 1 or pool.max_input_tokens < 2**62 or not all(pool.takes) for pool in pools
        )
        self._clock.by_load = by_load and scrape_s == 0 and not self._clock.selective
        self._clock.scrape_s = scrape_s
        self._clock.held_head = self._clock.held_tail = NONE
        self._clock.leaving_head = self._clock.leaving_tail = NONE
        self._clock.forming = NONE
        self._requests, self._outputs = records_of(0, REQUEST), np.zeros(0, np.int64)
        self._tables, self._values, self._counts = flattened(pools)
        self._edges = itl_edges()
        self._stride = max(pool.max_num_seqs for pool in pools)
        self._phase_count = max(pool.block_size for pool in pools)
        self._outcomes = records_of(_OUTCOME_ROWS + self._stride + 1, OUTCOME)
        self._step, self._state = records_of(1, STEP), records_of(1, STATE)
        self._names = np.zeros(0, np.int64)
        self._entries = max(
            (pool.blocks * pool.block_size // pool.prefix_tokens if pool.prefix_tokens else 0) + pool.host_entries
            for pool in pools
        )
        self._buckets = 1 << (2 * self._entries).bit_length()
        self._memory = np.zeros(loop.ROUTER_MEMORY, np.int64)
        self._routable = np.zeros(0, np.int64)
        self._shared = any(pool.queue_order == "fair_share" for pool in pools)
        self._tenants, self._most_slots = 1, max(pool.adapter_slots for pool in pools)
        self._serials = 0
        self.taps: list[Callable[[NDArray], None]] = []
        """Who sees ended requests (OUTCOME) before they are handed on."""
        self._opened_s: dict[int, float] = {}
        self._up = [[0, 0.0, 0.0] for _ in pools]  # live replicas, sum of when they opened, seconds of closed ones
        self._watch(rules, sources)
        self._make_slots(1024)
        self._make_replicas(1)

    # ------------------------------------------------------------ time

    @property
    def now(self) -> float:
        """The clock [s]."""
        return float(self._clock.now_s)

    @property
    def in_flight(self) -> int:
        """Requests that arrived and have not ended."""
        return int(self._clock.in_flight)

    @property
    def held(self) -> int:
        """Requests without a replica."""
        return int(self._clock.held)

    def held_for(self, pool: int) -> int:
        """Requests that wait for a replica of this pool's role: for a decode pool, sequences that nobody receives."""
        return int(self._clock.leaving if self.receives(pool) else self._clock.held)

    def receives(self, pool: int) -> bool:
        """Whether a pool's replicas receive sequences from prefill pools, instead of requests."""
        return bool(self._tables[pool].role == DECODE_ONLY)

    def advance(self, until: float) -> Wake:
        """Serve until `until` [s], inclusive, or an edge, whichever is first.

        Raises PolicyFault if a policy raised or answered what it must not.
        """
        while True:
            why = loop.BAD_ANSWER  # unless it says otherwise
            with exceptions_of_policies(self._note_raised) as raised:
                why = self._call(until)
            if why == loop.STARVED:
                self._feed()
            elif why == loop.SOURCE_EMPTY:
                self._refill(int(self._clock.culprit))
            elif why == loop.SLOTS_FULL:
                self._make_slots(2 * len(self._flights))
            elif why == loop.OUTCOMES_FULL:
                self._retire()
            elif why == loop.BAD_ANSWER:
                raise self._fault() from (raised[0] if raised else None)
            else:
                replica = int(self._clock.culprit) if why == loop.DRAINED else NONE
                return Wake(self.now, Why(why), replica)

    def _note_raised(self) -> None:
        self._clock.raised = True

    def _fault(self) -> PolicyFault:
        """What is known of the policy that was asked last."""
        asked, culprit = int(self._clock.asking), int(self._clock.culprit)
        name, time_s = ASKED[asked], self.now
        if asked == ROUTER:
            return PolicyFault(name, time_s, None, culprit)
        if asked == QUEUE_ORDER:
            slot = int(np.flatnonzero(self._asked.id == culprit)[-1])
            pool, key = int(self._replicas[self._flights[slot].replica].pool), float(self._flights[slot].key)
            return PolicyFault(name, time_s, pool, culprit, answer=key)
        server, step, replica = self._servers[culprit], self._step[0], self._replicas[culprit]
        slot = int(server.queue_head if server.queue_head != NONE else server.batch_head)
        answer = (int(step.prompt_tokens), int(step.decode), int(step.admit))
        return PolicyFault(name, time_s, int(replica.pool), int(self._asked[slot].id), int(replica.serial), answer)

    def _call(self, until: float) -> int:
        """Call the compiled loop with all that is there."""
        run = _compiled_loop()
        return run(
            until, self._factor, self._victims, self._route, self._order, self._shape, self._clocks, self._requests, self._outputs,
            self._asked, self._flights, self._free_slots, self._due_s, self._due_order, self._due_slot,
            self._replicas, self._seen, self._servers, self._routable, self._receivers, self._memory, self._loads,
            self._load_tree, self._keys, self._tree, self._finishes, self._phases, self._caches, self._lookups,
            self._names, self._shares, self._slots, self._step, self._state, self._tables, self._values, self._counts, self._edges, self._outcomes,
            self._calls, self._alarms, self._clients, self._sequels, self._predecessors, self._places,
            self._sources, self._source_requests, self._source_outputs, self._source_gaps,
        )  # fmt: skip

    def _feed(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._clock.last_chunk = True
            return
        requests, outputs, *names = chunk
        self._requests = records_of(len(requests), REQUEST)
        self._requests[:] = requests
        self._expect(self._requests)
        self._keep_names(names[0] if names else np.zeros(0, np.int64))
        self._outputs = np.ascontiguousarray(outputs, np.int64)
        self._clock.cursor = 0
        if self._clock.watching:
            self._link(names[1] if len(names) > 1 else np.zeros(0, SEQUEL))
        elif len(names) > 1:
            raise ValueError("requests that follow others need rules: give ServiceRules(), were they empty")

    def _expect(self, requests: np.recarray) -> None:
        """Be ready for requests of these kinds and classes, which are about to arrive."""
        if not len(requests):
            return
        if requests.forks.any() and self._tables.draft_tokens.any():
            first = requests.id[requests.forks > 0][0]
            raise ValueError(f"request {first} has several samples or beams, which draft tokens are not modelled for")
        self._tables.plain_blocks &= not requests.forks.any()
        classes = int(requests.tenant.max()) + 1
        if self._shared and classes > self._tenants:
            self._make_shares(len(self._replicas), classes)
        if self._clock.watching and classes > len(self._clients):
            old, self._clients = self._clients, client_records(self._rules.clients, classes)
            self._clients[: len(old)] = old

    def _keep_names(self, names: NDArray[np.int64]) -> None:
        """Append the prefix names of a new chunk to those that requests in flight still need, and forget the rest."""
        if len(names) == 0 and len(self._names) == 0:
            return
        slots = self._slots_in_use()
        starts = self._asked.prefix_start[slots]
        starts = np.append(starts, self._source_requests.prefix_start[self._rows_to_come()])
        needed = int(starts.min()) if len(starts) else len(self._names)
        self._asked.prefix_start[slots] -= needed
        self._source_requests.prefix_start -= needed
        kept = self._names[needed:]
        self._requests.prefix_start += len(kept)
        self._names = np.ascontiguousarray(np.concatenate([kept, names]), np.int64)

    def _retire(self) -> None:
        rows = int(self._clock.outcomes)
        if rows:
            for tap in self.taps:
                tap(self._outcomes[:rows])
            self._sink(np.array(self._outcomes[:rows], OUTCOME))
        self._clock.outcomes = 0

    # ------------------------------------------------------------ clients

    def _watch(self, rules: ServiceRules | None, sources: Sequence[Iterable[SourceChunk]]) -> None:
        """Prepare for what clients do."""
        clock = self._clock
        clock.watching = rules is not None or len(sources) > 0
        rules = rules or ServiceRules()
        self._rules, self._streams = rules, [iter(source) for source in sources]
        clock.max_wait_s, clock.last_arrival_s = rules.max_wait_s, rules.last_arrival_s
        clock.max_queued = NONE if rules.max_queued is None else rules.max_queued
        clock.ended_head = NONE
        self._clients = client_records(rules.clients, max(len(rules.clients), 1))
        self._sequels, self._places = records_of(0, SEQUEL), np.zeros(0, np.int64)
        self._predecessors = np.zeros(0, np.int64)
        self._sources = records_of(len(sources), SOURCE)
        self._source_requests, self._source_outputs = records_of(0, REQUEST), np.zeros(0, np.int64)
        self._source_gaps = np.zeros(0)
        self._factor, self._victims = 1.0, np.zeros(0, np.int64)

    def _link(self, sequels: NDArray) -> None:
        """Say where those stand that the requests of a new chunk follow: in it, or in flight."""
        self._sequels = records_of(len(sequels), SEQUEL)
        self._sequels[:] = sequels
        self._places = np.zeros(len(sequels), np.int64)
        joins = np.where(self._sequels.after < 0, 0, np.maximum(self._sequels.joins, 1))
        ends = np.cumsum(joins)
        asked = np.repeat(self._sequels.after - (ends - joins), joins) + np.arange(joins.sum())
        ids, rows = self._requests.id, np.repeat(np.arange(len(sequels)), joins)
        place = np.searchsorted(ids, asked)
        here = (place < len(ids)) & (ids[np.minimum(place, len(ids) - 1)] == asked) if len(ids) else asked < 0
        slots = self._slots_in_use()
        slots = slots[np.argsort(self._asked.id[slots], kind="stable")]
        known = self._asked.id[slots]
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
        self._predecessors = np.where(here, place, -2 - slots[before] if len(known) else 0).astype(np.int64)
        self._sequels.joins, self._sequels.after = joins, ends - joins

    def _rows_to_come(self) -> NDArray[np.int64]:
        """Rows of the sources' requests that have not been sent."""
        spans = [np.arange(source.cursor, source.end) for source in self._sources]
        return np.concatenate([np.zeros(0, np.int64), *spans])

    def _refill(self, number: int) -> None:
        """Let a source have its next requests, behind what the others still have."""
        chunk = next(self._streams[number], None)
        if chunk is None:
            self._sources[number].last = True
            return
        requests, outputs, gaps, *names = chunk
        new = records_of(len(requests), REQUEST)
        new[:] = requests
        self._expect(new)
        if names:
            new.prefix_start += len(self._names)
            self._names = np.ascontiguousarray(np.concatenate([self._names, names[0]]), np.int64)
        kept, moved = self._rows_to_come(), 0
        for source in self._sources:
            count = int(source.end - source.cursor)
            source.cursor, source.end = moved, moved + count
            moved += count
        self._sources[number].cursor, self._sources[number].end = moved, moved + len(new)
        self._source_requests = np.concatenate([self._source_requests[kept], new]).view(np.recarray)
        self._source_outputs = np.concatenate([self._source_outputs[kept], np.asarray(outputs, np.int64)])
        self._source_gaps = np.concatenate([self._source_gaps[kept], np.asarray(gaps, np.float64)])

    # ------------------------------------------------------------ verbs

    def open(self, pool: int, serial: int | None = None) -> int:
        """Add a ready replica to `pool` now; return its index (the lowest free one).

        `serial` names this replica's life in the outcomes; lives are counted from 0 without it.
        """
        closed = np.flatnonzero(self._replicas.status == CLOSED)
        if len(closed) == 0:
            self._make_replicas(2 * len(self._replicas))
            return self.open(pool, serial)
        index = int(closed[0])
        table = self._tables[pool]
        # Item by item: setting an attribute of a record takes eight microseconds.
        self._replicas[index], self._servers[index] = np.zeros((), REPLICA), np.zeros((), SERVER)
        replica, server = self._replicas[index], self._servers[index]
        replica["pool"], replica["status"] = pool, READY
        replica["serial"] = self._serials if serial is None else serial
        for name in ("max_num_seqs", "prompt_token_s", *SIGNALS):
            replica[name] = table[name]
        replica["kv_blocks"] = server["kv_free"] = table["blocks"]
        self._seen[index] = replica
        server["last_start_s"], server["slowdown"] = math.inf, 1.0
        server["host_room"], server["crossing"] = table["host_entries"], NEVER
        for end in (
            "batch_head", "batch_tail", "prefilling", "queue_head", "queue_tail", "oldest", "newest", "host_oldest",
            "host_newest",
        ):  # fmt: skip
            server[end] = NONE
        self._lookups[index] = 0
        self._caches[index]["newer"] = np.append(np.arange(1, self._entries), NONE)[: self._entries]
        server["spare"] = 0 if self._entries else NONE
        self._phases[index] = 0
        server["index"], server["last_tenant"] = index, NONE
        self._shares[index] = np.zeros((), SHARE)
        self._slots[index] = np.zeros((), ADAPTER)
        self._serials += 1
        self._opened_s[index] = self.now
        self._up[pool][0] += 1
        self._up[pool][1] += self.now
        self._note_ready(index, True)
        return index

    def drain(self, replica: int, migrate: bool = False) -> bool:
        """Route nothing more to a replica; return whether it is empty already (else a DRAINED wake follows).

        `migrate` hands what has not started there back to the router.
        """
        if self._replicas["status"][replica] == READY:
            self._note_ready(replica, False)
        self._replicas["status"][replica] = DRAINING
        if migrate:
            self._order_verb(failing.MIGRATE, replica)
            self._find_routable()
        empty = bool(self._replicas["outstanding"][replica] == 0)
        self._servers["reported"][replica] = empty
        return empty

    def fail(self, replica: int, replays: int = 0) -> int:
        """Let a replica fail now and close it; return how many requests it held.

        Each of them that has been handed back fewer than `replays` times is routed anew, the others are lost (and their
        clients may try again). `server` still answers until the index is used again.
        """
        self._clock.replays = replays
        held = self._order_verb(failing.FAIL, replica)
        self.close(replica)
        return held

    def slow(self, replica: int, factor: float) -> None:
        """Let the steps of a replica take `factor` times as long, from the next one on; 1 is its own speed again."""
        if not (factor > 0 and math.isfinite(factor)):
            raise ValueError(f"factor must be above 0 and finite, found {factor:g}")
        self._factor = factor
        self._order_verb(failing.SLOW, replica)

    def signal(self, pool: int, **signals: float) -> None:
        """Set what routers know of the replicas of a pool, those to come included: any of SIGNALS."""
        for name, value in signals.items():
            if name not in SIGNALS:
                raise ValueError(f"routers know no {name}; known: {', '.join(SIGNALS)}")
            self._tables[name][pool] = value
            for replicas in (self._replicas, self._seen):
                replicas[name][replicas.pool == pool] = value

    def _order_verb(self, verb: int, replica: int) -> int:
        """Do something to a replica now; return how many requests it held."""
        if self._replicas[replica].status == CLOSED:
            raise ValueError(f"replica {replica} is closed")
        slots = self._slots_in_use()
        flights = self._flights[slots]
        here = (flights.replica == replica) & (flights.state != AWAY) & (flights.state != AHEAD)
        here |= (flights.source == replica) & ((flights.state == LEAVING) | (flights.state == SENDING))
        order = np.argsort(flights.order[here], kind="stable")
        self._victims = slots[here][order].astype(np.int64)
        self._retire()
        if len(self._outcomes) < len(self._victims) + self._stride + 2:
            self._outcomes = records_of(2 * (len(self._victims) + self._stride), OUTCOME)
        self._clock.verb, self._clock.culprit = verb, replica
        why = self._call(self.now)
        assert why == loop.VERB_DONE
        return int((~flights.ghost[here]).sum())

    def _slots_in_use(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(len(self._flights)), self._free_slots[: int(self._clock.free_slots)])

    def close(self, replica: int) -> None:
        """Take away an empty replica; its index may be used again. Raises ValueError if it still holds requests."""
        if self._replicas[replica].outstanding:
            raise ValueError(
                f"replica {replica} still holds {self._replicas[replica].outstanding} requests; drain it first"
            )
        was_ready = self._replicas["status"][replica] == READY
        self._replicas["status"][replica] = CLOSED
        up, opened_s = self._up[int(self._replicas[replica].pool)], self._opened_s.pop(replica)
        up[0] -= 1
        up[1] -= opened_s
        up[2] += self.now - opened_s
        if was_ready:
            self._find_routable()

    # ------------------------------------------------------------ readings

    def flush(self) -> None:
        """Hand all ended requests to the sink now."""
        self._retire()

    def glance(self, pool: int) -> tuple[float, ...]:
        """What a pool holds now and has done so far, quickly; counts of steps' shapes are in `observe`.

        (ready and draining replicas, waiting and running requests, KV blocks in use, output tokens, busy seconds, prompt
        tokens, requests routed, requests ended, replica-seconds ready or draining).
        """
        seen = np.zeros(7)
        _compiled_glance()(self.now, pool, self._replicas, self._servers, self._phases, self._tables, seen)
        table = self._tables[pool]
        live, opened_s, past_s = self._up[pool]
        up_s = past_s + live * self.now - opened_s
        return (*seen.tolist(), float(table.prompt_tokens), int(table.routed), int(table.ended), up_s)

    def kept(self) -> NDArray:
        """Requests that have ended and were not handed on yet (OUTCOME), in order of ending; `taps` get them before."""
        return self._outcomes[: int(self._clock.outcomes)]

    def outcomes(self) -> NDArray:
        """All requests that have ended so far, sorted by id (OUTCOME); only without a sink."""
        self._retire()
        rows = np.concatenate(self._kept) if self._kept else np.zeros(0, OUTCOME)
        return rows[np.argsort(rows["id"], kind="stable")]

    def emptiest(self, pool: int) -> int:
        """The ready replica of a pool with the fewest requests, the youngest on ties. Raises ValueError if there is none."""
        replicas = self._replicas
        ready = np.flatnonzero((replicas["status"] == READY) & (replicas["pool"] == pool))
        if len(ready) == 0:
            raise ValueError(f"pool {pool} has no ready replica")
        return int(ready[np.lexsort((-replicas["serial"][ready], replicas["outstanding"][ready]))[0]])

    def replica(self, index: int) -> np.record:
        """Signals of a replica (REPLICA)."""
        return self._replicas[index]

    def server(self, index: int) -> np.record:
        """Counters of a replica (SERVER), up to its last step end."""
        return self._servers[index]

    def busy_s(self, index: int) -> float:
        """Seconds that a replica has spent in steps, the running one included."""
        server = self._servers[index]
        return float(server.busy_s + (self.now - server.start_s if server.steps else 0.0))

    def observe(self, pool: int) -> tuple[Occupancy, Tally]:
        """What a pool holds now, and the shapes that it has run up to now."""
        counts, tables, held = self._counts.copy(), self._tables.copy(), np.zeros(5, np.int64)
        _compiled_observe()(
            self.now, pool, self._replicas, self._servers, self._phases, tables, counts, self._edges, held
        )
        table = tables[pool]
        ready, draining, waiting, running, blocks = map(int, held)
        live_blocks = (ready + draining) * int(table.blocks)
        occupancy = Occupancy(
            ready, draining, waiting, running, blocks, live_blocks, int(table.routed), int(table.ended)
        )
        return occupancy, tally_of(table, counts)

    def tally(self, pool: int) -> Tally:
        """Shapes that a pool has run up to now: whole steps, and the seconds of those that run."""
        return self.observe(pool)[1]

    # ------------------------------------------------------------ arrays

    def _note_ready(self, index: int, ready: bool) -> None:
        """Route to a replica, or no longer; what `_find_routable` finds, without looking at all of them."""
        receives = self.receives(int(self._replicas[index].pool))
        known = self._receivers if receives else self._routable
        place = int(np.searchsorted(known, index))
        here = [index] if ready else []
        known = np.concatenate([known[:place], np.array(here, np.int64), known[place + (not ready) :]])
        if receives:
            self._receivers = known
            return
        self._routable = known
        self._loads[index] = self._replicas[index].outstanding if ready else math.inf
        replay(self._load_tree, self._loads, index)

    def _find_routable(self) -> None:
        """Whom requests, and sequences after their prompt, are routed to."""
        ready = np.flatnonzero(self._replicas.status == READY)
        decoding = self._tables.role[self._replicas.pool[ready]] == DECODE_ONLY
        self._loads = np.full(len(self._replicas), math.inf)
        self._loads[ready[~decoding]] = self._replicas.outstanding[ready[~decoding]]
        self._load_tree = winner_tree(self._loads)
        self._routable, self._receivers = ready[~decoding].astype(np.int64), ready[decoding].astype(np.int64)

    def _make_slots(self, slots: int) -> None:
        """Make room for `slots` requests in flight; what is in flight keeps its slot."""
        if slots > 1 << SLOT_BITS:
            raise MemoryError(f"more than {1 << SLOT_BITS} requests in flight: the fleet cannot keep up with the load")
        old = len(self._flights) if hasattr(self, "_flights") else 0
        flights, asked = records_of(slots, FLIGHT), records_of(slots, REQUEST)
        due_s, due_order, due_slot = np.zeros(slots), np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        free = np.zeros(slots, np.int64)
        if old:
            flights[:old], asked[:old] = self._flights, self._asked
            due_s[:old], due_order[:old], due_slot[:old] = self._due_s, self._due_order, self._due_slot
            free[:old] = self._free_slots
        watched = slots if self._clock.watching else 0
        calls, alarms = records_of(watched, CALL), np.zeros(watched, np.int64)
        if old and watched:
            calls[:old], alarms[:old] = self._calls, self._alarms
        self._calls, self._alarms = calls, alarms
        top = int(self._clock.free_slots)
        free[top : top + slots - old] = np.arange(slots - 1, old - 1, -1)
        self._clock.free_slots = top + slots - old
        self._flights, self._asked, self._free_slots = flights, asked, free
        self._due_s, self._due_order, self._due_slot = due_s, due_order, due_slot

    def _make_replicas(self, capacity: int) -> None:
        """Make room for `capacity` (a power of two) replicas; those that live keep their index."""
        replicas, servers = records_of(capacity, REPLICA), records_of(capacity, SERVER)
        keys = np.full(capacity, math.inf)
        finishes = np.zeros((capacity, self._stride), np.int64)
        phases = np.zeros((capacity, self._phase_count), np.int64)
        caches = np.zeros((capacity, self._entries), ENTRY).view(np.recarray)
        lookups = np.zeros((capacity, self._buckets), np.int64)
        slots = records_of(capacity * self._most_slots, ADAPTER).reshape(capacity, self._most_slots)
        old, seen = len(self._replicas) if hasattr(self, "_replicas") else 0, replicas.copy()
        if old:
            replicas[:old], seen[:old] = self._replicas, self._seen
            servers[:old], keys[:old] = self._servers, self._keys
            finishes[:old], phases[:old] = self._finishes, self._phases
            caches[:old], lookups[:old], slots[:old] = self._caches, self._lookups, self._slots
        replicas.status[old:] = CLOSED
        self._replicas, self._servers, self._keys = replicas, servers, keys
        self._seen = seen
        self._finishes, self._phases, self._caches, self._lookups = finishes, phases, caches, lookups
        self._slots = slots
        self._tree = winner_tree(keys)
        self._memory = np.concatenate([self._memory[: loop.ROUTER_MEMORY], np.zeros(capacity, np.int64)])
        self._make_shares(capacity, self._tenants)
        self._find_routable()

    def _make_shares(self, capacity: int, tenants: int) -> None:
        """Make room for the counters of `tenants` tenants on each of `capacity` replicas."""
        shares = records_of(capacity * tenants, SHARE).reshape(capacity, tenants)
        if hasattr(self, "_shares"):
            rows, columns = self._shares.shape
            shares[:rows, :columns] = self._shares
        self._shares, self._tenants = shares, tenants


@cache
def _compiled_loop() -> Callable:
    """The loop, from the cache on disk or compiled now; plain Python under NUMBA_DISABLE_JIT=1."""
    return abi.bare(loop.advance_for(abi.source_stamp(), abi.ADVANCE)) if abi.JIT else loop.advance


@cache
def _compiled_glance() -> Callable:
    return abi.bare(progress.glance_for(abi.source_stamp(), abi.GLANCE)) if abi.JIT else progress.glance


@cache
def _compiled_observe() -> Callable:
    return abi.bare(progress.observe_for(abi.source_stamp(), abi.OBSERVE)) if abi.JIT else progress.observe
