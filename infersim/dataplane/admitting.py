"""The prompts of a replica's next step: the chunk that goes on, and who is admitted from the queue.

DESIGN.md, "Forming a step", is the specification. Not here: what else the step holds (`forming.py`).
"""

import math

from infersim.dataplane.adapters import finds_slot, use_adapter
from infersim.dataplane.internal import ON_HOST, PREEMPTED
from infersim.dataplane.jit import inlined
from infersim.dataplane.kvcache import blocks_held, blocks_to_process, promised_blocks
from infersim.dataplane.prefix import find_entry, make_room, matching_blocks
from infersim.dataplane.queue import pop, push_front
from infersim.dataplane.records import FAIR_SHARE, NOBODY, NONE, WHOLE
from infersim.dataplane.sequences import admit_head, join, preempt, use_prefix
from infersim.dataplane.shares import charge


@inlined
def add_prompts(now, step, engine, asked, flights, admit):
    """Continue the partly prefilled sequence, then admit from the queue as `admit` says."""
    server, replica, table = engine.server, engine.replica, engine.table
    partial = server.prefilling
    if partial != NONE:
        flights[partial].chunk = 0
        if step.budget > 0:
            flight = flights[partial]
            chunk = min(flight.target - flight.computed, step.budget)
            blocks = blocks_to_process(flight, asked[partial], flight.computed, chunk, table)
            blocks -= blocks_held(flight.computed, 1, 0, table)
            if blocks <= step.free:
                step.free -= blocks
                _add_chunk(step, flight, chunk, table)
                make_room(step.free, server, engine.cache, engine.lookup, table)
            else:
                claimed = server.kv_free - step.free
                preempt(now, partial, step, engine, asked, flights)
                step.free = server.kv_free - claimed
    if step.preemptions > 0:
        step.retry = True
        return
    # An engine that has nothing scheduled ahead, because its batch is empty and its queue young, takes all at once.
    young = server.queue_head != NONE and flights[server.queue_head].since_s > server.last_start_s
    scheduled_ahead = table.async_scheduling and not (replica.running == 0 and young)
    aside = NONE
    while admit != NOBODY and server.queue_head != NONE and step.budget > 0:
        head = server.queue_head
        if table.models > 1 and asked[head].model != table.model:
            if engine.models[table.place].queued == 0 or now >= flights[head].since_s + table.turn_s:
                break
            pop(engine, asked, flights)
            flights[head].next = aside
            aside = head
            continue
        if not has_row(head, server, replica, asked, table):
            break
        ousted = flights[head].state == PREEMPTED and flights[head].since_s == now and server.last_start_s < math.inf
        if ousted or (scheduled_ahead and flights[head].since_s > server.last_start_s):
            step.retry = True
            break
        if not finds_slot(asked[head], engine):
            pop(engine, asked, flights)
            flights[head].next = aside
            aside = head
            continue
        if not _admit(now, head, step, engine, asked, flights, admit):
            break
    while aside != NONE:  # back to where they stood
        step.retry = step.retry or table.adapter_slots > 0
        following = flights[aside].next
        push_front(aside, engine, asked, flights)
        aside = following


@inlined
def has_row(head, server, replica, asked, table):
    """Whether the batch has room for the rows of the head of the queue."""
    if table.plain_blocks:
        return replica.running < table.max_num_seqs
    return replica.running + server.forks + 1 + asked[head].forks <= table.max_num_seqs


@inlined
def keeps_promises(head, engine, asked, flights):
    """Whether all that the batch and the head of the queue may come to need fits into the replica."""
    server, table = engine.server, engine.table
    if server.batch_head == NONE:
        return True
    return server.promised + promised_blocks(asked[head], flights[head], table) <= table.blocks


