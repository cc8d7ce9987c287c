"""Forming a replica's next step: who decodes, which prompt chunks go along, who is admitted and who is preempted.

DESIGN.md, "What the data plane does, exactly", is the specification. Not here: carrying the step out (`ending.py`).
"""

import math

from infersim.dataplane.adapters import finds_slot, note_adapters, use_adapter
from infersim.dataplane.agenda import SLOT_BITS
from infersim.dataplane.internal import DONE, ON_HOST, PREEMPTED
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import (
    affordable_steps,
    blocks_for,
    blocks_held,
    blocks_to_process,
    growth,
    phase_of,
)
from infersim.dataplane.prefix import find_entry, make_room, matching_blocks
from infersim.dataplane.queue import pop, push_front
from infersim.dataplane.records import (
    ANYBODY,
    CHUNKED_PREFILL,
    DYNAMIC,
    FAIR_SHARE,
    NOBODY,
    NONE,
    OWN_BATCHING,
    PREFILL_FIRST,
    PRIORITY,
    STATIC,
    WHOLE,
)
from infersim.dataplane.sequences import admit_head, join, preempt, use_prefix
from infersim.dataplane.shares import charge, choose_head
from infersim.dataplane.timing import leap_end

LEAP_LIMIT = 1 << 30
"""Most steps of a leap; keeps sums of contexts within 64 bits."""


@inlined
def form_step(now, shape, step, state, engine, roll, values):
    """Form the next step or leap of a replica; return when it ends, or when to look again [s], inf if idle."""
    server, replica, table, flights = engine.server, engine.replica, engine.table, roll.flights
    step.budget = table.max_num_batched_tokens
    step.sequences = 0
    step.attention_s = 0.0
    step.copied_blocks = 0
    step.load_s = 0.0
    step.reserve = 0
    step.preemptions = 0
    step.retry = False
    step.refused = False
    server.decodes = False
    if table.queue_order == FAIR_SHARE:
        choose_head(server, engine.shares)
    if server.rows == 0 and _still_gathering(now, server, flights, table):
        return _idle(now, server, flights, table)
    if table.queue_order == PRIORITY and server.rows == 0:
        _oust(now, step, engine, roll.asked, flights)
    prompts, decode, admit = table.max_num_batched_tokens, True, ANYBODY
    if table.batching == OWN_BATCHING and (server.batch_head != NONE or server.queue_head != NONE):
        _describe(now, state, server, replica, flights, table)
        prompts, decode, admit = _answer(step, state, shape)
        if step.refused:
            return math.inf
    elif table.batching in (PREFILL_FIRST, STATIC, DYNAMIC):
        if server.rows == 0:
            decode, admit = False, WHOLE
        else:
            prompts, admit = 0, NOBODY
    for attempt in range(2):
        step.free = server.kv_free
        if decode:
            _add_decoding(now, step, engine, roll.asked, flights)
        withheld = max(0, step.budget - prompts)
        step.budget -= withheld
        _add_prompts(now, step, engine, roll.asked, flights, admit)
        step.budget += withheld
        if step.sequences > 0 or attempt == 1 or table.batching == CHUNKED_PREFILL:
            break
        if table.batching == OWN_BATCHING:  # nothing: a policy cannot stop a replica
            prompts, decode, admit = table.max_num_batched_tokens, True, ANYBODY
        elif server.rows == 0:  # no prompts: decode
            prompts, decode, admit = 0, True, NOBODY
            step.retry = step.retry or step.preemptions > 0
    if server.rows == 0 and server.decodes and (table.batching == STATIC or table.batching == DYNAMIC):
        server.rows = server.batch
    step.retry = step.retry or table.batching == OWN_BATCHING
    if step.sequences == 0 and step.budget == table.max_num_batched_tokens:
        looks_s = _idle(now, server, flights, table)
        return now if step.preemptions > 0 else looks_s  # who has just made room may come back at once
    if table.queue_order == FAIR_SHARE and server.queue_head != NONE and replica.running < table.max_num_seqs:
        step.retry = True  # every token may change who is at the head of the queue
    return _start(now, step, engine, flights, values)


@compiled
def _describe(now, state, server, replica, flights, table):
    """Say what a batching policy may know."""
    head, partial = server.queue_head, server.prefilling
    state.pool = replica.pool
    state.now_s = now
    state.steps = server.total_steps
    state.waiting = server.queued
    state.waiting_tokens = replica.queued_tokens - server.coming_tokens
    state.head_tokens = flights[head].target - flights[head].computed if head != NONE else 0
    state.head_wait_s = now - flights[head].since_s if head != NONE else 0.0
    state.running = replica.running + server.forks
    state.decoding = server.batch
    state.context = server.context
    state.prefilling_tokens = flights[partial].target - flights[partial].computed if partial != NONE else 0
    state.kv_free = server.kv_free
    state.kv_blocks = table.blocks
    state.block_size = table.block_size
    state.max_num_seqs = table.max_num_seqs
    state.max_num_batched_tokens = table.max_num_batched_tokens


@inlined
def _answer(step, state, shape):
    """Ask the batching policy what the step may hold: prompt tokens, whether to decode, whom to admit."""
    step.prompt_tokens, step.decode, step.admit = shape(state.pool, state)
    tokens = 0 <= step.prompt_tokens <= state.max_num_batched_tokens
    step.refused = not (tokens and 0 <= step.decode <= 1 and NOBODY <= step.admit <= WHOLE)
    return step.prompt_tokens, step.decode == 1, step.admit


@inlined
def _idle(now, server, flights, table):
    """Let a replica rest; return when it has to look again if nothing happens before [s]."""
    server.steps = 0
    server.last_start_s = math.inf
    if _still_gathering(now, server, flights, table):
        return flights[server.queue_head].since_s + table.max_queue_delay_s
    return math.inf


