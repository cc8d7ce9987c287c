"""The loop: whatever happens next, anywhere in the fleet, happens next, until a given time or an edge.

At equal times arrivals come first, then deliveries, then replicas' steps. Not here: what a replica does in a step
(`forming.py`, `ending.py`) and growing the arrays (`fleet.py`).
"""

import math

import numba

from infersim.dataplane.agenda import pop_delivery, push_delivery, reschedule
from infersim.dataplane.ending import end_step
from infersim.dataplane.forming import form_step
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import fits
from infersim.dataplane.queue import queue_key
from infersim.dataplane.records import (
    BATCHING,
    DRAINING,
    FAIR_SHARE,
    HANDLING,
    HELD,
    NONE,
    OWN_BATCHING,
    OWN_ORDER,
    PRIORITY,
    QUEUE_ORDER,
    READY,
    REJECTED,
    ROUTER,
    SENDING,
    Books,
)
from infersim.dataplane.sequences import enqueue, release_blocks, write_outcome
from infersim.dataplane.signals import refresh, scrape
from infersim.dataplane.timing import leap_end, steps_until

ON_TIME, DRAINED, HELD_EDGE, LEAVING_EDGE, ALL_FINISHED, STARVED, SLOTS_FULL, OUTCOMES_FULL, BAD_ANSWER = range(9)
"""Why the loop stopped; the last four are the fleet's own business."""


@inlined
def _hold(slot, clock, flights):
    """Append a request that finds no replica to the list of held ones; return whether it is the first."""
    flights[slot].next = NONE
    if clock.held_tail == NONE:
        clock.held_head = slot
    else:
        flights[clock.held_tail].next = slot
    clock.held_tail = slot
    clock.held += 1
    return clock.held == 1


@inlined
def _receive(clock, requests, outputs, asked, flights, free_slots):
    """Give the request under the cursor a slot, in state held; return the slot."""
    clock.free_slots -= 1
    slot = free_slots[clock.free_slots]
    asked[slot] = requests[clock.cursor]
    flight = flights[slot]
    flight.output_tokens = outputs[clock.cursor]
    flight.preemptions = 0
    flight.held_s = 0.0
    flight.handling_s = 0.0
    flight.queued_s = 0.0
    flight.prefill_s = 0.0
    flight.decode_s = 0.0
    flight.preempted_s = 0.0
    flight.transfer_s = 0.0
    flight.replica = NONE
    flight.swapped = False
    flight.source = NONE
    flight.state = HELD
    flight.since_s = asked[slot].arrival_s
    flight.computed = 0
    flight.generated = 0
    flight.target = asked[slot].input_tokens
    flight.entry = NONE
    flight.entries = 0
    flight.cached_tokens = -1
    flight.rows = 1
    flight.first_token_s = math.nan
    flight.last_token_s = math.nan
    clock.cursor += 1
    clock.in_flight += 1
    return slot


@inlined
def _deliver(now, slot, servers, replicas, asked, flights, books, tables, keys, tree):
    """Let a request leave the front end: queue it, and wake its replica or cut its leap short."""
    r = flights[slot].replica
    server, replica = servers[r], replicas[r]
    table = tables[replica.pool]
    enqueue(now, slot, server, replica, asked, flights, books, table)
    if server.steps == 0:
        reschedule(tree, keys, r, now)
    elif server.steps > 1 and _may_be_admitted(slot, server, replica, table):
        most = server.steps
        steps = steps_until(server.start_s, server.base_s, server.slope_s, server.context, server.batch, most, now)
        if table.async_scheduling and now > server.start_s:
            steps = min(most, steps + 1)
        if steps < most:
            server.steps = steps
            ends_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, server.batch, steps)
            reschedule(tree, keys, r, ends_s)


@compiled
def _send(
    now, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas, seen, servers, receivers,
    memory, caches, tables, keys, tree, outcomes,
):  # fmt: skip
    """Choose a decode replica for a sequence whose prompt is processed, and send it there, or reject it.

    Returns -1 if a policy fails, 1 if the prefill replica is drained now, else 0.
    """
    flight, source = flights[slot], servers[flights[slot].source]
    clock.asking, clock.culprit = ROUTER, asked[slot].id
    r = route(asked[slot], seen if clock.scrape_s > 0.0 else replicas, receivers, memory)
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return -1
    table = tables[replicas[r].pool]
    clock.routed += 1
    table.routed += 1
    if not fits(asked[slot], flight.output_tokens, table):
        drained = _part(now, slot, clock, asked, servers, replicas, flights, caches, tables, keys, tree)
        pool, serial = replicas[r].pool, replicas[r].serial
        flight.transfer_s += now - flight.since_s
        write_outcome(now, slot, REJECTED, pool, serial, asked, flights, table, clock, free_slots, outcomes)
        return 1 if drained else 0
    sender = tables[replicas[flight.source].pool]
    flight.replica = r
    flight.state = SENDING
    flight.order = clock.routed
    if not _find_key(slot, r, order, clock, asked, flights, replicas, table):
        return -1
    replicas[r].outstanding += 1
    replicas[r].waiting += 1
    start_s = max(now, source.link_free_s)
    source.link_free_s = start_s + sender.transfer_latency_s + sender.transfer_token_s * flight.computed
    push_delivery(due_s, due_order, due_slot, clock.pending, source.link_free_s, clock.routed, slot)
    clock.pending += 1
    return 0


