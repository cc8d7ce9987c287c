"""Carrying out a step or leap that has ended: tokens, finished sequences, prompts that are processed, and the counts.

Not here: what the next step holds (`forming.py`).
"""

import math

from infersim.dataplane.adapters import count_adapters
from infersim.dataplane.agenda import SLOT_BITS, SLOT_MASK, push_finish
from infersim.dataplane.chance import accepted_drafts
from infersim.dataplane.internal import DECODE, DONE, PREFILL
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import blocks_held, blocks_to_process, claimed, growth
from infersim.dataplane.prefix import make_room
from infersim.dataplane.records import FAIR_SHARE, NONE, PREFILL_ONLY
from infersim.dataplane.sequences import (
    finish,
    fork,
    join,
    leave,
    note_growth,
    release_blocks,
    settle,
    share_prefix,
    stop_decoding,
    stop_growing,
)
from infersim.dataplane.shares import charge_outputs
from infersim.dataplane.switching import end_switch
from infersim.dataplane.timing import count_itl, itl_bin, leap_end
from infersim.dataplane.withdrawing import bury, bury_all


@inlined
def end_step(now, engine, roll, pools, clock):
    """Carry out the step or leap of a replica that ends now."""
    server, table, phases, asked, flights = engine.server, engine.table, engine.phases, roll.asked, roll.flights
    steps = server.steps
    if steps == 0:
        return
    if server.switching:
        end_switch(now, server, table)
        return
    batch = server.batch if server.decodes else 0
    if table.queue_order == FAIR_SHARE:
        charge_outputs(server, asked, flights, engine.shares, table, steps)
        server.charged_steps = 0
    server.steps = 0
    server.busy_s += now - server.start_s
    server.total_steps += steps
    table.busy_s += now - server.start_s
    if server.pace != 1.0:
        table.slowed_s += (now - server.start_s) * (1.0 - 1.0 / server.pace)
    context = server.context if batch > 0 else 0
    server.last_start_s = leap_end(server.start_s, server.base_s, server.slope_s, context, batch, steps - 1)
    _count_steps(now, server, flights, table, pools.counts, pools.edges, batch, steps)
    if batch > 0:
        if not server.mixed:
            server.kv_free -= claimed(phases, server.decoded, growth(server, table), steps, table)
            make_room(server.kv_free, server, engine.cache, engine.lookup, table)
        server.last_decode_s = now
        server.decoded += steps
        server.context += steps * batch
        server.output_tokens += steps * batch
        table.output_tokens += steps * batch
        if server.decoded >= server.crossing:
            stop_growing(server, flights, phases, table)
        if table.draft_tokens > 0:
            _accept_drafts(engine, asked, flights, pools.values)
    if server.ghosts > 0:
        bury_all(engine, roll, clock)
    if batch > 0:
        _finish_decoding(now, engine, roll, clock)
    if server.mixed:
        server.stalled = server.batch > 0 and batch == 0
        _end_chunks(now, engine, roll, pools, clock, batch)
    else:
        server.stalled = False