@inlined
def _still_gathering(now, server, flights, table):
    """Whether a dynamic batch waits for more requests."""
    if (
        table.batching != DYNAMIC
        or server.batch_head != NONE
        or server.queue_head == NONE
        or server.queued >= table.max_num_seqs
    ):
        return False
    return now < flights[server.queue_head].since_s + table.max_queue_delay_s


@inlined
def _add_decoding(now, step, engine, asked, flights):
    """Let all decoding sequences have a token, preempting until their blocks can be claimed."""
    server, table, phases = engine.server, engine.table, engine.phases
    lookahead = table.draft_blocks
    while phases[phase_of(server.decoded, table)] + lookahead * server.decoding > server.kv_free:
        slot = _victim(server, asked, flights, table)
        preempt(now, slot, step, engine, asked, flights)
    step.reserve = lookahead * server.decoding
    step.free = server.kv_free - phases[phase_of(server.decoded, table)] - step.reserve
    step.budget -= server.batch * (1 + table.draft_tokens)
    step.sequences = server.batch
    server.decodes = server.batch > 0
    make_room(step.free, server, engine.cache, engine.lookup, table)


@compiled
def _victim(server, asked, flights, table):
    """The sequence to preempt: the last admitted, where the queue order is priority among those of the lowest."""
    chosen = server.batch_tail
    while flights[chosen].state == DONE:
        chosen = flights[chosen].previous
    if table.queue_order == PRIORITY:
        slot = flights[chosen].previous
        while slot != NONE and asked[chosen].priority > server.lowest:
            if asked[slot].priority < asked[chosen].priority and flights[slot].state != DONE:
                chosen = slot
            slot = flights[slot].previous
    return chosen


@compiled
def _oust(now, step, engine, asked, flights):
    """Preempt sequences of strictly lower priority while the head of the queue finds no room beside them."""
    server, table, phases = engine.server, engine.table, engine.phases
    while server.queue_head != NONE and server.batch_head != NONE:
        flight = flights[server.queue_head]
        if table.models > 1 and asked[server.queue_head].model != table.model:
            break
        if table.async_scheduling and flight.since_s > server.last_start_s:
            step.retry = True
            break
        lookahead = table.draft_blocks * server.decoding
        room = server.kv_free - phases[phase_of(server.decoded, table)] - lookahead - table.watermark_blocks
        wanted = flight.target + (1 if flight.computed > 0 else 0)
        chunk = min(wanted, table.max_num_batched_tokens - server.batch * (1 + table.draft_tokens))
        if asked[server.queue_head].priority <= server.lowest:
            break
        slot = _victim(server, asked, flights, table)
        if asked[slot].priority >= asked[server.queue_head].priority:
            break
        blocks = (table.full_blocks + table.window_blocks) * blocks_for(chunk, table)
        admissible = _has_row(server.queue_head, server, engine.replica, asked, table)
        if chunk <= 0 or (admissible and blocks <= room):
            step.retry = True  # not blocked by this measure yet, but it may be a step later
            break
        preempt(now, slot, step, engine, asked, flights)
    step.preemptions = 0


# ---------------------------------------------------------------- prompts


@inlined
def _add_prompts(now, step, engine, asked, flights, admit):
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
        if not _has_row(head, server, replica, asked, table):
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
def _has_row(head, server, replica, asked, table):
    """Whether the batch has room for the rows of the head of the queue."""
    if table.plain_blocks:
        return replica.running < table.max_num_seqs
    return replica.running + server.forks + 1 + asked[head].forks <= table.max_num_seqs


@inlined
def _admit(now, head, step, engine, asked, flights, admit):
    """Admit the head of the queue if its blocks are free; return whether it was."""
    flight, server, table = flights[head], engine.server, engine.table
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


# ---------------------------------------------------------------- starting it


@inlined
def _start(now, step, engine, flights, values):
    """Start the step that was formed, and let it leap if only decoding sequences are in it; return when it ends [s]."""
    server, table = engine.server, engine.table
    batch = server.batch if server.decodes else 0
    tokens, sequences = table.max_num_batched_tokens - step.budget, step.sequences
    server.mixed = sequences > batch
    if server.rows > 0:
        tokens, sequences = server.rows * (1 + table.draft_tokens), server.rows
    server.start_s = now
    server.base_s = (
        (values[table.linear + tokens] + values[table.sequences + sequences] + values[table.decode_base + batch])
        + step.attention_s
        + table.swap_block_s * step.copied_blocks
    )
    server.slope_s = values[table.decode_per_context + batch]
    if table.adapter_slots > 0:
        note_adapters(step, server, engine.slots, table, flights)
    server.steps = 1
    if server.mixed:
        server.kv_free = step.free + step.reserve
        if table.prompts != NONE:
            server.base_s += values[table.prompts + tokens - batch * (1 + table.draft_tokens)]
        if table.mixed != NONE:
            server.base_s += values[table.mixed + tokens]
    elif (
        table.draft_tokens == 0
        and not (step.retry or server.stalled or step.copied_blocks > 0 or step.load_s > 0.0)
        and server.prefilling == NONE
    ):
        most = min(min(engine.finishes[0] >> SLOT_BITS, server.crossing) - server.decoded, LEAP_LIMIT)
        server.steps = affordable_steps(
            engine.phases, server.decoded, growth(server, table), server.kv_free, most, table
        )
    server.pace = server.slowdown
    if server.slowdown != 1.0:
        server.base_s *= server.slowdown
        server.slope_s *= server.slowdown
    return leap_end(now, server.base_s, server.slope_s, server.context if batch > 0 else 0, batch, server.steps)
