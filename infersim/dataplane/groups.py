"""The arrays of the loop, grouped by what they are of: each group is one parameter.

They are named tuples, which cost the compiled loop nothing: it sees the arrays themselves. The door (`fleet.py`) makes
them anew when an array grows. Not here: the records in the arrays (`records.py`, `internal.py`, `pools.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Policies(NamedTuple):
    """Users' and shipped policies that the loop asks; see `abi.py` for their signatures."""

    route: Callable
    order: Callable
    shape: Callable


class Arrivals(NamedTuple):
    """The chunk of requests that arrive, by time."""

    requests: np.recarray
    """REQUEST."""
    outputs: Ints
    """Their output tokens."""


class Roll(NamedTuple):
    """The requests in flight, by slot, and those that have just ended."""

    asked: np.recarray
    """REQUEST."""
    flights: np.recarray
    """FLIGHT."""
    free_slots: Ints
    """Stack; `clock.free_slots` is its height."""
    outcomes: np.recarray
    """OUTCOME, in order of ending; `clock.outcomes` are filled."""


class Deliveries(NamedTuple):
    """Heap of the requests in front ends and on links; `clock.pending` is its size."""

    times: Floats
    orders: Ints
    slots: Ints


ROOT = 3
"""Where in a tree the first of all stands."""
NOBODY = 0x7FF0000000000000
"""Key of who is never first: the bits of inf."""


class Tree(NamedTuple):
    """Who of the replicas has the smallest key, the lowest index on ties."""

    entries: np.recarray
    """KEYED; entry p is the first of the four from 4 (p - 2) on: four that share a parent are a cache line."""
    leaves: int
    """Where replica 0 stands, with the others behind it."""


def above(place):
    """Where in a tree the first of an entry and of its three neighbours stands."""
    return (place >> 2) + ROOT - 1


class Routing(NamedTuple):
    """What routers see and keep."""

    seen: np.recarray
    """REPLICA, as they were when signals were read last."""
    routable: Ints
    """Replicas that requests are routed to."""
    receivers: Ints
    """Replicas that sequences are sent to after their prompt."""
    memory: Ints
    loads: Tree
    """Requests outstanding at each replica that requests are routed to, inf at others."""


class Engines(NamedTuple):
    """All replicas; the first index is the replica's, but for the names of prefix blocks, switches and the step."""

    replicas: np.recarray
    """REPLICA."""
    servers: np.recarray
    """SERVER."""
    finishes: Ints
    """Heap of finishes."""
    phases: NDArray[np.int32]
    """Blocks claimed by phase of the decode counter."""
    caches: np.recarray
    """ENTRY."""
    lookups: Ints
    """Hash table over them."""
    names: Ints
    """Names of the prefix blocks of requests in sight."""
    shares: np.recarray
    """SHARE by tenant."""
    slots: np.recarray
    """ADAPTER by slot."""
    models: np.recarray
    """MODEL by place."""
    switches: np.recarray
    """SWITCH, in their order, of any replica; `clock.switches` are filled."""
    steps: np.recarray
    """The STEP that is being formed."""
    states: np.recarray
    """The STATE that a batching policy sees of it."""


class Engine(NamedTuple):
    """One replica, and what its pool is like; see Engines."""

    server: np.record
    replica: np.record
    table: np.record
    finishes: Ints
    phases: NDArray[np.int32]
    cache: np.recarray
    lookup: Ints
    names: Ints
    shares: np.recarray
    slots: np.recarray
    models: np.recarray


class Pools(NamedTuple):
    """What pools cost and have counted."""

    tables: np.recarray
    """TABLE."""
    values: Floats
    """Flat tables of times."""
    counts: Floats
    """Flat histograms."""
    edges: Floats
    """Of the ITL histogram."""


class Crowd(NamedTuple):
    """All that the loop knows of clients, in one parameter."""

    calls: NDArray
    """CALL by slot."""
    alarms: NDArray
    """Heap of the slots that have an alarm."""
    clients: NDArray
    """CLIENT by class."""
    sequels: NDArray
    """SEQUEL of each request of the chunk; empty if none follows another."""
    predecessors: NDArray
    """Where those that they follow stand: a row of the chunk, or -2 - slot."""
    places: NDArray
    """Slot of each request of the chunk that has been read."""
    sources: NDArray
    """SOURCE records."""
    source_requests: NDArray
    """Their next requests,"""
    source_outputs: NDArray
    """the output tokens of these,"""
    source_gaps: NDArray
    """and how long users think before they send them [s]."""
