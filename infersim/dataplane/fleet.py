"""The door of the data plane: casts and checks what comes in, and calls the loop.

Everything that changes the fleet from outside goes through the verbs of `Fleet`. Not here: who calls them and when
(`infersim/controlplane/`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane import abi, edges, failing
from infersim.dataplane.answers import Occupancy, Waiting, Wake, Why
from infersim.dataplane.arrays import SIGNALS, Arrays
from infersim.dataplane.faults import PolicyFault, exceptions_of_policies
from infersim.dataplane.feeding import Chunk, Feed, SourceChunk
from infersim.dataplane.groups import Policies
from infersim.dataplane.internal import AHEAD, AWAY, HELD, LEAVING, SENDING, STATES
from infersim.dataplane.layout import PoolCost, tally_of
from infersim.dataplane.records import (
    ASKED,
    CLOSED,
    DECODE_ONLY,
    DRAINING,
    NONE,
    OUTCOME,
    QUEUE_ORDER,
    READY,
    ROUTER,
    SWITCH,
)
from infersim.dataplane.rules import ServiceRules
from infersim.dataplane.tally import Tally

__all__ = ["Chunk", "Fleet", "Occupancy", "PolicyFault", "PoolCost", "Wake", "Why"]

Sink = Callable[[NDArray], None]
"""What takes ended requests (OUTCOME), batch after batch."""


class Fleet:
    """All replicas of all pools, the requests in flight, and the clock of the data plane.

    `chunks` yields requests sorted by arrival; ids must rise. `route` is a compiled routing policy. Ended requests are
    handed in batches to `sink` (an OUTCOME array, in order of ending) or, without one, kept for `outcomes()`.
    `by_load` says that the router's answer is always the replica with the fewest requests outstanding, the lowest index
    on ties, which is kept as a tree instead of asking. `reads` names the signals beyond the counts that the router
    reads (kv, prefix, network, models); with `scrape_s` it sees the
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
        order = order or abi.compiled_policy(abi.no_order, abi.ORDER)
        shape = shape or abi.compiled_policy(abi.no_shape, abi.SHAPE)
        self._policies = Policies(route, order, shape)
        self._arrays = Arrays(pools, rules is not None or len(sources) > 0, len(sources))
        self._kept: list[NDArray] = []
        self._sink = sink or self._kept.append
        self._switched: list[NDArray] = []
        clock = self._clock = self._arrays.clock
        clock.reads_kv, clock.reads_prefix, clock.reads_network, clock.reads_models = (
            name in reads for name in ("kv", "prefix", "network", "models")
        )
        self.several_models = bool(clock.models)
        """Whether there are several models, so that not everybody is served by every replica."""
        clock.selective = self.several_models or any(
            pool.min_input_tokens > 1 or pool.max_input_tokens < 2**62 or not all(pool.takes) for pool in pools
        )
        clock.by_load = by_load and scrape_s == 0 and not clock.selective
        clock.scrape_s = scrape_s
        self._coming = Feed(self._arrays, pools, chunks, rules, sources)
        self._factor, self._victims = 1.0, np.zeros(0, np.int64)
        self._serials = 0
        self.taps: list[Callable[[NDArray], None]] = []
        """Who sees ended requests (OUTCOME) before they are handed on."""
        self._opened_s: dict[int, float] = {}
        self._up = [[0, 0.0, 0.0] for _ in pools]  # live replicas, sum of when they opened, seconds of closed ones

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
        """Requests that wait for a replica of this pool's role and models: for a decode pool, sequences that nobody receives."""
        if self.several_models:
            return int(self._arrays.pools.tables[pool].held)
        return int(self._clock.leaving if self.receives(pool) else self._clock.held)

    def oldest(self) -> Waiting | None:
        """Of the requests in flight the first whose client is not away, if there is one."""
        roll, replicas = self._arrays.roll, self._arrays.engines.replicas
        slots = self._arrays.slots_in_use
        slots = slots[~np.isin(roll.flights.state[slots], (AWAY, AHEAD)) & ~roll.flights.ghost[slots]]
        if len(slots) == 0:
            return None
        slot = slots[np.argmin(roll.asked.id[slots])]
        flight = roll.flights[slot]
        at = int(flight.source if flight.state == LEAVING else flight.replica)
        pool, serial = (int(replicas[at].pool), int(replicas[at].serial)) if flight.state != HELD else (NONE, NONE)
        return Waiting(int(roll.asked[slot].id), STATES[flight.state], float(flight.since_s), pool, serial)

    def receives(self, pool: int) -> bool:
        """Whether a pool's replicas receive sequences from prefill pools, instead of requests."""
        return bool(self._arrays.pools.tables[pool].role == DECODE_ONLY)

    def advance(self, until: float) -> Wake:
        """Serve until `until` [s], inclusive, or an edge, whichever is first.

        Raises PolicyFault if a policy raised or answered what it must not.
        """
        while True:
            why = edges.BAD_ANSWER  # unless it says otherwise
            with exceptions_of_policies(self._note_raised) as raised:
                why = self._call(until)
            if why == edges.STARVED:
                self._feed()
            elif why == edges.SOURCE_EMPTY:
                self._coming.refill(int(self._clock.culprit))
            elif why == edges.SLOTS_FULL:
                self._arrays.grow_slots(2 * len(self._arrays.roll.flights))
            elif why == edges.OUTCOMES_FULL:
                self._retire()
            elif why == edges.BAD_ANSWER:
                raise self._fault() from (raised[0] if raised else None)
            else:
                replica = int(self._clock.culprit) if why == edges.DRAINED else NONE
                return Wake(self.now, Why(why), replica)

    def _note_raised(self) -> None:
        self._clock.raised = True

    def _fault(self) -> PolicyFault:
        """What is known of the policy that was asked last."""
        asked, culprit = int(self._clock.asking), int(self._clock.culprit)
        name, time_s, roll, engines = ASKED[asked], self.now, self._arrays.roll, self._arrays.engines
        if asked == ROUTER:
            return PolicyFault(name, time_s, None, culprit)
        if asked == QUEUE_ORDER:
            slots = self._arrays.slots_in_use
            flight = roll.flights[int(slots[roll.asked.id[slots] == culprit][-1])]
            return PolicyFault(
                name, time_s, int(engines.replicas[flight.replica].pool), culprit, answer=float(flight.key)
            )
        server, step, replica = engines.servers[culprit], engines.steps[0], engines.replicas[culprit]
        slot = int(server.queue_head if server.queue_head != NONE else server.batch_head)
        answer = (int(step.prompt_tokens), int(step.decode), int(step.admit))
        return PolicyFault(name, time_s, int(replica.pool), int(roll.asked[slot].id), int(replica.serial), answer)

    def _call(self, until: float) -> int:
        """Call the compiled loop with all that is there."""
        arrays = self._arrays
        return abi.compiled_loop()(
            until, self._factor, self._victims, self._policies, arrays.clocks, arrays.arrivals, arrays.roll,
            arrays.deliveries, arrays.ends, arrays.routing, arrays.engines, arrays.pools, arrays.crowd,
        )  # fmt: skip

    def _feed(self) -> None:
        self._coming.next_chunk()

    def _retire(self) -> None:
        ended = self.kept()
        if len(ended):
            for tap in self.taps:
                tap(ended)
            self._sink(np.array(ended.view(OUTCOME, np.ndarray)))
        self._clock.outcomes = 0
        if self._clock.switches:
            self._switched.append(np.array(self._arrays.engines.switches[: int(self._clock.switches)], SWITCH))
            self._clock.switches = 0

    # ------------------------------------------------------------ verbs

    def open(self, pool: int, serial: int | None = None) -> int:
        """Add a ready replica to `pool` now; return its index (the lowest free one).

        `serial` names this replica's life in the outcomes; lives are counted from 0 without it.
        """
        closed = np.flatnonzero(self._arrays.engines.replicas.status == CLOSED)
        if len(closed) == 0:
            self._arrays.grow_replicas(2 * len(self._arrays.engines.replicas))
            return self.open(pool, serial)
        index = int(closed[0])
        self._arrays.begin(index, pool, self._serials if serial is None else serial)
        self._serials += 1
        self._opened_s[index] = self.now
        self._up[pool][0] += 1
        self._up[pool][1] += self.now
        self._arrays.note_ready(index, True)
        return index

    def drain(self, replica: int, migrate: bool = False) -> bool:
        """Route nothing more to a replica; return whether it is empty already (else a DRAINED wake follows).

        `migrate` hands what has not started there back to the router.
        """
        replicas = self._arrays.engines.replicas
        if replicas["status"][replica] == READY:
            self._arrays.note_ready(replica, False)
        replicas["status"][replica] = DRAINING
        if migrate:
            self._order_verb(failing.MIGRATE, replica)
            self._arrays.find_routable()
        empty = bool(replicas["outstanding"][replica] == 0)
        self._arrays.engines.servers["reported"][replica] = empty
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
            self._arrays.pools.tables[name][pool] = value
            for replicas in (self._arrays.engines.replicas, self._arrays.routing.seen):
                replicas[name][replicas.pool == pool] = value

    def _order_verb(self, verb: int, replica: int) -> int:
        """Do something to a replica now; return how many requests it held."""
        if self._arrays.engines.replicas[replica].status == CLOSED:
            raise ValueError(f"replica {replica} is closed")
        slots = self._arrays.slots_in_use
        flights = self._arrays.roll.flights[slots]
        here = (flights.replica == replica) & (flights.state != AWAY) & (flights.state != AHEAD)
        here |= (flights.source == replica) & ((flights.state == LEAVING) | (flights.state == SENDING))
        order = np.argsort(flights.order[here], kind="stable")
        self._victims = slots[here][order].astype(np.int64)
        self._retire()
        self._arrays.grow_outcomes(len(self._victims))
        self._clock.verb, self._clock.culprit = verb, replica
        why = self._call(self.now)
        assert why == edges.VERB_DONE
        return int((~flights.ghost[here]).sum())

    def close(self, replica: int) -> None:
        """Take away an empty replica; its index may be used again. Raises ValueError if it still holds requests."""
        replicas = self._arrays.engines.replicas
        if replicas[replica].outstanding:
            raise ValueError(f"replica {replica} still holds {replicas[replica].outstanding} requests; drain it first")
        self._break_switch(replica)
        was_ready = replicas["status"][replica] == READY
        replicas["status"][replica] = CLOSED
        up, opened_s = self._up[int(replicas[replica].pool)], self._opened_s.pop(replica)
        up[0] -= 1
        up[1] -= opened_s
        up[2] += self.now - opened_s
        if was_ready:
            self._arrays.find_routable()

    def _break_switch(self, replica: int) -> None:
        """Count the seconds of a switch for which nobody waits any more."""
        server = self._arrays.engines.servers[replica]
        if server.switching:
            table, seconds = self._arrays.pools.tables[int(server.table)], self.now - server.start_s
            server.switching, server.mixed, server.steps = False, False, 0
            server.busy_s += seconds
            table.busy_s += seconds
            table.switching_s += seconds

    # ------------------------------------------------------------ readings

    def flush(self) -> None:
        """Hand all ended requests to the sink now."""
        self._retire()

    def glance(self, pool: int) -> tuple[float, ...]:
        """What a pool holds now and has done so far, quickly; counts of steps' shapes are in `observe`.

        (ready and draining replicas, waiting and running requests, KV blocks in use, output tokens, busy seconds, prompt
        tokens, requests routed, requests ended, replica-seconds ready or draining).
        """
        seen, engines, tables = np.zeros(7), self._arrays.engines, self._arrays.pools.tables
        abi.compiled_glance()(self.now, pool, engines.replicas, engines.servers, engines.phases, tables, seen)
        live, opened_s, past_s = self._up[pool]
        up_s = past_s + live * self.now - opened_s
        own = tables[pool : pool + 1] if tables[pool].models == 1 else tables[tables.pool == pool]
        counts = (float(own.prompt_tokens.sum()), int(own.routed.sum()), int(own.ended.sum()))
        return (*seen.tolist(), *counts, up_s)

    def kept(self) -> NDArray:
        """Requests that have ended and were not handed on yet (OUTCOME), in order of ending; `taps` get them before."""
        return self._arrays.roll.outcomes[: int(self._clock.outcomes)]

    def outcomes(self) -> NDArray:
        """All requests that have ended so far, sorted by id (OUTCOME); only without a sink."""
        self._retire()
        rows = np.concatenate(self._kept) if self._kept else np.zeros(0, OUTCOME)
        return rows[np.argsort(rows["id"], kind="stable")]

    def switches(self) -> NDArray:
        """All switches from one model to another that have begun so far, in their order (SWITCH)."""
        self._retire()
        return np.concatenate(self._switched) if self._switched else np.zeros(0, SWITCH)

    def emptiest(self, pool: int) -> int:
        """The ready replica of a pool with the fewest requests, the youngest on ties. Raises ValueError if there is none."""
        replicas = self._arrays.engines.replicas
        ready = np.flatnonzero((replicas["status"] == READY) & (replicas["pool"] == pool))
        if len(ready) == 0:
            raise ValueError(f"pool {pool} has no ready replica")
        return int(ready[np.lexsort((-replicas["serial"][ready], replicas["outstanding"][ready]))[0]])

    def replica(self, index: int) -> np.record:
        """Signals of a replica (REPLICA)."""
        return self._arrays.engines.replicas[index]

    def server(self, index: int) -> np.record:
        """Counters of a replica (SERVER), up to its last step end."""
        return self._arrays.engines.servers[index]

    def busy_s(self, index: int) -> float:
        """Seconds that a replica has spent in steps, the running one included."""
        server = self.server(index)
        return float(server.busy_s + (self.now - server.start_s if server.steps else 0.0))

    def observe(self, pool: int) -> tuple[Occupancy, Tally]:
        """What a pool holds now, and the shapes that it has run up to now."""
        engines, pools = self._arrays.engines, self._arrays.pools
        counts, tables, held = pools.counts.copy(), pools.tables.copy(), np.zeros(5, np.int64)
        abi.compiled_observe()(
            self.now, pool, engines.replicas, engines.servers, engines.phases, tables, counts, pools.edges, held
        )
        own = tables[tables.pool == pool]
        mine = (engines.replicas.pool == pool) & (engines.replicas.status != CLOSED)
        live_blocks = int(engines.replicas.kv_blocks[mine].sum())
        occupancy = Occupancy(*map(int, held), live_blocks, int(own.routed.sum()), int(own.ended.sum()))
        parts = [tally_of(table, counts) for table in own]
        return occupancy, parts[0] if len(parts) == 1 else replace(reduce(add, parts), by_model=tuple(parts))

    def tally(self, pool: int) -> Tally:
        """Shapes that a pool has run up to now: whole steps, and the seconds of those that run."""
        return self.observe(pool)[1]
