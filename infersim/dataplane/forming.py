"""Forming a replica's next step: who decodes, what its prompts may be, what it takes, and how far it leaps.

DESIGN.md, "What the data plane does, exactly", is the specification. Not here: its prompts (`admitting.py`), who makes way
(`ousting.py`), and carrying the step out (`ending.py`).
"""

import math

from infersim.dataplane.adapters import note_adapters
from infersim.dataplane.admitting import add_prompts
from infersim.dataplane.agenda import SLOT_BITS
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.kvcache import affordable_steps, growth, phase_of
from infersim.dataplane.ousting import oust, victim
from infersim.dataplane.prefix import make_room
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
from infersim.dataplane.sequences import preempt
from infersim.dataplane.shares import choose_head
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
        oust(now, step, engine, roll.asked, flights)
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
        add_prompts(now, step, engine, roll.asked, flights, admit)
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
        slot = victim(server, asked, flights, table)
        preempt(now, slot, step, engine, asked, flights)
    step.reserve = lookahead * server.decoding
    step.free = server.kv_free - phases[phase_of(server.decoded, table)] - step.reserve
    step.budget -= server.batch * (1 + table.draft_tokens)
    step.sequences = server.batch
    server.decodes = server.batch > 0
    make_room(step.free, server, engine.cache, engine.lookup, table)


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
