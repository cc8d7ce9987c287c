"""One replica's engine: forming steps (continuous batching with chunked prefill) and carrying them out.

DESIGN.md, "What the data plane does, exactly", is the specification. Not here: the order of events over replicas
(`loop.py`) and the costs (given as tables).
"""

import math

from infersim.dataplane.agenda import SLOT_MASK, find_finish, push_finish, remove_finish
from infersim.dataplane.jit import compiled
from infersim.dataplane.kvcache import affordable_steps, blocks_for, claimed
from infersim.dataplane.records import DECODE, FINISHED, NONE, PREEMPTED, PREFILL, QUEUED
from infersim.dataplane.timing import count_itl, itl_bin, leap_end

LEAP_LIMIT = 1 << 30
"""Most steps of a leap; keeps sums of contexts within 64 bits."""


# ---------------------------------------------------------------- the batch, a list in order of admission


@compiled
def _append_to_batch(server, flights, slot):
    flights[slot].previous = server.batch_tail
    flights[slot].next = NONE
    if server.batch_tail == NONE:
        server.batch_head = slot
    else:
        flights[server.batch_tail].next = slot
    server.batch_tail = slot


@compiled
def _unlink_from_batch(server, flights, slot):
    before, after = flights[slot].previous, flights[slot].next
    if before == NONE:
        server.batch_head = after
    else:
        flights[before].next = after
    if after == NONE:
        server.batch_tail = before
    else:
        flights[after].previous = before


# ---------------------------------------------------------------- sequences that change state


@compiled
def enqueue(now, slot, server, replica, flights):
    """Append the request in `slot` to its replica's queue."""
    flight = flights[slot]
    flight.handling_s += now - flight.since_s
    flight.since_s = now
    flight.state = QUEUED
    flight.next = NONE
    if server.queue_tail == NONE:
        server.queue_head = slot
    else:
        flights[server.queue_tail].next = slot
    server.queue_tail = slot
    replica.queued_tokens += flight.target


@compiled
def _admit(now, slot, server, replica, flights):
    """Move the head of the queue, in `slot`, to the end of the batch."""
    flight = flights[slot]
    server.queue_head = flight.next
    if server.queue_head == NONE:
        server.queue_tail = NONE
    if flight.state == PREEMPTED:
        flight.preempted_s += now - flight.since_s
    else:
        flight.queued_s += now - flight.since_s
    flight.since_s = now
    flight.state = PREFILL
    _append_to_batch(server, flights, slot)
    replica.waiting -= 1
    replica.running += 1
    replica.queued_tokens -= flight.target
    if server.prefilling == NONE:
        server.prefilling = slot


@compiled
def _stop_decoding(r, slot, server, flights, heap, phases, block_size):
    """Take a decoding sequence out of the decode bookkeeping and settle its counters; its blocks stay with it."""
    flight = flights[slot]
    steps = server.decoded - flight.joined_at
    phases[r, (flight.joined_at - flight.computed) % block_size] -= 1
    flight.computed += steps
    flight.generated += steps
    server.context -= flight.computed + 1
    server.batch -= 1


@compiled
def _preempt(now, r, input_tokens, server, replica, flights, heap, phases, block_size):
    """Push the sequence that was admitted last back to the front of the queue; its computed tokens are forgotten."""
    slot = server.batch_tail
    flight = flights[slot]
    if flight.state == DECODE:
        position = find_finish(heap, server.batch, slot)
        remove_finish(heap, server.batch, position)
        _stop_decoding(r, slot, server, flights, heap, phases, block_size)
        flight.decode_s += now - flight.since_s
        flight.last_token_s = now
    else:
        flight.prefill_s += now - flight.since_s
        server.prefilling = NONE
    _unlink_from_batch(server, flights, slot)
    server.kv_free += blocks_for(flight.computed, block_size)
    flight.since_s = now
    flight.state = PREEMPTED
    flight.preemptions += 1
    flight.computed = 0
    flight.target = input_tokens[slot].input_tokens + flight.generated
    flight.next = server.queue_head
    server.queue_head = slot
    if server.queue_tail == NONE:
        server.queue_tail = slot
    replica.running -= 1
    replica.waiting += 1
    replica.queued_tokens += flight.target


@compiled
def _finish(now, slot, server, replica, asked, flights, table, clock, free_slots, outcomes):
    """End the sequence in `slot`, in the batch with its counters settled: free its blocks, write its outcome."""
    flight = flights[slot]
    _unlink_from_batch(server, flights, slot)
    server.kv_free += blocks_for(flight.computed, table.block_size)
    server.requests += 1
    replica.running -= 1
    replica.outstanding -= 1
    write_outcome(now, slot, FINISHED, replica.pool, server.serial, asked, flights, table, clock, free_slots, outcomes)


