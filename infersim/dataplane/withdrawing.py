"""Taking requests out before they are done: given up by their clients, handed back by a failing or draining replica.

DESIGN.md, "Failure", "Draining by migration" and "Patience", is the specification. Not here: what the client does next
(`clients.py`), and the step that is broken off (`failing.py`).
"""

from infersim.dataplane.agenda import drop_delivery, find_finish, reschedule
from infersim.dataplane.chance import accepted_drafts
from infersim.dataplane.engines import engine_of
from infersim.dataplane.internal import DECODE, DONE, HANDLING, HELD, LEAVING, PREEMPTED, PREFILL, QUEUED, SENDING
from infersim.dataplane.jit import compiled
from infersim.dataplane.links import appended, unlinked
from infersim.dataplane.progress import steps_begun, steps_done
from infersim.dataplane.queue import remove
from infersim.dataplane.records import ALL, DRAINING, NONE
from infersim.dataplane.sequences import leave_batch, release_blocks, stop_decoding
from infersim.dataplane.timing import leap_end


@compiled
def hold(slot, clock, roll, tables):
    """Append a request that has no replica to the list of held ones; return whether it is the first, for some pool."""
    clock.held_head, clock.held_tail = appended(slot, clock.held_head, clock.held_tail, roll.flights)
    clock.held += 1
    return _count_held(roll.asked[slot].model, 1, tables) if clock.models else clock.held == 1


@compiled
def _count_held(model, more, tables):
    """Count a held request for the pools that serve its model; return whether it is the first for one of them."""
    first = False
    for t in range(tables.shape[0]):
        if tables[t].model == model:
            pool = tables[tables[t].pool]
            pool.held += more
            first = first or pool.held == 1
    return first


@compiled
def unhold(slot, clock, roll, tables):
    """Take a request out of the list of held ones."""
    if clock.held_next == slot:
        clock.held_next = roll.flights[slot].next
    clock.held_head, clock.held_tail = unlinked(slot, clock.held_head, clock.held_tail, roll.flights)
    clock.held -= 1
    if clock.models:
        _count_held(roll.asked[slot].model, -1, tables)


@compiled
def unleave(slot, clock, flights):
    """Take a sequence out of the list of those that wait for a decode replica."""
    clock.leaving_head, clock.leaving_tail = unlinked(slot, clock.leaving_head, clock.leaving_tail, flights)
    clock.leaving -= 1


@compiled
def part(now, slot, roll, ends, engines, tables):
    """Let a sequence leave its prefill replica for good; return whether that drained the replica."""
    flight = roll.flights[slot]
    r = flight.source
    server, replica = engines.servers[r], engines.replicas[r]
    table = tables[replica.pool]
    release_blocks(slot, server, engines.caches[r], table, roll.asked, roll.flights)
    flight.target = flight.computed
    replica.outstanding -= 1
    table.ended += 1
    if server.steps == 0 and server.queue_head != NONE:
        reschedule(ends, r, now)
    return replica.status == DRAINING and replica.outstanding == 0


@compiled
def close_span(now, slot, flights):
    """Add the time since a request entered its state to the span of that state."""
    flight = flights[slot]
    spent_s = now - flight.since_s
    if flight.state == HELD:
        flight.held_s += spent_s
    elif flight.state == HANDLING:
        flight.handling_s += spent_s
    elif flight.state == QUEUED:
        flight.queued_s += spent_s
    elif flight.state == PREFILL:
        flight.prefill_s += spent_s
    elif flight.state == PREEMPTED:
        flight.preempted_s += spent_s
    elif flight.state == LEAVING or flight.state == SENDING:
        flight.transfer_s += spent_s
    else:
        flight.decode_s += spent_s
    flight.since_s = now


@compiled
def cut_leap(now, r, passed, servers, ends):
    """Let a running leap end with the step that runs `now`."""
    server = servers[r]
    if server.steps > 1:
        steps = steps_begun(now, r, passed, server)
        if steps < server.steps:
            batch = server.batch if server.decodes else 0
            server.steps = steps
            ends_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, batch, steps)
            reschedule(ends, r, ends_s)


