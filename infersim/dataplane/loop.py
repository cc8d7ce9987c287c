"""The loop: whatever happens next, anywhere in the fleet, happens next, until a given time or an edge.

At equal times arrivals come first, then deliveries, then replicas' steps. Not here: what a replica does in a step
(`forming.py`, `ending.py`) and growing the arrays (`fleet.py`).
"""

import math

import numba

from infersim.dataplane.agenda import pop_delivery, push_delivery, reschedule
from infersim.dataplane.alarms import set_alarm
from infersim.dataplane.clients import (
    begin_attempt,
    come,
    end_attempt,
    hear_of_ends,
    lose_patience,
    new_call,
    wait_ahead,
)
from infersim.dataplane.ending import end_step
from infersim.dataplane.failing import FAIL, MIGRATE, NOTHING, fail, migrate, slow
from infersim.dataplane.forming import form_step
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import fits
from infersim.dataplane.queue import queue_key
from infersim.dataplane.records import (
    AWAY,
    BATCHING,
    CLOSED,
    DECODE,
    DONE,
    DRAINING,
    FAIR_SHARE,
    FINISHED,
    HANDLING,
    HELD,
    NONE,
    OVERLOADED,
    OWN_BATCHING,
    OWN_ORDER,
    PREFILL,
    PRIORITY,
    QUEUE_FULL,
    QUEUE_ORDER,
    READY,
    REJECTED,
    ROUTER,
    SENDING,
    Books,
    Crowd,
)
from infersim.dataplane.sequences import enqueue
from infersim.dataplane.signals import accepting, count_blocks, find_prefixes, measure, scrape
from infersim.dataplane.timing import leap_end, steps_until
from infersim.dataplane.withdrawing import abandon, hold, part, unhold, unleave, withdraw

(
    ON_TIME, DRAINED, HELD_EDGE, LEAVING_EDGE, ALL_FINISHED, STARVED, SOURCE_EMPTY, SLOTS_FULL, OUTCOMES_FULL,
    BAD_ANSWER, VERB_DONE, GO_ON,
) = range(12)  # fmt: skip
"""Why the loop stopped; those after ALL_FINISHED are the fleet's own business."""

ROUTER_MEMORY, SENDING_MEMORY = 8, 4
"""Integers that a router may keep; where those begin that it has for sequences on their way to a decode replica. What
follows is room for the replicas that take a request."""