@inlined
def _count_steps(now, server, flights, table, counts, edges, batch, steps):
    """Count the decode side of the step or leap that ends now; `_end_chunks` counts the rest of a mixed one."""
    counts[table.by_batch + batch] += steps
    if table.adapter_slots > 0 and server.adapters > 0:
        count_adapters(server, table, steps)
    if batch > 0:
        counts[table.context_by_batch + batch] += steps * server.context + batch * (steps * (steps - 1) // 2)
        if server.stalled:
            _count_late_tokens(now, server, flights, table, counts, edges)
        else:
            first_s = server.base_s + server.slope_s * server.context
            growth_s = server.slope_s * batch
            server.itl_bin = count_itl(counts, table.itl, edges, server.itl_bin, first_s, growth_s, steps, batch)
            table.itl_sum_s += (now - server.start_s) * batch
    if not server.mixed:
        width = server.rows if server.rows > 0 else batch
        counts[table.by_tokens + width * (1 + table.draft_tokens)] += steps
        counts[table.by_sequences + width] += steps


@compiled
def _count_late_tokens(now, server, flights, table, counts, edges):
    """Count the inter-token latencies of a decode step before which sequences had to wait, one by one."""
    slot = server.batch_head
    while slot != NONE:
        flight = flights[slot]
        if flight.state == DECODE:
            last_s = max(server.last_decode_s, flight.since_s)
            if not math.isnan(flight.last_token_s):
                last_s = flight.last_token_s
                flight.last_token_s = math.nan
            counts[table.itl + itl_bin(now - last_s, edges)] += flight.rows
            table.itl_sum_s += (now - last_s) * flight.rows
        slot = flight.next


@compiled
def _accept_drafts(engine, asked, flights, values):
    """Give each decoding sequence the draft tokens that were accepted in the step, beside the one that is always right.

    Draft tokens are accepted from the first on, each with its chance, until one is not.
    """
    server, table, phases = engine.server, engine.table, engine.phases
    sequences = 0
    slot = server.batch_head
    while slot != NONE:
        flight = flights[slot]
        if flight.state == DECODE:
            settle(flight, server, phases, table)
            most = min(table.draft_tokens, flight.output_tokens - flight.generated)
            accepted = accepted_drafts(asked[slot].id, flight.generated, most, table, values)
            server.kv_free += blocks_held(flight.computed, 1, 0, table)
            flight.computed += accepted
            flight.generated += accepted
            flight.worked += accepted
            server.kv_free -= blocks_held(flight.computed, 1, 0, table)
            note_growth(flight, server, phases, table)
            server.context += accepted
            server.output_tokens += accepted
            table.output_tokens += accepted
            if table.queue_order == FAIR_SHARE:
                engine.shares[asked[slot].tenant].counter += table.output_weight * accepted
            push_finish(engine.finishes, sequences, server.decoded + flight.output_tokens - flight.generated, slot)
            sequences += 1
        slot = flight.next
    make_room(server.kv_free, server, engine.cache, engine.lookup, table)


@inlined
def _finish_decoding(now, engine, roll, clock):
    """Finish the decoding sequences that have their last token; a static batch ends as a whole."""
    server, table, heap, flights = engine.server, engine.table, engine.finishes, roll.flights
    ended = 0
    while server.decoding > 0 and heap[0] >> SLOT_BITS == server.decoded:
        slot = heap[0] & SLOT_MASK
        stop_decoding(slot, 0, engine, flights)
        if server.rows > 0:
            release_blocks(slot, server, engine.cache, table, roll.asked, flights)
            flights[slot].state = DONE
        elif table.prefix_tokens == 0 and table.adapter_slots == 0:
            finish(now, slot, engine, roll, clock)
        else:
            heap[server.decoding] = slot  # behind the heap, where it was
            ended += 1
    if ended > 0:
        _sort_by_admission(heap, server.decoding, ended, flights)
        for k in range(server.decoding, server.decoding + ended):
            slot = heap[k]
            finish(now, slot, engine, roll, clock)
    if server.rows > 0 and server.batch == 0:
        server.rows = 0
        while server.batch_head != NONE:
            slot = server.batch_head
            finish(now, slot, engine, roll, clock)


@compiled
def _sort_by_admission(slots, start, count, flights):
    """Sort a few slots by admission, so that the order in which prefixes and adapters become idle is defined."""
    for k in range(start + 1, start + count):
        slot, i = slots[k], k
        while i > start and flights[slots[i - 1]].admission > flights[slot].admission:
            slots[i] = slots[i - 1]
            i -= 1
        slots[i] = slot


@inlined
def _end_chunks(now, engine, roll, pools, clock, batch):
    """End the prompt chunks of the step: sequences whose prompt is processed emit a token and decode from now on."""
    server, table, asked, flights = engine.server, engine.table, roll.asked, roll.flights
    counts, edges = pools.counts, pools.edges
    tokens, sequences = batch * (1 + table.draft_tokens), batch
    slot = server.prefilling
    server.prefilling = NONE
    while slot != NONE:
        flight = flights[slot]
        following = flight.next
        if flight.state != PREFILL:  # swapped in behind a chunk: it decodes
            slot = following
            continue
        tokens += flight.chunk
        table.prompt_tokens += flight.chunk
        sequences += 1
        if not table.plain_blocks:
            server.kv_free += blocks_to_process(flight, asked[slot], flight.computed, flight.chunk, table)
            server.kv_free -= blocks_held(flight.computed + flight.chunk, 1, 0, table)
        flight.computed += flight.chunk
        flight.worked += flight.chunk
        if table.prefix_tokens > 0:
            share_prefix(slot, engine, asked, flights)
        if flight.ghost:
            if flight.computed == flight.target and flight.output_tokens > 0:
                _emit_first(now, flight, 1 + asked[slot].forks, server, table, counts, edges)
            bury(slot, engine, roll, clock)
            slot = following
            continue
        if flight.computed < flight.target:
            server.prefilling = slot
        else:
            flight.prefill_s += now - flight.since_s
            flight.since_s = now
            if flight.output_tokens > 0:
                _emit_first(
                    now, flight, 1 if table.plain_blocks else 1 + asked[slot].forks, server, table, counts, edges
                )
            if flight.generated == flight.output_tokens:
                finish(now, slot, engine, roll, clock)
            elif table.role == PREFILL_ONLY:
                leave(now, slot, engine, asked, flights, clock)
            else:
                if not table.plain_blocks:
                    fork(slot, server, table, asked, flights)
                join(slot, engine, flights)
        slot = following
    counts[table.by_tokens + tokens] += 1.0
    counts[table.by_sequences + sequences] += 1.0
    if table.prompts != NONE:
        counts[table.by_prompt_tokens + tokens - batch * (1 + table.draft_tokens)] += 1.0
    if table.mixed != NONE:
        counts[table.mixed_by_tokens + tokens] += 1.0


@inlined
def _emit_first(now, flight, rows, server, table, counts, edges):
    """Emit the token that a processed prompt yields for each row: the first, or after a preemption the next."""
    flight.generated += 1
    server.output_tokens += rows
    table.output_tokens += rows
    if math.isnan(flight.last_token_s):
        flight.first_token_s = now
        return
    counts[table.itl + itl_bin(now - flight.last_token_s, edges)] += rows
    table.itl_sum_s += (now - flight.last_token_s) * rows
    flight.last_token_s = math.nan
