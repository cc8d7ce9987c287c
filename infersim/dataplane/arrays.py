"""All arrays of the loop: made, and made anew when they are too small; whatever is in them keeps its index.

Not here: what they are (`groups.py`), who fills them (`feeding.py`) and who calls the loop on them (`fleet.py`).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.agenda import SLOT_BITS
from infersim.dataplane.dispatch import ROUTER_MEMORY
from infersim.dataplane.groups import NOBODY, Arrivals, Crowd, Deliveries, Engines, Ints, Pools, Roll, Routing
from infersim.dataplane.internal import (
    ADAPTER,
    CALL,
    CLIENT,
    CLOCK,
    ENTRY,
    FLIGHT,
    MODEL,
    SERVER,
    SHARE,
    SOURCE,
    STEP,
)
from infersim.dataplane.layout import PoolCost, flattened, records_of, replay, tree_of, zeros_of
from infersim.dataplane.outlook import MANY
from infersim.dataplane.records import (
    CLOSED,
    DECODE_ONLY,
    NONE,
    OUTCOME,
    READY,
    REPLICA,
    REQUEST,
    SEQUEL,
    STATE,
    SWITCH,
)
from infersim.dataplane.sequences import NEVER
from infersim.dataplane.tally import itl_edges

_OUTCOME_ROWS = 1 << 12
"""So many fit into a processor's second cache when they are handed on: eight times as many took several times as long each."""
_SWITCH_ROWS = 1 << 10

SIGNALS = ("usd_per_hour", "grams_per_kwh", "sun")
"""What the control plane tells routers of a pool."""


def grown(old: NDArray[Any], rows: int) -> Any:
    """A longer array that begins with the old one; the rest is zero."""
    new = zeros_of((rows, *old.shape[1:]), old.dtype).view(type(old))
    new[: len(old)] = old
    return new