@compiled
def withdraw(now, slot, clock, roll, deliveries, ends, engines, pools):
    """Take a request that is in no batch out of wherever it is, and close its span."""
    flights, tables = roll.flights, pools.tables
    flight = flights[slot]
    state, r = flight.state, flight.replica
    close_span(now, slot, flights)
    if state == HELD:
        unhold(slot, clock, roll, tables)
        return
    if state == LEAVING:
        unleave(slot, clock, flights)
        if part(now, slot, roll, ends, engines, tables):
            clock.recheck = clock.errands = True
        return
    engine = engine_of(r, engines, tables)
    server, replica, table = engine.server, engine.replica, engine.table
    if state in (HANDLING, SENDING):
        drop_delivery(deliveries, clock.pending, slot)
        clock.pending -= 1
        if state == HANDLING:
            server.coming_tokens -= roll.asked[slot].input_tokens
            replica.queued_tokens -= roll.asked[slot].input_tokens
        if state == SENDING and part(now, slot, roll, ends, engines, tables):
            clock.recheck = clock.errands = True
    else:
        remove(slot, engine, roll.asked, flights)
        if table.models > 1:
            engine.models[flight.place].queued -= 1
        server.queued -= 1 if table.plain_blocks else 1 + roll.asked[slot].forks
        replica.queued_tokens -= flight.target - flight.computed
        cut_leap(now, r, clock.passed, engines.servers, ends)
        if server.steps == 0 and server.queue_head != NONE:
            reschedule(ends, r, now)
    replica.outstanding -= 1
    replica.waiting -= 1
    table.ended += 1
    if replica.status == DRAINING and replica.outstanding == 0:
        clock.recheck = clock.errands = True


# ---------------------------------------------------------------- sequences of a batch


@compiled
def abandon(now, slot, copy, asked, flights, servers, calls, table, values, ends):
    """Leave a sequence of a batch as a ghost until its step ends; its client goes on in the slot `copy`."""
    flight = flights[slot]
    server = servers[flight.replica]
    flights[copy] = flights[slot]
    asked[copy] = asked[slot]
    calls[copy] = calls[slot]
    client = flights[copy]
    if flight.state == DECODE:
        ended = server.decoded - flight.joined_at
        running = 0
        if server.decodes:
            done = steps_done(now, server)
            ended += done
            running = 1 if done < server.steps else 0
        client.computed += ended
        client.generated += ended
        client.worked += (ended + running) * flight.rows
        if running > 0 and table.draft_tokens > 0:
            most = min(table.draft_tokens, flight.output_tokens - client.generated - 1)
            client.worked += accepted_drafts(asked[slot].id, client.generated + 1, most, table, values)
    elif flight.state == PREFILL:
        client.worked += flight.chunk
    close_span(now, copy, flights)
    client.entry = NONE
    client.adapter = NONE
    client.entries = 0
    flight.watched = False
    flight.ghost = True
    server.ghosts += 1
    cut_leap(now, flight.replica, ALL, servers, ends)


@compiled
def bury(slot, engine, roll, clock):
    """Take a ghost out of its batch and free what it holds."""
    flight, server, replica = roll.flights[slot], engine.server, engine.replica
    if flight.state == DECODE:
        stop_decoding(slot, find_finish(engine.finishes, server.decoding, slot), engine, roll.flights)
    leave_batch(slot, engine, roll.asked, roll.flights)
    if flight.state != DONE:
        release_blocks(slot, server, engine.cache, engine.table, roll.asked, roll.flights)
    flight.ghost = False
    server.ghosts -= 1
    replica.running -= 1
    replica.outstanding -= 1
    engine.table.ended += 1
    roll.free_slots[clock.free_slots] = slot
    clock.free_slots += 1


@compiled
def bury_all(engine, roll, clock):
    """Take the ghosts out of a batch whose step has ended, but for those of whose prompt the step held a chunk."""
    server, flights = engine.server, roll.flights
    slot = server.batch_head
    while slot != NONE:
        following = flights[slot].next
        if flights[slot].ghost and not (server.mixed and flights[slot].state == PREFILL):
            if flights[slot].state == PREFILL:
                server.prefilling = NONE
            bury(slot, engine, roll, clock)
        slot = following