@compiled
def write_outcome(now, slot, status, pool, serial, asked, flights, table, clock, free_slots, outcomes):
    """Record how the request in `slot` ended and free the slot."""
    flight, request = flights[slot], asked[slot]
    row = outcomes[clock.outcomes]
    row.id = request.id
    row.arrival_s = request.arrival_s
    row.input_tokens = request.input_tokens
    row.output_tokens = flight.generated
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
    row.preemptions = flight.preemptions
    clock.outcomes += 1
    clock.in_flight -= 1
    table.ended += 1
    free_slots[clock.free_slots] = slot
    clock.free_slots += 1


# ---------------------------------------------------------------- forming a step


@compiled
def _claim_for_decoding(now, r, server, replica, asked, flights, heap, phases, block_size):
    """Preempt until the decoding sequences can claim the blocks of their next token; return (blocks, preemptions)."""
    preemptions = 0
    while True:
        need = phases[r, server.decoded % block_size]
        if need <= server.kv_free:
            return need, preemptions
        _preempt(now, r, asked, server, replica, flights, heap, phases, block_size)
        preemptions += 1


@compiled
def _add_chunk(flight, chunk, table):
    """Give a sequence `chunk` prompt tokens of the step; return the attention time [s] and count its shape."""
    flight.chunk = chunk
    pairs = float(chunk) * flight.computed + 0.5 * (float(chunk) * (chunk + 1))
    context = float(flight.computed + chunk)
    compute_s = table.prefill_per_pair_s * pairs
    memory_s = table.prefill_per_context_s * context
    table.prefill_chunks += 1.0
    table.prefill_pairs += pairs
    table.prefill_context += context
    if compute_s >= memory_s:
        table.prefill_compute_s += compute_s
        return table.prefill_chunk_s + compute_s
    table.prefill_memory_s += memory_s
    return table.prefill_chunk_s + memory_s


@compiled
def form_step(now, r, server, replica, asked, flights, heap, phases, table, values, counts):
    """Form the next step or leap of replica `r`; return when it ends [s], inf if there is nothing to do."""
    block_size = table.block_size
    need, preemptions = _claim_for_decoding(now, r, server, replica, asked, flights, heap, phases, block_size)
    free = server.kv_free - need
    budget = table.max_num_batched_tokens - server.batch
    sequences = server.batch
    attention_s = 0.0

    partial = server.prefilling
    if partial != NONE and budget > 0:
        flight = flights[partial]
        chunk = min(flight.target - flight.computed, budget)
        blocks = blocks_for(flight.computed + chunk, block_size) - blocks_for(flight.computed, block_size)
        if blocks <= free:
            free -= blocks
            budget -= chunk
            sequences += 1
            attention_s += _add_chunk(flight, chunk, table)
        else:
            _preempt(now, r, asked, server, replica, flights, heap, phases, block_size)
            free = server.kv_free - need
            preemptions += 1
    elif partial != NONE:
        flights[partial].chunk = 0

    starving = False  # whether the head of the queue may be admitted to the very next step
    if preemptions > 0:
        starving = True
    else:
        # An engine that has nothing scheduled ahead, because its batch is empty and its queue young, takes all at once.
        young = server.queue_head != NONE and flights[server.queue_head].since_s > server.last_start_s
        scheduled_ahead = table.async_scheduling and not (replica.running == 0 and young)
        while server.queue_head != NONE and replica.running < replica.max_num_seqs and budget > 0:
            slot = server.queue_head
            flight = flights[slot]
            if scheduled_ahead and flight.since_s > server.last_start_s:
                starving = True
                break
            chunk = min(flight.target, budget)
            blocks = blocks_for(chunk, block_size)
            if blocks > free:
                break
            free -= blocks
            budget -= chunk
            sequences += 1
            _admit(now, slot, server, replica, flights)
            attention_s += _add_chunk(flight, chunk, table)

    tokens = table.max_num_batched_tokens - budget
    server.mixed = sequences > server.batch
    if sequences == 0:
        server.steps = 0
        server.last_start_s = math.inf
        return math.inf
    return _start(now, r, server, heap, phases, table, values, tokens, sequences, attention_s, free, starving)


