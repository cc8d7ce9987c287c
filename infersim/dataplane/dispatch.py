"""Where a request goes: to a replica that the router chooses, through its front end, into its queue; and after its prompt.

DESIGN.md, "A request" and "Disaggregated pools", is the specification. Not here: the routers (`infersim/policies/`), nor
what a replica does with its queue (`forming.py`).
"""

import math

from infersim.dataplane.agenda import push_delivery, rank, reschedule
from infersim.dataplane.clients import end_attempt
from infersim.dataplane.engines import engine_of
from infersim.dataplane.groups import NOBODY, ROOT
from infersim.dataplane.internal import HANDLING, SENDING
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import fits
from infersim.dataplane.outlook import fetch_replica
from infersim.dataplane.progress import steps_begun
from infersim.dataplane.queue import queue_key
from infersim.dataplane.records import (
    FAIR_SHARE,
    FINISHED,
    NONE,
    OVERLOADED,
    OWN_ORDER,
    PRIORITY,
    QUEUE_FULL,
    QUEUE_ORDER,
    READY,
    REJECTED,
    ROUTER,
)
from infersim.dataplane.sequences import enqueue
from infersim.dataplane.signals import accepting, count_blocks, find_prefixes, find_resident, measure
from infersim.dataplane.switching import table_for
from infersim.dataplane.timing import leap_end
from infersim.dataplane.withdrawing import part

ROUTER_MEMORY, SENDING_MEMORY = 8, 4
"""Integers that a router may keep; where those begin that it has for sequences on their way to a decode replica. What
follows is room for the replicas that take a request."""


@inlined
def dispatch(now, slot, policies, clock, roll, deliveries, ends, routing, engines, pools, crowd):
    """Route the request in `slot`; return False if a policy fails."""
    flight, request = roll.flights[slot], roll.asked[slot]
    replicas, tables, values = engines.replicas, pools.tables, pools.values
    routable, memory = routing.routable, routing.memory
    clock.asking, clock.culprit = ROUTER, request.id
    if clock.selective:
        found = accepting(request, clock.models, replicas, routable, memory[ROUTER_MEMORY:], tables, values)
        if found > 0:  # else no pool that takes it has a ready replica: any may
            routable = memory[ROUTER_MEMORY : ROUTER_MEMORY + found]
    if clock.by_load:
        r = routing.loads.entries[ROOT].replica
    else:
        shown = routing.seen if clock.scrape_s > 0.0 else replicas
        if clock.reads_network:
            measure(request, shown, routable, tables, values)
        if clock.reads_kv and clock.scrape_s == 0.0:
            count_blocks(now, clock, engines, routable, tables)
        if clock.reads_models:
            find_resident(request, shown, replicas, engines.models, routable, tables)
        if clock.reads_prefix:
            find_prefixes(now, clock, request, shown, engines, routable, tables)
        r = policies.route(request, shown, routable, memory[:ROUTER_MEMORY])
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return False
    replica = replicas[r]
    server, table = engines.servers[r], tables[table_for(request.model, replica.pool, tables)]
    table.routed += 1
    flight.held_s += now - flight.since_s
    flight.since_s = now
    clock.routed += 1
    flight.replica = r
    status = _turned_away(request, flight.output_tokens, replica, table)
    if status != FINISHED:
        table.ended += 1
        end_attempt(now, slot, status, clock, roll, replicas, tables, crowd)
        return True
    flight.state = HANDLING
    flight.place = table.place
    server.coming_tokens += request.input_tokens
    replica.queued_tokens += request.input_tokens
    flight.order = clock.routed
    if not _find_key(slot, replica.pool, policies.order, clock, roll, table):
        return False
    replica.asked = request.model
    replica.outstanding += 1
    replica.waiting += 1
    note_load(r, clock, replicas, routing.loads)
    if clock.ahead and clock.by_load:
        fetch_replica(routing.loads.entries[ROOT].replica, engines)  # where the next one goes
    handling_s = table.request_overhead_s + table.token_overhead_s * request.input_tokens
    if table.classes > 0:
        handling_s += values[table.network + request.tenant]
    if handling_s > 0.0:
        push_delivery(deliveries, clock.pending, now + handling_s, clock.routed, slot)
        clock.pending += 1
    else:
        deliver(now, slot, clock, roll, ends, engines, tables)
    return True