@inlined
def _receive(slot, request, output_tokens, asked, flights):
    """Put a request into a free slot, in state held."""
    asked[slot] = request
    flight = flights[slot]
    flight.output_tokens = output_tokens
    flight.preemptions = 0
    flight.held_s = 0.0
    flight.handling_s = 0.0
    flight.queued_s = 0.0
    flight.prefill_s = 0.0
    flight.decode_s = 0.0
    flight.preempted_s = 0.0
    flight.transfer_s = 0.0
    flight.away_s = 0.0
    flight.retries = 0
    flight.replays = 0
    flight.worked = 0
    flight.worked_before = 0
    flight.wasted_tokens = 0
    flight.watched = False
    flight.begun = False
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
    flight.adapter = NONE
    flight.cached_tokens = -1
    flight.rows = 1
    flight.first_token_s = math.nan
    flight.last_token_s = math.nan


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
    memory, phases, caches, tables, values, keys, tree, crowd, outcomes,
):  # fmt: skip
    """Choose a decode replica for a sequence whose prompt is processed, and send it there, or reject it.

    Returns -1 if a policy fails, 1 if the prefill replica is drained now, else 0.
    """
    flight, source = flights[slot], servers[flights[slot].source]
    clock.asking, clock.culprit = ROUTER, asked[slot].id
    shown = seen if clock.scrape_s > 0.0 else replicas
    if clock.reads_network:
        measure(asked[slot], shown, receivers, tables, values)
    if clock.reads_kv and clock.scrape_s == 0.0:
        count_blocks(now, replicas, servers, receivers, phases, tables)
    r = route(asked[slot], shown, receivers, memory)
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return -1
    table = tables[replicas[r].pool]
    clock.routed += 1
    table.routed += 1
    if not fits(asked[slot], flight.output_tokens, table):
        drained = part(now, slot, clock, asked, servers, replicas, flights, caches, tables, keys, tree)
        flight.transfer_s += now - flight.since_s
        flight.replica = r
        table.ended += 1
        end_attempt(now, slot, REJECTED, clock, asked, flights, replicas, tables, free_slots, crowd, outcomes)
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
def _may_be_admitted(slot, server, replica, table):
    """Whether a request that was queued in the middle of a leap can change the next step."""
    if server.rows > 0:
        return False
    if server.queue_head != slot and table.queue_order != FAIR_SHARE and table.adapter_slots == 0:
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
    memory, loads, load_tree, phases, caches, lookups, names, books, tables, values, keys, tree, crowd, outcomes,
):  # fmt: skip
    """Route the request in `slot`; return False if a policy fails."""
    flight, request = flights[slot], asked[slot]
    clock.asking, clock.culprit = ROUTER, request.id
    if clock.selective:
        found = accepting(request, replicas, routable, memory[ROUTER_MEMORY:], tables, values)
        if found > 0:  # else no pool that takes it has a ready replica: any may
            routable = memory[ROUTER_MEMORY : ROUTER_MEMORY + found]
    if clock.by_load:
        r = load_tree[1]
    else:
        shown = seen if clock.scrape_s > 0.0 else replicas
        if clock.reads_network:
            measure(request, shown, routable, tables, values)
        if clock.reads_kv and clock.scrape_s == 0.0:
            count_blocks(now, replicas, servers, routable, phases, tables)
        if clock.reads_prefix:
            find_prefixes(now, request, replicas, shown, servers, routable, phases, caches, lookups, names, tables)
        r = route(request, shown, routable, memory[:ROUTER_MEMORY])
    if clock.raised or r < 0 or r >= replicas.shape[0] or replicas[r].status != READY:
        return False
    replica = replicas[r]
    table = tables[replica.pool]
    table.routed += 1
    flight.held_s += now - flight.since_s
    flight.since_s = now
    clock.routed += 1
    flight.replica = r
    status = _turned_away(request, flight.output_tokens, replica, table)
    if status != FINISHED:
        table.ended += 1
        end_attempt(now, slot, status, clock, asked, flights, replicas, tables, free_slots, crowd, outcomes)
        return True
    flight.state = HANDLING
    servers[r].coming_tokens += request.input_tokens
    replica.queued_tokens += request.input_tokens
    flight.order = clock.routed
    if not _find_key(slot, r, order, clock, asked, flights, replicas, table):
        return False
    replica.outstanding += 1
    replica.waiting += 1
    _note_load(r, clock, replicas, loads, load_tree)
    handling_s = table.request_overhead_s + table.token_overhead_s * request.input_tokens
    if table.classes > 0:
        handling_s += values[table.network + request.tenant]
    if handling_s > 0.0:
        push_delivery(due_s, due_order, due_slot, clock.pending, now + handling_s, clock.routed, slot)
        clock.pending += 1
    else:
        _deliver(now, slot, servers, replicas, asked, flights, books, tables, keys, tree)
    return True


@compiled
def _drained(r, clock, servers):
    """Note that it is said of a draining replica that it is empty."""
    clock.culprit = r
    servers[r].reported = True


@inlined
def _read(clock, requests, outputs, asked, flights, free_slots, crowd):
    """Take the next request of the chunk; return its slot."""
    clock.free_slots -= 1
    slot = free_slots[clock.free_slots]
    row = clock.cursor
    _receive(slot, requests[row], outputs[row], asked, flights)
    clock.cursor += 1
    if clock.watching:
        flights[slot].watched = True
        new_call(slot, crowd.calls)
        if crowd.sequels.shape[0] > 0:
            crowd.places[row] = slot
            crowd.calls[slot].source = crowd.sequels[row].source
    return slot


