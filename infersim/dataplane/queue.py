"""A replica's queue: a list in order of arrival, a heap sorted by key, or lists of tenants (`shares.py`).

They hang on the flights' own links and have their first request at `server.queue_head`. The heap is a skew heap: any
two merge by walking down their right edges, which needs no array and log n steps on average. Not here: who is admitted
(`admitting.py`).
"""

import math

from infersim.dataplane.chance import normal
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.links import appended, unlinked
from infersim.dataplane.records import (
    EARLIEST_DEADLINE,
    FAIR_SHARE,
    FCFS,
    NONE,
    OWN_ORDER,
    PRIORITY,
    SHORTEST_JOB,
    SHORTEST_PREDICTED,
)
from infersim.dataplane.shares import pop_share, push_share, remove_share

PREDICTION = -1
"""What the chance of a prediction's error is drawn for; tokens of a request count from 0."""


@inlined
def queue_key(request, output_tokens, own_order, pool, table):
    """Where a request stands in the queues of a pool: smaller keys first."""
    if table.queue_order == PRIORITY:
        return -float(request.priority)
    if table.queue_order == SHORTEST_JOB:
        return float(request.input_tokens)
    if table.queue_order == EARLIEST_DEADLINE:
        return request.arrival_s + request.deadline_s
    if table.queue_order == SHORTEST_PREDICTED:
        return output_tokens * math.exp(table.prediction_sigma * normal(request.id, PREDICTION))
    if table.queue_order == OWN_ORDER:
        return own_order(pool, request)
    return 0.0


@inlined
def push_back(slot, engine, asked, flights):
    """Put a request that has just arrived into the queue."""
    server, order = engine.server, engine.table.queue_order
    if order == FCFS:
        server.queue_head, server.queue_tail = appended(slot, server.queue_head, server.queue_tail, flights)
    elif order == FAIR_SHARE:
        push_share(server, asked, flights, slot, engine.shares, False)
    else:
        flights[slot].next = NONE
        flights[slot].previous = NONE
        server.queue_head = _merged(flights, server.queue_head, slot)


@compiled
def push_front(slot, engine, asked, flights):
    """Put a preempted request back: to the front, or where its key says."""
    server, order = engine.server, engine.table.queue_order
    if order == FAIR_SHARE:
        push_share(server, asked, flights, slot, engine.shares, True)
        return
    flights[slot].next = NONE
    flights[slot].previous = NONE
    if order != FCFS:
        server.queue_head = _merged(flights, server.queue_head, slot)
    else:
        flights[slot].next = server.queue_head
        if server.queue_tail == NONE:
            server.queue_tail = slot
        else:
            flights[server.queue_head].previous = slot
        server.queue_head = slot


@inlined
def pop(engine, asked, flights):
    """Take the first request out of the queue; return its slot."""
    server, order = engine.server, engine.table.queue_order
    if order == FAIR_SHARE:
        return pop_share(server, asked, flights, engine.shares)
    slot = server.queue_head
    if order == FCFS:
        server.queue_head, server.queue_tail = unlinked(slot, slot, server.queue_tail, flights)
    else:
        server.queue_head = _merged(flights, flights[slot].previous, flights[slot].next)
    return slot


@compiled
def remove(slot, engine, asked, flights):
    """Take a request out of the queue, wherever it stands."""
    server, order = engine.server, engine.table.queue_order
    if server.queue_head == slot:
        pop(engine, asked, flights)
    elif order == FCFS:
        server.queue_head, server.queue_tail = unlinked(slot, server.queue_head, server.queue_tail, flights)
    elif order == FAIR_SHARE:
        remove_share(server, asked, flights, slot, engine.shares)
    else:
        above = flights[slot].above
        rest = _merged(flights, flights[slot].previous, flights[slot].next)
        if flights[above].previous == slot:
            flights[above].previous = rest
        else:
            flights[above].next = rest
        if rest != NONE:
            flights[rest].above = above


@compiled
def _before(flights, a, b):
    return flights[a].key < flights[b].key or (flights[a].key == flights[b].key and flights[a].order < flights[b].order)


@compiled
def _merged(flights, a, b):
    """Merge two skew heaps; return the root."""
    root, parent = NONE, NONE
    while a != NONE and b != NONE:
        if _before(flights, b, a):
            a, b = b, a
        if parent == NONE:
            root = a
        else:
            flights[parent].previous = a
            flights[a].above = parent
        right = flights[a].next
        flights[a].next = flights[a].previous
        parent, a = a, right
    rest = b if a == NONE else a
    if parent == NONE:
        return rest
    flights[parent].previous = rest
    if rest != NONE:
        flights[rest].above = parent
    return root
