"""What befalls one sequence of a replica: queued, admitted, decoding, preempted, finished; and the blocks it holds.

Each function keeps every count that depends on it right: the batch (a list in order of admission), the KV blocks, the
prefix cache, the signals for routers and the spans of the outcome. Not here: when it happens (`forming.py`,
`ending.py`).
"""

from infersim.dataplane.adapters import release_adapter
from infersim.dataplane.agenda import find_finish, push_finish, remove_finish
from infersim.dataplane.internal import DECODE, DONE, HANDLING, LEAVING, PREEMPTED, PREFILL, QUEUED
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import blocks_for, blocks_held, filled_at, growth_of, phase_of, promised_blocks
from infersim.dataplane.links import appended, unlinked
from infersim.dataplane.prefix import find_entry, insert_entry, release_entry, use_entry
from infersim.dataplane.queue import pop, push_back, push_front
from infersim.dataplane.records import FAIR_SHARE, FINISHED, NONE, PRIORITY
from infersim.dataplane.shares import charge_begun

NEVER = 1 << 62
"""A decode count that no replica reaches."""

# ---------------------------------------------------------------- the queue


@inlined
def enqueue(now, slot, passed, engine, asked, flights):
    """Put the request in `slot` into its replica's queue."""
    flight, server, table = flights[slot], engine.server, engine.table
    if flight.state == HANDLING:
        flight.handling_s += now - flight.since_s
        server.coming_tokens -= asked[slot].input_tokens
    else:
        flight.transfer_s += now - flight.since_s
        engine.replica.queued_tokens += flight.target - flight.computed
    flight.since_s = now
    flight.state = QUEUED
    if table.queue_order == FAIR_SHARE:
        charge_begun(now, flight.replica, passed, server, asked, flights, engine.shares, table)
    push_back(slot, engine, asked, flights)
    if table.models > 1:
        engine.models[flight.place].queued += 1
    server.queued += 1 if table.plain_blocks else 1 + asked[slot].forks


@inlined
def admit_head(now, engine, asked, flights):
    """Move the head of the queue to the end of the batch; return its slot."""
    server, replica, table = engine.server, engine.replica, engine.table
    slot = pop(engine, asked, flights)
    if table.models > 1:
        engine.models[table.place].queued -= 1
    server.queued -= 1
    if not table.plain_blocks:
        server.queued -= asked[slot].forks
        server.forks += asked[slot].forks
    flight = flights[slot]
    if flight.state == PREEMPTED:
        flight.preempted_s += now - flight.since_s
    else:
        flight.queued_s += now - flight.since_s
    flight.since_s = now
    flight.state = PREFILL
    if table.promises:
        server.promised += promised_blocks(asked[slot], flight, table)
    server.admissions += 1
    flight.admission = server.admissions
    replica.waiting -= 1
    replica.running += 1
    replica.queued_tokens -= flight.target - flight.computed
    if table.queue_order == PRIORITY:
        priority = asked[slot].priority
        server.lowest = priority if server.batch_head == NONE else min(server.lowest, priority)
    server.batch_head, server.batch_tail = appended(slot, server.batch_head, server.batch_tail, flights)
    return slot


@inlined
def leave_batch(slot, engine, asked, flights):
    """Take a sequence out of the batch's list."""
    server = engine.server
    if engine.table.adapter_slots > 0 and flights[slot].adapter != NONE:
        release_adapter(flights[slot], server, engine.slots)
    if not engine.table.plain_blocks:
        server.forks -= asked[slot].forks
    if engine.table.promises:
        server.promised -= promised_blocks(asked[slot], flights[slot], engine.table)
    server.batch_head, server.batch_tail = unlinked(slot, server.batch_head, server.batch_tail, flights)


# ---------------------------------------------------------------- KV blocks


@compiled
def use_prefix(slot, blocks, engine, asked, flights):
    """Let a sequence that is admitted take over its first `blocks` prefix blocks, which are cached."""
    flight, cache = flights[slot], engine.cache
    for k in range(blocks):
        flight.entry = find_entry(cache, engine.lookup, engine.names[asked[slot].prefix_start + k])
        use_entry(engine.server, cache, flight.entry)
    flight.entries = blocks
    flight.computed = blocks * engine.table.prefix_tokens


