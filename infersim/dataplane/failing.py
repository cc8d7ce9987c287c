"""What the control plane does to a replica from one moment to the next: it fails, slows down, or hands its queue back.

DESIGN.md, "Failure", "Slow replicas" and "Draining by migration", is the specification. Not here: who decides it
(`infersim/controlplane/`).
"""

import math

from infersim.dataplane.adapters import count_adapters
from infersim.dataplane.agenda import reschedule
from infersim.dataplane.clients import end_attempt, restart
from infersim.dataplane.engines import engine_of
from infersim.dataplane.internal import DECODE, DONE, HANDLING, HELD, PREFILL, QUEUED
from infersim.dataplane.jit import compiled
from infersim.dataplane.progress import add_steps, steps_done
from infersim.dataplane.records import ALL, LOST, NONE
from infersim.dataplane.sequences import settle
from infersim.dataplane.switching import end_switch, table_for
from infersim.dataplane.timing import leap_end
from infersim.dataplane.withdrawing import close_span, cut_leap, hold, withdraw

NOTHING, FAIL, MIGRATE, SLOW = range(4)
"""What the control plane may want done, as `clock.verb`."""


@compiled
def fail(now, r, victims, clock, roll, deliveries, ends, engines, pools, crowd):
    """Let a replica fail; `victims` are the slots of all that it holds, by routing number."""
    engine, flights, tables = engine_of(r, engines, pools.tables), roll.flights, pools.tables
    server, replica, table = engine.server, engine.replica, engine.table
    if server.switching:
        end_switch(now, server, table)
    if server.steps > 0:
        _break_off(now, server, flights, table, pools.counts, pools.edges)
    for slot in victims:
        flight = flights[slot]
        if flight.state == PREFILL or flight.state == DECODE or flight.state == DONE:
            if flight.state == DECODE:
                settle(flight, server, engine.phases, table)
            close_span(now, slot, flights)
            flight.entry = NONE
            flight.adapter = NONE
            replica.running -= 1
            replica.outstanding -= 1
            table.ended += 1
        else:
            withdraw(now, slot, clock, roll, deliveries, ends, engines, pools)
        if flight.ghost:
            flight.ghost = False
            roll.free_slots[clock.free_slots] = slot
            clock.free_slots += 1
        elif flight.replays < clock.replays:
            flight.replays += 1
            if flight.worked > 0:
                tables[table_for(roll.asked[slot].model, replica.pool, tables)].wasted_tokens += flight.worked
            if flight.worked_before > 0:
                tables[flight.pool_before].wasted_tokens += flight.worked_before
            restart(now, slot, roll.asked, flights)
            _hold_again(slot, clock, roll, tables)
        else:
            end_attempt(now, slot, LOST, clock, roll, engines.replicas, tables, crowd)
    reschedule(ends, r, math.inf)


@compiled
def _hold_again(slot, clock, roll, tables):
    """Hand a request back to the router."""
    roll.flights[slot].state = HELD
    if hold(slot, clock, roll, tables):
        clock.held_anew = True
    if clock.held_next == NONE:
        clock.held_next = slot


@compiled
def _break_off(now, server, flights, table, counts, edges):
    """Carry out the steps of a leap that have ended, and count the share of the one that is broken off."""
    batch = server.batch if server.decodes else 0
    steps = steps_done(now, server)
    context = server.context if batch > 0 else 0
    begun_s = leap_end(server.start_s, server.base_s, server.slope_s, context, batch, steps)
    ends_s = leap_end(server.start_s, server.base_s, server.slope_s, context, batch, steps + 1)
    share = (now - begun_s) / (ends_s - begun_s) if ends_s > begun_s else 0.0
    server.busy_s += now - server.start_s
    table.busy_s += now - server.start_s
    table.slowed_s += (now - server.start_s) * (1.0 - 1.0 / server.pace)
    server.total_steps += steps
    if steps > 0:
        add_steps(server, table, counts, edges, steps)
        server.decoded += steps
        server.context += steps * batch
        server.output_tokens += steps * batch
    server.steps = 0
    counts[table.by_batch + batch] += share
    if server.adapters > 0:
        count_adapters(server, table, share)
    if batch > 0:
        counts[table.context_by_batch + batch] += share * server.context
    tokens, sequences = batch * (1 + table.draft_tokens), batch
    if server.rows > 0:
        tokens, sequences = server.rows * (1 + table.draft_tokens), server.rows
    decoding = tokens
    slot = server.prefilling if server.mixed else NONE
    while slot != NONE:
        flight = flights[slot]
        if flight.state == PREFILL and flight.chunk > 0:
            tokens += flight.chunk
            sequences += 1
            table.prompt_tokens += share * flight.chunk
            _take_back(flight, 1.0 - share, table)
        slot = flight.next
    if table.prompts != NONE and server.mixed:
        counts[table.by_prompt_tokens + tokens - decoding] += share
    if table.mixed != NONE and server.mixed:
        counts[table.mixed_by_tokens + tokens] += share
    counts[table.by_tokens + tokens] += share
    counts[table.by_sequences + sequences] += share


@compiled
def _take_back(flight, rest, table):
    """Take the rest of a chunk that was broken off out of the counts; they were made when its step began."""
    pairs = float(flight.chunk) * flight.computed + 0.5 * (float(flight.chunk) * (flight.chunk + 1))
    context = float(flight.computed + flight.chunk)
    compute_s = table.prefill_per_pair_s * pairs
    memory_s = table.prefill_per_context_s * context
    table.prefill_chunks -= rest
    table.prefill_pairs -= rest * pairs
    table.prefill_context -= rest * context
    if compute_s >= memory_s:
        table.prefill_compute_s -= rest * compute_s
    else:
        table.prefill_memory_s -= rest * memory_s


@compiled
def migrate(now, victims, clock, roll, deliveries, ends, engines, pools):
    """Hand the requests back that have not started at a draining replica."""
    for slot in victims:
        flight = roll.flights[slot]
        if flight.source == NONE and (flight.state == HANDLING or flight.state == QUEUED):
            withdraw(now, slot, clock, roll, deliveries, ends, engines, pools)
            flight.replica = NONE
            _hold_again(slot, clock, roll, pools.tables)


@compiled
def slow(now, r, factor, servers, ends):
    """Let a replica's steps take `factor` times as long, from the next one on."""
    server = servers[r]
    server.slowdown = factor
    if server.steps > 1:
        cut_leap(now, r, ALL, servers, ends)