@compiled
def _run_errands(now, clock, asked, flights, free_slots, replicas, servers, routable, crowd):
    """See to what the last event has left behind; return why the loop must stop, or GO_ON."""
    if clock.ended_head != NONE:
        hear_of_ends(now, clock, asked, flights, free_slots, crowd)
    if clock.free_users > 0:
        why = _send_users(now, clock, asked, flights, free_slots, crowd)
        if why != GO_ON:
            return why
    if clock.recheck:
        for r in range(replicas.shape[0]):
            if replicas[r].status == DRAINING and replicas[r].outstanding == 0 and not servers[r].reported:
                _drained(r, clock, servers)
                return DRAINED
        clock.recheck = False
    clock.errands = False
    if clock.held_anew:
        clock.held_anew = False
        if clock.held_head != NONE and routable.shape[0] == 0:
            return HELD_EDGE
    return GO_ON


@compiled
def _send_users(now, clock, asked, flights, free_slots, crowd):
    """Let the users who are free take the next requests of their sources; return why the loop must stop, or GO_ON."""
    for c in range(crowd.sources.shape[0]):
        source = crowd.sources[c]
        while source.free > 0:
            if source.cursor == source.end and not source.last:
                clock.culprit = c
                return SOURCE_EMPTY
            if clock.free_slots == 0:
                return SLOTS_FULL
            source.free -= 1
            clock.free_users -= 1
            row = source.cursor
            if row == source.end:
                continue
            source.cursor += 1
            when_s = now + crowd.source_gaps[row]
            if when_s >= clock.last_arrival_s:
                continue
            clock.free_slots -= 1
            slot = free_slots[clock.free_slots]
            _receive(slot, crowd.source_requests[row], crowd.source_outputs[row], asked, flights)
            new_call(slot, crowd.calls)
            crowd.calls[slot].source = c
            flights[slot].watched = True
            flights[slot].state = AWAY
            set_alarm(slot, when_s, clock, asked, flights, crowd.calls, crowd.alarms)
    return GO_ON


@compiled
def _obey(
    now, factor, victims, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches, phases, books, tables,
    counts, edges, keys, tree, free_slots, crowd, outcomes,
):  # fmt: skip
    """Do to a replica what the control plane wants done."""
    verb, r = clock.verb, clock.culprit
    clock.verb = NOTHING
    if verb == FAIL:
        fail(
            now, r, victims, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches, phases,
            books, tables, counts, edges, keys, tree, free_slots, crowd, outcomes,
        )  # fmt: skip
    elif verb == MIGRATE:
        migrate(
            now, victims, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches, books, tables,
            keys, tree,
        )  # fmt: skip
    else:
        slow(now, r, factor, servers, keys, tree)


@compiled
def _give_up(
    now, slot, status, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches, books, tables,
    values, keys, tree, loads, load_tree, free_slots, crowd, outcomes,
):  # fmt: skip
    """End an attempt that somebody has lost patience with."""
    flight = flights[slot]
    if flight.state == PREFILL or flight.state == DECODE or flight.state == DONE:
        clock.free_slots -= 1
        client = free_slots[clock.free_slots]
        abandon(
            now,
            slot,
            client,
            asked,
            flights,
            servers,
            crowd.calls,
            tables[replicas[flight.replica].pool],
            values,
            keys,
            tree,
        )
        slot = client
    else:
        r, source = flight.replica, flight.source
        withdraw(
            now, slot, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches, books, tables,
            keys, tree,
        )  # fmt: skip
        _note_load(r, clock, replicas, loads, load_tree)
        _note_load(source, clock, replicas, loads, load_tree)
    end_attempt(now, slot, status, clock, asked, flights, replicas, tables, free_slots, crowd, outcomes)