@compiled
def share_prefix(slot, engine, asked, flights):
    """Make the prompt blocks that a sequence has completed entries of the prefix cache."""
    flight, server, cache, table = flights[slot], engine.server, engine.cache, engine.table
    complete = min(asked[slot].prefix_blocks, flight.computed // table.prefix_tokens)
    while flight.entries < complete:
        name = engine.names[asked[slot].prefix_start + flight.entries]
        entry = find_entry(cache, engine.lookup, name)
        if entry == NONE:
            entry = insert_entry(server, cache, engine.lookup, name, flight.entry)
        elif not use_entry(server, cache, entry):
            server.kv_free += table.entry_blocks  # another sequence holds it: the own copy is freed
        flight.entry = entry
        flight.entries += 1


@inlined
def release_blocks(slot, server, cache, table, asked, flights):
    """Free the KV blocks that a sequence holds; prefix entries that nobody else uses stay in the cache, idle."""
    flight = flights[slot]
    held = blocks_held(flight.computed, flight.rows, asked[slot].input_tokens, table)
    server.kv_free += held
    if table.prefix_tokens > 0:
        _release_entries(flight, server, cache, table)


@compiled
def _release_entries(flight, server, cache, table):
    server.kv_free -= flight.entries * table.entry_blocks
    entry = flight.entry
    while entry != NONE:
        parent = cache[entry].parent
        if release_entry(server, cache, entry):
            server.kv_free += table.entry_blocks
        entry = parent
    flight.entry = NONE
    flight.entries = 0


# ---------------------------------------------------------------- decoding


@inlined
def fork(slot, server, table, asked, flights):
    """Give a sequence whose prompt is processed a row for each sample or beam, with blocks of its own."""
    flight, request = flights[slot], asked[slot]
    server.kv_free += blocks_held(flight.computed, 1, 0, table)
    flight.rows = 1 + request.forks
    flight.computed = request.input_tokens + flight.generated - 1  # outputs processed again were those of all rows
    server.kv_free -= blocks_held(flight.computed, flight.rows, request.input_tokens, table)


@inlined
def join(slot, engine, flights):
    """Let a sequence whose prompt is processed decode from now on."""
    flight, server = flights[slot], engine.server
    flight.state = DECODE
    push_finish(engine.finishes, server.decoding, server.decoded + flight.output_tokens - flight.generated, slot)
    server.decoding += 1
    server.batch += flight.rows
    server.context += (flight.computed + 1) * flight.rows
    note_growth(flight, server, engine.phases, engine.table)


@inlined
def note_growth(flight, server, phases, table):
    """Note when a decoding sequence claims blocks, and how many, its own counts being up to date."""
    flight.joined_at = server.decoded
    if not table.plain_blocks:
        flight.growing = blocks_for(flight.computed, table) < table.window_limit
        if flight.growing:
            server.growing += flight.rows
            server.crossing = min(server.crossing, filled_at(flight, table))
    phases[phase_of(server.decoded - flight.computed, table)] += growth_of(flight, table)


@inlined
def settle(flight, server, phases, table):
    """Bring a decoding sequence's own counts up to its replica's decode counter, and forget its growth."""
    steps = server.decoded - flight.joined_at
    phases[phase_of(flight.joined_at - flight.computed, table)] -= growth_of(flight, table)
    if not table.plain_blocks and flight.growing:
        server.growing -= flight.rows
    flight.computed += steps
    flight.generated += steps
    flight.worked += steps * flight.rows


@inlined
def stop_decoding(slot, position, engine, flights):
    """Take the decoding sequence at `position` of the heap of finishes out of the decode counts and settle its own."""
    flight, server = flights[slot], engine.server
    remove_finish(engine.finishes, server.decoding, position)
    settle(flight, server, engine.phases, engine.table)
    server.decoding -= 1
    server.batch -= flight.rows
    server.context -= (flight.computed + 1) * flight.rows


@compiled
def stop_growing(server, flights, phases, table):
    """Let decoding sequences whose windows are full claim no more blocks for them, and find out who will be next."""
    server.crossing = NEVER
    slot = server.batch_head
    while slot != NONE:
        flight = flights[slot]
        if flight.state == DECODE and flight.growing:
            if filled_at(flight, table) <= server.decoded:
                phase = phase_of(flight.joined_at - flight.computed, table)
                phases[phase] -= table.window_blocks * flight.rows
                server.growing -= flight.rows
                flight.growing = False
            else:
                server.crossing = min(server.crossing, filled_at(flight, table))
        slot = flight.next


@compiled
def preempt(now, slot, step, engine, asked, flights):
    """Push a sequence out of the batch back into the queue; its computed tokens are forgotten or swapped out."""
    server, replica, table = engine.server, engine.replica, engine.table
    flight, keep = flights[slot], False
    if flight.state == DECODE:
        stop_decoding(slot, find_finish(engine.finishes, server.decoding, slot), engine, flights)
        flight.decode_s += now - flight.since_s
        flight.last_token_s = max(server.last_decode_s, flight.since_s)  # it may have sat out prompt steps
        keep = table.swap
    else:
        flight.prefill_s += now - flight.since_s
        server.prefilling = NONE
    leave_batch(slot, engine, asked, flights)
    release_blocks(slot, server, engine.cache, table, asked, flights)
    flight.swapped = keep
    if keep:
        step.copied_blocks += blocks_held(flight.computed, flight.rows, asked[slot].input_tokens, table)
        flight.target = flight.computed
    else:
        flight.rows = 1
        flight.computed = 0
        flight.target = asked[slot].input_tokens + (1 + asked[slot].forks) * flight.generated
    flight.since_s = now
    flight.state = PREEMPTED
    flight.preemptions += 1
    step.preemptions += 1
    push_front(slot, engine, asked, flights)
    if table.models > 1:
        engine.models[table.place].queued += 1
    server.queued += 1 + asked[slot].forks
    replica.running -= 1
    replica.waiting += 1
    replica.queued_tokens += flight.target - flight.computed


# ---------------------------------------------------------------- the end


@compiled
def leave(now, slot, engine, asked, flights, clock):
    """Let a sequence whose prompt is processed leave for a decode replica; its blocks stay until it has been sent."""
    flight = flights[slot]
    leave_batch(slot, engine, asked, flights)
    engine.replica.running -= 1
    flight.source = flight.replica
    flight.state = LEAVING
    flight.last_token_s = now
    flight.worked_before, flight.worked = flight.worked, 0
    flight.pool_before = engine.replica.pool
    clock.leaving_head, clock.leaving_tail = appended(slot, clock.leaving_head, clock.leaving_tail, flights)
    clock.leaving += 1


@inlined
def finish(now, slot, engine, roll, clock):
    """End a sequence of the batch whose counters are settled."""
    flight, server, replica, table = roll.flights[slot], engine.server, engine.replica, engine.table
    flight.decode_s += now - flight.since_s
    leave_batch(slot, engine, roll.asked, roll.flights)
    if flight.state != DONE:
        release_blocks(slot, server, engine.cache, table, roll.asked, roll.flights)
    server.requests += 1
    replica.running -= 1
    replica.outstanding -= 1
    table.ended += 1
    write_outcome(now, slot, FINISHED, replica.pool, replica.serial, roll, clock)


@inlined
def write_outcome(now, slot, status, pool, serial, roll, clock):
    """Record how the request in `slot` ended, and free the slot, unless a client has to hear of it first."""
    flight, request = roll.flights[slot], roll.asked[slot]
    row = roll.outcomes[clock.outcomes]
    row.id = request.id
    row.arrival_s = request.arrival_s
    row.input_tokens = request.input_tokens
    row.output_tokens = flight.generated
    row.forks = request.forks
    row.adapter = request.adapter
    row.tenant = request.tenant
    row.pool = pool
    row.replica = serial
    row.status = status
    row.first_token_s = flight.first_token_s
    row.finish_s = now
    row.held_s = flight.held_s
    row.handling_s = flight.handling_s
    row.queued_s = flight.queued_s
    row.prefill_s = flight.prefill_s
    row.decode_s = flight.decode_s
    row.preempted_s = flight.preempted_s
    row.transfer_s = flight.transfer_s
    row.preemptions = flight.preemptions
    row.cached_tokens = max(flight.cached_tokens, 0)
    row.host_cached_tokens = flight.host_cached_tokens if flight.cached_tokens > 0 else 0
    row.away_s = flight.away_s
    row.retries = flight.retries
    row.wasted_tokens = flight.wasted_tokens
    row.step = row.discarded_tokens = 0
    row.cascade_s = 0.0
    clock.outcomes += 1
    clock.in_flight -= 1
    if flight.watched:
        flight.status = status
        clock.errands = True
        _note_end(slot, clock, roll.asked, roll.flights)
        return
    roll.free_slots[clock.free_slots] = slot
    clock.free_slots += 1


@compiled
def _note_end(slot, clock, asked, flights):
    """Put a request into the list of those that have just ended, sorted by id."""
    before, after = NONE, clock.ended_head
    while after != NONE and asked[after].id < asked[slot].id:
        before, after = after, flights[after].next
    flights[slot].next = after
    if before == NONE:
        clock.ended_head = slot
    else:
        flights[before].next = slot