@compiled
def _start(now, r, server, heap, phases, table, values, tokens, sequences, attention_s, free, starving):
    """Start the step that was formed, and let it leap if only decoding sequences are in it; return when it ends [s]."""
    batch = server.batch
    server.start_s = now
    server.base_s = (
        values[table.linear + tokens] + values[table.sequences + sequences] + values[table.decode_base + batch]
    ) + attention_s
    server.slope_s = values[table.decode_per_context + batch]
    server.steps = 1
    if server.mixed:
        server.kv_free = free
    elif not starving and server.prefilling == NONE:
        most = min((heap[0] >> 24) - server.decoded, LEAP_LIMIT)
        server.steps = affordable_steps(phases, r, server.decoded, batch, table.block_size, server.kv_free, most)
    return leap_end(now, server.base_s, server.slope_s, server.context, batch, server.steps)


# ---------------------------------------------------------------- carrying it out


@compiled
def end_step(now, r, server, replica, asked, flights, heap, phases, table, counts, edges, clock, free_slots, outcomes):
    """Carry out the step or leap of replica `r` that ends now: tokens, finishes, prompts processed, counts."""
    steps, batch = server.steps, server.batch
    if steps == 0:
        return
    server.busy_s += now - server.start_s
    server.total_steps += steps
    table.busy_s += now - server.start_s
    server.last_start_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, batch, steps - 1)
    _count_decode(now, server, table, counts, edges, steps)
    if batch > 0:
        if not server.mixed:
            server.kv_free -= claimed(phases, r, server.decoded, batch, table.block_size, steps)
        server.decoded += steps
        server.context += steps * batch
        server.output_tokens += steps * batch
        table.output_tokens += steps * batch
        while server.batch > 0 and heap[0] >> 24 == server.decoded:
            slot = heap[0] & SLOT_MASK
            remove_finish(heap, server.batch, 0)
            _stop_decoding(r, slot, server, flights, heap, phases, table.block_size)
            flights[slot].decode_s += now - flights[slot].since_s
            _finish(now, slot, server, replica, asked, flights, table, clock, free_slots, outcomes)
    if server.mixed:
        _end_chunks(
            now,
            r,
            server,
            replica,
            asked,
            flights,
            heap,
            phases,
            table,
            counts,
            edges,
            clock,
            free_slots,
            outcomes,
            batch,
        )
    server.steps = 0


@compiled
def _count_decode(now, server, table, counts, edges, steps):
    """Count the decode side of the step or leap that ends now."""
    batch = server.batch
    counts[table.by_batch + batch] += steps
    if batch > 0:
        first_s = server.base_s + server.slope_s * server.context
        count_itl(counts, table.itl, edges, first_s, server.slope_s * batch, steps, batch)
        table.itl_sum_s += (now - server.start_s) * batch
        counts[table.context_by_batch + batch] += steps * server.context + batch * (steps * (steps - 1) // 2)
    if not server.mixed:
        counts[table.by_tokens + batch] += steps
        counts[table.by_sequences + batch] += steps


@compiled
def _end_chunks(
    now, r, server, replica, asked, flights, heap, phases, table, counts, edges, clock, free_slots, outcomes, batch
):
    """End the prompt chunks of the step: sequences whose prompt is processed emit a token and decode from now on."""
    tokens, sequences = batch, batch
    slot = server.prefilling
    server.prefilling = NONE
    while slot != NONE:
        flight = flights[slot]
        following = flight.next
        tokens += flight.chunk
        sequences += 1
        flight.computed += flight.chunk
        if flight.computed < flight.target:
            server.prefilling = slot
        else:
            flight.prefill_s += now - flight.since_s
            flight.since_s = now
            flight.generated += 1
            server.output_tokens += 1
            table.output_tokens += 1
            if math.isnan(flight.last_token_s):
                flight.first_token_s = now
            else:
                counts[table.itl + itl_bin(now - flight.last_token_s, edges)] += 1.0
                table.itl_sum_s += now - flight.last_token_s
                flight.last_token_s = math.nan
            if flight.generated == flight.output_tokens:
                _finish(now, slot, server, replica, asked, flights, table, clock, free_slots, outcomes)
            else:
                _join(r, slot, server, flights, heap, phases, table.block_size)
        slot = following
    counts[table.by_tokens + tokens] += 1.0
    counts[table.by_sequences + sequences] += 1.0


@compiled
def _join(r, slot, server, flights, heap, phases, block_size):
    """Let the sequence in `slot`, its prompt processed, decode from the next step on."""
    flight = flights[slot]
    flight.state = DECODE
    flight.joined_at = server.decoded
    phases[r, (server.decoded - flight.computed) % block_size] += 1
    push_finish(heap, server.batch, server.decoded + flight.output_tokens - flight.generated, slot)
    server.batch += 1
    server.context += flight.computed + 1