@compiled
def send(now, slot, policies, clock, roll, deliveries, ends, routing, engines, pools, crowd):
    """Choose a decode replica for a sequence whose prompt is processed, and send it there, or reject it.

    Returns -1 if a policy fails, 1 if the prefill replica is drained now, else 0.
    """
    flight, request, replicas, tables = roll.flights[slot], roll.asked[slot], engines.replicas, pools.tables
    source = engines.servers[flight.source]
    clock.asking, clock.culprit = ROUTER, request.id
    shown = routing.seen if clock.scrape_s > 0.0 else replicas
    if clock.reads_network:
        measure(request, shown, routing.receivers, tables, pools.values)
    if clock.reads_kv and clock.scrape_s == 0.0:
        count_blocks(now, clock, engines, routing.receivers, tables)
    r = policies.route(request, shown, routing.receivers, routing.memory[SENDING_MEMORY:ROUTER_MEMORY])
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return -1
    table = tables[replicas[r].pool]
    clock.routed += 1
    table.routed += 1
    if not fits(request, flight.output_tokens, table):
        drained = part(now, slot, roll, ends, engines, tables)
        flight.transfer_s += now - flight.since_s
        flight.replica = r
        table.ended += 1
        end_attempt(now, slot, REJECTED, clock, roll, replicas, tables, crowd)
        return 1 if drained else 0
    sender = tables[replicas[flight.source].pool]
    flight.replica = r
    flight.state = SENDING
    flight.order = clock.routed
    if not _find_key(slot, replicas[r].pool, policies.order, clock, roll, table):
        return -1
    replicas[r].outstanding += 1
    replicas[r].waiting += 1
    start_s = max(now, source.link_free_s)
    source.link_free_s = start_s + sender.transfer_latency_s + sender.transfer_token_s * flight.computed
    push_delivery(deliveries, clock.pending, source.link_free_s, clock.routed, slot)
    clock.pending += 1
    return 0


@inlined
def deliver(now, slot, clock, roll, ends, engines, tables):
    """Let a request leave the front end: queue it, and wake its replica or cut its leap short."""
    r = roll.flights[slot].replica
    engine = engine_of(r, engines, tables)
    server, table = engine.server, engine.table
    enqueue(now, slot, clock.passed, engine, roll.asked, roll.flights)
    if server.steps == 0:
        reschedule(ends, r, now)
    elif server.steps > 1 and _may_be_admitted(slot, server, engine.replica, table, roll.asked):
        most = server.steps
        steps = steps_begun(now, r, clock.passed, server)
        if table.async_scheduling:  # the next step is scheduled already, if this one has not just begun
            begun_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, server.batch, steps - 1)
            if now > begun_s:
                steps = min(most, steps + 1)
        if steps < most:
            server.steps = steps
            ends_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, server.batch, steps)
            reschedule(ends, r, ends_s)


@inlined
def _turned_away(request, output_tokens, replica, table):
    """Why a replica does not take a request; FINISHED if it does."""
    if not fits(request, output_tokens, table):
        return REJECTED
    if replica.waiting >= table.max_queued:
        return QUEUE_FULL
    if replica.queued_tokens * table.prompt_token_s > table.max_queued_work_s:
        return OVERLOADED
    return FINISHED


@inlined
def _may_be_admitted(slot, server, replica, table, asked):
    """Whether a request that was queued in the middle of a leap can change the next step."""
    if server.rows > 0:
        return False
    if table.models > 1:
        if asked[slot].model != table.model:
            return False
    elif server.queue_head != slot and table.queue_order != FAIR_SHARE and table.adapter_slots == 0:
        return False
    room = replica.running < table.max_num_seqs and server.batch < table.max_num_batched_tokens
    return room or table.queue_order == PRIORITY


@inlined
def _find_key(slot, pool, order, clock, roll, table):
    """Find a request's place in the queue of a replica of `pool`; return False if a user's order fails to say."""
    flight, request = roll.flights[slot], roll.asked[slot]
    if table.queue_order == OWN_ORDER:
        clock.asking, clock.culprit = QUEUE_ORDER, request.id
    flight.key = queue_key(request, flight.output_tokens, order, pool, table)
    return not (clock.raised or math.isnan(flight.key))


@inlined
def note_load(r, clock, replicas, loads):
    """Keep the tree over the routable replicas' outstanding requests, where that is the router."""
    if clock.by_load and r != NONE:
        known, load = loads.entries[loads.leaves + r].key, replicas[r].outstanding
        if known != NOBODY and known != load:
            rank(loads, r, load)