class Arrays:
    """The groups of arrays, for any number of replicas of these pools and of requests in flight."""

    def __init__(self, pools: list[PoolCost], watching: bool, sources: int) -> None:
        """Room for nobody; `watching` says whether clients are watched, `sources` how many closed loops there are."""
        self.clocks = records_of(1, CLOCK)
        clock = self.clock = self.clocks[0]
        clock.watching = watching
        clock.held_head = clock.held_tail = clock.held_next = clock.leaving_head = clock.leaving_tail = NONE
        clock.forming = clock.ended_head = clock.passed = NONE
        self.pools = Pools(*flattened(pools), itl_edges())
        pools = [each for pool in pools for each in (pool, *pool.others)]
        clock.models = len({pool.model for pool in pools}) > 1
        stride = max(pool.max_num_seqs for pool in pools)
        entries = max(
            (pool.blocks * pool.block_size // pool.prefix_tokens if pool.prefix_tokens else 0) + pool.host_entries
            for pool in pools
        )
        outcomes = records_of(_OUTCOME_ROWS + stride + 1, OUTCOME)
        self.arrivals = Arrivals(records_of(0, REQUEST), _ints(0))
        self.roll = Roll(records_of(0, REQUEST), records_of(0, FLIGHT), _ints(0), outcomes)
        self.deliveries = Deliveries(np.zeros(0), _ints(0), _ints(0))
        self.engines = Engines(
            records_of(0, REPLICA), records_of(0, SERVER), _ints(0, stride),
            zeros_of((0, max(pool.block_size for pool in pools)), np.dtype(np.int32)), _records(0, entries, ENTRY),
            _ints(0, 1 << (2 * entries).bit_length()), _ints(0), _records(0, 1, SHARE),
            _records(0, max(pool.adapter_slots for pool in pools), ADAPTER),
            _records(0, max(1 + len(pool.others) for pool in pools), MODEL),
            records_of(_SWITCH_ROWS if clock.models else 1, SWITCH), records_of(1, STEP), records_of(1, STATE),
        )  # fmt: skip
        self.ends = tree_of(_ints(0))
        self.routing = Routing(records_of(0, REPLICA), _ints(0), _ints(0), _ints(ROUTER_MEMORY), self.ends)
        self.crowd = Crowd(
            records_of(0, CALL), _ints(0), records_of(0, CLIENT), records_of(0, SEQUEL), _ints(0), _ints(0),
            records_of(sources, SOURCE), records_of(0, REQUEST), _ints(0), np.zeros(0),
        )  # fmt: skip
        self.grow_slots(1024)
        self.grow_replicas(1)

    @property
    def slots_in_use(self) -> Ints:
        """Slots of the requests in flight."""
        return np.setdiff1d(np.arange(len(self.roll.flights)), self.roll.free_slots[: int(self.clock.free_slots)])

    def grow_slots(self, slots: int) -> None:
        """Make room for `slots` requests in flight. Raises MemoryError if these are too many."""
        if slots > 1 << SLOT_BITS:
            raise MemoryError(f"more than {1 << SLOT_BITS} requests in flight: the fleet cannot keep up with the load")
        asked, flights, free, outcomes = self.roll
        old, top = len(flights), int(self.clock.free_slots)
        self.roll = Roll(grown(asked, slots), grown(flights, slots), grown(free, slots), outcomes)
        self.roll.free_slots[top : top + slots - old] = np.arange(slots - 1, old - 1, -1)
        self.clock.free_slots = top + slots - old
        self.deliveries = Deliveries(*(grown(part, slots) for part in self.deliveries))
        if self.clock.watching:
            calls, alarms = grown(self.crowd.calls, slots), grown(self.crowd.alarms, slots)
            self.crowd = self.crowd._replace(calls=calls, alarms=alarms)

    def grow_outcomes(self, ends: int) -> None:
        """Make room for so many requests that end at once; the ends that are there must have been taken."""
        stride = self.engines.finishes.shape[1]
        if len(self.roll.outcomes) < ends + stride + 2:
            self.roll = self.roll._replace(outcomes=records_of(2 * (ends + stride), OUTCOME))

    def grow_replicas(self, capacity: int) -> None:
        """Make room for `capacity` (a power of two) replicas."""
        engines, old = self.engines, len(self.engines.replicas)
        by_replica = ("replicas", "servers", "finishes", "phases", "caches", "lookups", "shares", "slots", "models")
        self.engines = engines._replace(**{name: grown(getattr(engines, name), capacity) for name in by_replica})
        self.engines.replicas.status[old:] = CLOSED
        keys = np.full(capacity, NOBODY)
        keys[:old] = self.ends.entries.key[self.ends.leaves :][:old]
        self.ends = tree_of(keys)
        self.clock.ahead = capacity >= MANY
        memory = np.concatenate([self.routing.memory[:ROUTER_MEMORY], _ints(capacity)])
        self.routing = self.routing._replace(seen=grown(self.routing.seen, capacity), memory=memory)
        self.find_routable()

    def begin(self, index: int, pool: int, serial: int) -> None:
        """Make the replica at an index a new one of a pool, ready and empty."""
        engines, table = self.engines, self.pools.tables[pool]
        # Item by item: setting an attribute of a record takes eight microseconds.
        engines.replicas[index], engines.servers[index] = np.zeros((), REPLICA), np.zeros((), SERVER)
        replica, server = engines.replicas[index], engines.servers[index]
        replica["pool"], replica["status"] = pool, READY
        replica["serial"] = serial
        for name in ("max_num_seqs", "prompt_token_s", "model", *SIGNALS):
            replica[name] = table[name]
        replica["asked"] = table["model"]
        replica["kv_blocks"] = server["kv_free"] = table["blocks"]
        self.routing.seen[index] = replica
        server["last_start_s"], server["slowdown"] = math.inf, 1.0
        server["host_room"], server["crossing"] = table["host_entries"], NEVER
        for end in (
            "batch_head", "batch_tail", "prefilling", "queue_head", "queue_tail", "oldest", "newest", "host_oldest",
            "host_newest", "last_tenant",
        ):  # fmt: skip
            server[end] = NONE
        entries = engines.caches.shape[1]
        engines.lookups[index] = 0
        engines.caches[index]["newer"] = np.append(np.arange(1, entries), NONE)[:entries]
        server["spare"] = 0 if entries else NONE
        engines.phases[index] = 0
        engines.shares[index], engines.slots[index] = np.zeros((), SHARE), np.zeros((), ADAPTER)
        worth = float(table["load_s"]) / int(table["weight_bytes"])
        engines.models[index] = np.zeros((), MODEL)
        engines.models[index, 0] = (0, True, 1, 0, worth)
        server["table"] = pool

    def grow_shares(self, tenants: int) -> None:
        """Make room for the counters of so many tenants at each replica."""
        old = self.engines.shares
        shares = _records(len(old), tenants, SHARE)
        shares[:, : old.shape[1]] = old
        self.engines = self.engines._replace(shares=shares)

    def note_ready(self, index: int, ready: bool) -> None:
        """Route to a replica, or no longer; what `find_routable` finds, without looking at all of them."""
        receives = self.pools.tables[int(self.engines.replicas[index].pool)].role == DECODE_ONLY
        routing = self.routing
        known = routing.receivers if receives else routing.routable
        place = int(np.searchsorted(known, index))
        here = [index] if ready else []
        known = np.concatenate([known[:place], np.array(here, np.int64), known[place + (not ready) :]])
        if receives:
            self.routing = routing._replace(receivers=known)
            return
        self.routing = routing._replace(routable=known)
        if ready:
            self.clock.held_next = self.clock.held_head
        replay(routing.loads, index, int(self.engines.replicas[index].outstanding) if ready else NOBODY)

    def find_routable(self) -> None:
        """Find out whom requests, and sequences after their prompt, are routed to."""
        replicas = self.engines.replicas
        ready = np.flatnonzero(replicas.status == READY)
        decoding = self.pools.tables.role[replicas.pool[ready]] == DECODE_ONLY
        receivers, routable = ready[decoding].astype(np.int64), ready[~decoding].astype(np.int64)
        loads = np.full(len(replicas), NOBODY)
        loads[routable] = replicas.outstanding[routable]
        self.routing = self.routing._replace(routable=routable, receivers=receivers, loads=tree_of(loads))


def _ints(*shape: int) -> Ints:
    return zeros_of(shape, np.dtype(np.int64))


def _records(rows: int, columns: int, dtype: np.dtype) -> np.recarray:
    return records_of(rows * columns, dtype).reshape(rows, columns)