@compiled
def _part(now, slot, clock, asked, servers, replicas, flights, caches, tables, keys, tree):
    """Let a sequence leave its prefill replica for good; return whether that drained the replica."""
    flight = flights[slot]
    r = flight.source
    server, replica = servers[r], replicas[r]
    table = tables[replica.pool]
    release_blocks(slot, server, asked, flights, caches[r], table)
    flight.target = flight.computed
    replica.outstanding -= 1
    table.ended += 1
    if server.steps == 0 and server.queue_head != NONE:
        reschedule(tree, keys, r, now)
    clock.culprit = r
    return replica.status == DRAINING and replica.outstanding == 0


@inlined
def _may_be_admitted(slot, server, replica, table):
    """Whether a request that was queued in the middle of a leap can change the next step."""
    if server.rows > 0 or (server.queue_head != slot and table.queue_order != FAIR_SHARE):
        return False
    room = replica.running < table.max_num_seqs and server.batch < table.max_num_batched_tokens
    return room or table.queue_order == PRIORITY


@inlined
def _note_load(r, clock, replicas, loads, load_tree):
    """Keep the winner tree over the routable replicas' outstanding requests, where that is the router."""
    if clock.by_load and r != NONE and loads[r] < math.inf:
        reschedule(load_tree, loads, r, float(replicas[r].outstanding))


@inlined
def _find_key(slot, r, order, clock, asked, flights, replicas, table):
    """Find a request's place in the queue of replica `r`; return False if a user's order fails to say."""
    flight = flights[slot]
    if table.queue_order == OWN_ORDER:
        clock.asking, clock.culprit = QUEUE_ORDER, asked[slot].id
    flight.key = queue_key(asked[slot], flight.output_tokens, order, replicas[r].pool, table)
    return not (clock.raised or math.isnan(flight.key))


@inlined
def _dispatch(
    now, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas, seen, servers, routable,
    memory, loads, load_tree, phases, caches, lookups, names, books, tables, keys, tree, outcomes,
):  # fmt: skip
    """Route the request in `slot`; return False if a policy fails."""
    flight, request = flights[slot], asked[slot]
    clock.asking, clock.culprit = ROUTER, request.id
    if clock.scrape_s > 0.0:
        r = route(request, seen, routable, memory)
    elif clock.by_load:
        r = load_tree[1]
    else:
        if clock.reads_kv or clock.reads_prefix:
            refresh(now, slot, clock, asked, replicas, servers, routable, phases, caches, lookups, names, tables)
        r = route(request, replicas, routable, memory)
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return False
    replica = replicas[r]
    table = tables[replica.pool]
    table.routed += 1
    flight.held_s += now - flight.since_s
    flight.since_s = now
    clock.routed += 1
    if not fits(request, flight.output_tokens, table):
        write_outcome(
            now, slot, REJECTED, replica.pool, replica.serial, asked, flights, table, clock, free_slots, outcomes
        )
        return True
    flight.replica = r
    flight.state = HANDLING
    flight.order = clock.routed
    if not _find_key(slot, r, order, clock, asked, flights, replicas, table):
        return False
    replica.outstanding += 1
    replica.waiting += 1
    _note_load(r, clock, replicas, loads, load_tree)
    handling_s = table.request_overhead_s + table.token_overhead_s * request.input_tokens
    if handling_s > 0.0:
        push_delivery(due_s, due_order, due_slot, clock.pending, now + handling_s, clock.routed, slot)
        clock.pending += 1
    else:
        _deliver(now, slot, servers, replicas, asked, flights, books, tables, keys, tree)
    return True