@inlined
def _admit(now, head, step, engine, asked, flights, admit):
    """Admit the head of the queue if its blocks are free; return whether it was."""
    flight, server, table = flights[head], engine.server, engine.table
    if table.promises and not keeps_promises(head, engine, asked, flights):
        return False
    margin = 0 if server.batch_head == NONE else table.watermark_blocks
    if flight.computed > 0:  # swapped out, or sent by a prefill replica: it decodes in this very step
        rows, prompt = 1 + asked[head].forks, asked[head].input_tokens
        lookahead = table.draft_blocks
        blocks = blocks_held(flight.computed, rows, prompt, table)
        claim = blocks_held(flight.computed + 1, rows, prompt, table) - blocks
        if blocks + claim + lookahead + margin > step.free or step.budget < rows * (1 + table.draft_tokens):
            return False
        admit_head(now, engine, asked, flights)
        if table.adapter_slots > 0:
            use_adapter(head, step, engine.slots, table, asked, flights)
        flight.rows = rows
        step.free -= blocks + claim + lookahead
        step.reserve += lookahead
        server.kv_free -= blocks
        if flight.swapped:
            step.copied_blocks += blocks
            flight.swapped = False
        step.budget -= rows * (1 + table.draft_tokens)
        step.sequences += rows
        server.decodes = True
        server.stalled = True
        flight.prefill_s += now - flight.since_s
        join(head, engine, flights)
        make_room(step.free, server, engine.cache, engine.lookup, table)
        return True
    hits, unused, hosted = _cached_blocks(head, engine, asked, flights)
    prompt = flight.target - hits * table.prefix_tokens
    chunk = min(prompt, step.budget)
    if admit == WHOLE and chunk < prompt and step.sequences > 0:
        return False
    blocks = blocks_to_process(flight, asked[head], hits * table.prefix_tokens, chunk, table)
    blocks -= (hits - unused) * table.entry_blocks
    if blocks + margin > step.free:
        step.retry = step.retry or unused > 0  # evicted meanwhile, they would leave less to be held at once
        return False
    admit_head(now, engine, asked, flights)
    if table.adapter_slots > 0:
        use_adapter(head, step, engine.slots, table, asked, flights)
    if hits > 0:
        use_prefix(head, hits, engine, asked, flights)
        step.copied_blocks += hosted * table.entry_blocks
    if flight.cached_tokens < 0:
        flight.cached_tokens = hits * table.prefix_tokens
        flight.host_cached_tokens = hosted * table.prefix_tokens
        if table.queue_order == FAIR_SHARE:
            charge(server, engine.shares, asked[head].tenant, table.input_weight * prompt)
    if server.prefilling == NONE:
        server.prefilling = head
    step.free -= blocks
    _add_chunk(step, flight, chunk, table)
    make_room(step.free, server, engine.cache, engine.lookup, table)
    return True


@inlined
def _cached_blocks(head, engine, asked, flights):
    """Prefix blocks of a waiting request that are cached, how many of them nobody uses, and how many are on the host."""
    table, cache, lookup, names = engine.table, engine.cache, engine.lookup, engine.names
    if table.prefix_tokens == 0:
        return 0, 0, 0
    start = asked[head].prefix_start
    most = min(asked[head].prefix_blocks, (flights[head].target - 1) // table.prefix_tokens)
    hits, unused, hosted = matching_blocks(cache, lookup, names, start, most), 0, 0
    for k in range(hits):
        users = cache[find_entry(cache, lookup, names[start + k])].users
        if users <= 0:
            unused += 1
        if users == ON_HOST:
            hosted += 1
    return hits, unused, hosted


@inlined
def _add_chunk(step, flight, chunk, table):
    """Give a sequence `chunk` prompt tokens of the step, and count their attention."""
    flight.chunk = chunk
    step.budget -= chunk
    step.sequences += 1
    pairs = float(chunk) * flight.computed + 0.5 * (float(chunk) * (chunk + 1))
    context = float(flight.computed + chunk)
    compute_s = table.prefill_per_pair_s * pairs
    memory_s = table.prefill_per_context_s * context
    table.prefill_chunks += 1.0
    table.prefill_pairs += pairs
    table.prefill_context += context
    if compute_s >= memory_s:
        table.prefill_compute_s += compute_s
    else:
        table.prefill_memory_s += memory_s
    step.attention_s += table.prefill_chunk_s + max(compute_s, memory_s)