@compiled
def advance(
    until, factor, victims, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order, due_slot,
    replicas, seen, servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes, phases, caches,
    lookups, names, shares, slots, steps, states, tables, values, counts, edges, outcomes, calls, alarms, clients, sequels, predecessors,
    places, sources, source_requests, source_outputs, source_gaps,
):  # fmt: skip
    """Serve until `until` [s] or an edge; return why it stopped. The clock stands at that time.

    If `clock.verb` says so, do that instead to replica `clock.culprit`, with the `victims` in these slots or by `factor`.
    """
    clock, books = clocks[0], Books(shares, slots)
    crowd = Crowd(
        calls, alarms, clients, sequels, predecessors, places, sources, source_requests, source_outputs, source_gaps
    )
    if clock.verb != NOTHING:
        _obey(
            clock.now_s, factor, victims, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches,
            phases, books, tables, counts, edges, keys, tree, free_slots, crowd, outcomes,
        )  # fmt: skip
        clock.errands = True
        return VERB_DONE
    room = outcomes.shape[0] - finishes.shape[1] - 1
    while True:
        if clock.outcomes >= room:
            return OUTCOMES_FULL
        if clock.cursor == requests.shape[0] and not clock.last_chunk:
            return STARVED
        if sequels.shape[0] > 0 and clock.cursor < requests.shape[0] and sequels[clock.cursor].joins > 0:
            if clock.free_slots == 0:  # it has to be there before one that it follows can end
                return SLOTS_FULL
            slot = _read(clock, requests, outputs, asked, flights, free_slots, crowd)
            wait_ahead(slot, clock.cursor - 1, flights, crowd)
            continue
        if clock.held_head != NONE and routable.shape[0] > 0:
            slot = clock.held_head
            unhold(slot, clock, flights)
            if not _dispatch(
                clock.now_s, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas,
                seen, servers, routable, memory, loads, load_tree, phases, caches, lookups, names, books, tables, values,
                keys, tree, crowd, outcomes,
            ):  # fmt: skip
                return BAD_ANSWER
            continue
        if clock.leaving_head != NONE and receivers.shape[0] > 0:
            slot = clock.leaving_head
            unleave(slot, clock, flights)
            source = flights[slot].source
            sent = _send(
                clock.now_s, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas,
                seen, servers, receivers, memory[SENDING_MEMORY:ROUTER_MEMORY], phases, caches, tables, values, keys, tree,
                crowd, outcomes,
            )  # fmt: skip
            if sent < 0:
                return BAD_ANSWER
            _note_load(source, clock, replicas, loads, load_tree)
            if sent > 0:
                _drained(source, clock, servers)
                return DRAINED
            continue
        forming = clock.forming != NONE
        if clock.errands and not forming:
            why = _run_errands(clock.now_s, clock, asked, flights, free_slots, replicas, servers, routable, crowd)
            if why != GO_ON:
                return why
        r = tree[1]
        step_s = keys[r]
        due = due_s[0] if clock.pending > 0 else math.inf
        arrival_s = requests[clock.cursor].arrival_s if clock.cursor < requests.shape[0] else math.inf
        now = min(step_s, due, arrival_s)
        alarm_s, comes = math.inf, False
        if forming:
            r, now, due, arrival_s = clock.forming, clock.now_s, math.inf, math.inf
            step_s = now
        elif clock.alarms > 0:
            first = alarms[0]
            alarm_s = calls[first].alarm_s
            now = min(now, alarm_s)
            comes = flights[first].state == AWAY and alarm_s <= now
            if comes and arrival_s <= now:
                comes = asked[first].id < requests[clock.cursor].id
        if now > until or math.isinf(now):
            if clock.in_flight == 0 and math.isinf(now) and not clock.finished:
                clock.finished = True
                return ALL_FINISHED
            if not math.isinf(until):
                clock.now_s = until
                if clock.scrape_s > 0.0:  # before the control plane does something
                    scrape(until, clock, replicas, seen, servers, phases, tables)
            return ON_TIME
        clock.now_s = now
        if clock.scrape_s > 0.0:
            scrape(now, clock, replicas, seen, servers, phases, tables)
        if comes or arrival_s <= now:
            if comes:
                slot = alarms[0]
                come(now, slot, clock, asked, flights, crowd)
            else:
                if clock.free_slots == 0:
                    return SLOTS_FULL
                slot = _read(clock, requests, outputs, asked, flights, free_slots, crowd)
                clock.in_flight += 1
            if clock.watching:
                status = begin_attempt(now, slot, clock, asked, flights, replicas, crowd)
                if status != FINISHED:
                    end_attempt(now, slot, status, clock, asked, flights, replicas, tables, free_slots, crowd, outcomes)
                    continue
            if routable.shape[0] == 0:
                if hold(slot, clock, flights):
                    return HELD_EDGE
            elif not _dispatch(
                now, slot, route, order, clock, asked, flights, free_slots, due_s, due_order, due_slot, replicas, seen,
                servers, routable, memory, loads, load_tree, phases, caches, lookups, names, books, tables, values, keys,
                tree, crowd, outcomes,
            ):  # fmt: skip
                return BAD_ANSWER
        elif due <= now:
            slot = pop_delivery(due_s, due_order, due_slot, clock.pending)
            clock.pending -= 1
            source = flights[slot].source
            drained = flights[slot].state == SENDING and part(
                now, slot, clock, asked, servers, replicas, flights, caches, tables, keys, tree
            )
            _note_load(source, clock, replicas, loads, load_tree)
            _deliver(now, slot, servers, replicas, asked, flights, books, tables, keys, tree)
            if drained:
                _drained(source, clock, servers)
                return DRAINED
        elif step_s <= now:
            server, replica = servers[r], replicas[r]
            table = tables[replica.pool]
            heap, phase, leaving = finishes[r], phases[r], clock.leaving
            if not forming:
                end_step(
                    now, server, replica, asked, flights, heap, phase, caches[r], lookups[r], names, books, table,
                    values, counts, edges, clock, free_slots, outcomes,
                )  # fmt: skip
                if clock.leaving_head != NONE and receivers.shape[0] > 0:
                    clock.forming = r  # they leave first: that may free blocks for the next step
                    continue
            clock.forming = NONE
            if replica.status == CLOSED:  # it was empty, and said to be
                reschedule(tree, keys, r, math.inf)
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
            if replica.status == DRAINING and replica.outstanding == 0 and not server.reported:
                _drained(r, clock, servers)
                return DRAINED
            if leaving == 0 and clock.leaving > 0:
                return LEAVING_EDGE
        else:
            if clock.free_slots == 0:
                return SLOTS_FULL
            slot = alarms[0]
            status = lose_patience(now, slot, clock, asked, flights, crowd)
            if status != FINISHED:
                _give_up(
                    now, slot, status, clock, asked, flights, due_s, due_order, due_slot, servers, replicas, caches,
                    books, tables, values, keys, tree, loads, load_tree, free_slots, crowd, outcomes,
                )  # fmt: skip


def advance_for(stamp: int, signature):
    """The loop compiled with `signature` and cached under `stamp`, so that a change of any source compiles it anew."""

    @numba.njit(signature, cache=True, _nrt=False)
    def stamped(
        until, factor, victims, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order,
        due_slot, replicas, seen, servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes, phases,
        caches, lookups, names, shares, slots, steps, states, tables, values, counts, edges, outcomes, calls, alarms, clients, sequels,
        predecessors, places, sources, source_requests, source_outputs, source_gaps,
    ):  # fmt: skip
        if stamp < 0:  # never; it makes the stamp part of the cache key
            return -1
        return advance(
            until, factor, victims, route, order, shape, clocks, requests, outputs, asked, flights, free_slots, due_s, due_order,
            due_slot, replicas, seen, servers, routable, receivers, memory, loads, load_tree, keys, tree, finishes,
            phases, caches, lookups, names, shares, slots, steps, states, tables, values, counts, edges, outcomes, calls, alarms, clients,
            sequels, predecessors, places, sources, source_requests, source_outputs, source_gaps,
        )  # fmt: skip

    return stamped