@compiled
def advance(
    until, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order, due_slot, replicas, seen,
    servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes, phases, caches, lookups, names,
    shares, steps, states, tables, values, counts, edges, outcomes,
):  # fmt: skip
    """Serve until `until` [s] or an edge; return why it stopped. The clock stands at that time."""
    clock, books = clocks[0], Books(shares)
    room = outcomes.shape[0] - finishes.shape[1] - 1
    while True:
        if clock.outcomes >= room:
            return OUTCOMES_FULL
        if clock.held_head != NONE and routable.shape[0] > 0:
            slot = clock.held_head
            clock.held_head = flights[slot].next
            if clock.held_head == NONE:
                clock.held_tail = NONE
            clock.held -= 1
            if not _dispatch(
                clock.now_s, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas,
                seen, servers, routable, memory, loads, load_tree, phases, caches, lookups, names, books, tables, keys,
                tree, outcomes,
            ):  # fmt: skip
                return BAD_ANSWER
            continue
        if clock.leaving_head != NONE and receivers.shape[0] > 0:
            slot = clock.leaving_head
            clock.leaving_head = flights[slot].next
            if clock.leaving_head == NONE:
                clock.leaving_tail = NONE
            clock.leaving -= 1
            source = flights[slot].source
            sent = _send(
                clock.now_s, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas,
                seen, servers, receivers, memory[4:], caches, tables, keys, tree, outcomes,
            )  # fmt: skip
            if sent < 0:
                return BAD_ANSWER
            _note_load(source, clock, replicas, loads, load_tree)
            if sent > 0:
                return DRAINED
            continue
        if clock.cursor == requests.shape[0] and not clock.last_chunk:
            return STARVED
        r = tree[1]
        step_s = keys[r]
        due = due_s[0] if clock.pending > 0 else math.inf
        arrival_s = requests[clock.cursor].arrival_s if clock.cursor < requests.shape[0] else math.inf
        now = min(step_s, due, arrival_s)
        if now > until or math.isinf(now):
            if clock.in_flight == 0 and math.isinf(arrival_s) and not clock.finished:
                clock.finished = True
                return ALL_FINISHED
            if not math.isinf(until):
                clock.now_s = until
            return ON_TIME
        clock.now_s = now
        if clock.scrape_s > 0.0:
            scrape(now, clock, replicas, seen, servers, phases, tables)
        if arrival_s <= now:
            if clock.free_slots == 0:
                return SLOTS_FULL
            slot = _receive(clock, requests, outputs, asked, flights, free_slots)
            if routable.shape[0] == 0:
                if _hold(slot, clock, flights):
                    return HELD_EDGE
            elif not _dispatch(
                now, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas, seen,
                servers, routable, memory, loads, load_tree, phases, caches, lookups, names, books, tables, keys, tree,
                outcomes,
            ):  # fmt: skip
                return BAD_ANSWER
        elif due <= now:
            slot = pop_delivery(due_s, due_order, due_slot, clock.pending)
            clock.pending -= 1
            drained = flights[slot].state == SENDING and _part(
                now, slot, clock, asked, servers, replicas, flights, caches, tables, keys, tree
            )
            _note_load(flights[slot].source, clock, replicas, loads, load_tree)
            _deliver(now, slot, servers, replicas, asked, flights, books, tables, keys, tree)
            if drained:
                return DRAINED
        else:
            server, replica = servers[r], replicas[r]
            table = tables[replica.pool]
            heap, phase, leaving = finishes[r], phases[r], clock.leaving
            end_step(
                now, server, replica, asked, flights, heap, phase, caches[r], lookups[r], names, books, table,
                values, counts, edges, clock, free_slots, outcomes,
            )  # fmt: skip
            if clock.leaving_head != NONE and receivers.shape[0] > 0:
                reschedule(tree, keys, r, now)  # they leave first: that may free blocks for the next step
                continue
            if table.batching == OWN_BATCHING:
                clock.asking, clock.culprit = BATCHING, r
            ends_s = form_step(
                now, shape, steps[0], states[0], server, replica, asked, flights, heap, phase, caches[r], lookups[r],
                names, books, table, values,
            )  # fmt: skip
            if clock.raised or steps[0].refused:
                return BAD_ANSWER
            reschedule(tree, keys, r, ends_s)
            _note_load(r, clock, replicas, loads, load_tree)
            if replica.status == DRAINING and replica.outstanding == 0:
                clock.culprit = r
                return DRAINED
            if leaving == 0 and clock.leaving > 0:
                return LEAVING_EDGE


def advance_for(stamp: int, signature):
    """The loop compiled with `signature` and cached under `stamp`, so that a change of any source compiles it anew."""

    @numba.njit(signature, cache=True, _nrt=False)
    def stamped(
        until, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order, due_slot, replicas,
        seen, servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes, phases, caches, lookups,
        names, shares, steps, states, tables, values, counts, edges, outcomes,
    ):  # fmt: skip
        if stamp < 0:  # never; it makes the stamp part of the cache key
            return -1
        return advance(
            until, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order, due_slot,
            replicas, seen, servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes, phases,
            caches, lookups, names, shares, steps, states, tables, values, counts, edges, outcomes,
        )  # fmt: skip

    return stamped
