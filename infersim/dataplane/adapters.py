"""Adapters (LoRA) of a replica: which are in its slots, who uses them, and what they add to its steps.

DESIGN.md, "Adapters", is the specification. Not here: who is admitted (`admitting.py`).
"""

from infersim.dataplane.internal import DECODE, PREFILL
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.records import NONE


@compiled
def slot_for(adapter, slots, table):
    """The slot that holds an adapter, or that can take it; NONE if all are in use by others."""
    best = NONE
    for k in range(table.adapter_slots):
        if slots[k].adapter == adapter:
            return k
        if slots[k].users == 0 and (best == NONE or slots[k].unused_since < slots[best].unused_since):
            best = k
    return best


@inlined
def finds_slot(request, engine):
    """Whether the adapter of a request, if it has one, is in a slot or finds one."""
    if engine.table.adapter_slots == 0 or request.adapter == 0:
        return True
    return slot_for(request.adapter, engine.slots, engine.table) != NONE


@compiled
def use_adapter(slot, step, slots, table, asked, flights):
    """Let a sequence that is admitted use its adapter, which is loaded first if it is in no slot."""
    adapter = asked[slot].adapter
    if adapter == 0:
        return
    k = slot_for(adapter, slots, table)
    if slots[k].adapter != adapter:
        slots[k].adapter = adapter
        step.load_s += table.adapter_rank_s * asked[slot].adapter_rank
        table.adapter_loads += 1
    slots[k].users += 1
    table.adapter_admissions += 1
    flights[slot].adapter = k


@compiled
def release_adapter(flight, server, slots):
    """Let a sequence that leaves the batch use its adapter no more."""
    used = slots[flight.adapter]
    flight.adapter = NONE
    used.users -= 1
    if used.users == 0:
        server.adapter_clock += 1
        used.unused_since = server.adapter_clock


@compiled
def note_adapters(step, server, slots, table, flights):
    """Note how many adapters, and tokens of sequences that have one, the step that was formed holds; add their time."""
    server.adapters, server.adapter_tokens = 0, 0
    server.adapter_clock += 1
    slot = server.batch_head
    while slot != NONE:
        flight = flights[slot]
        tokens = 0
        if flight.state == DECODE and server.decodes:
            tokens = flight.rows * (1 + table.draft_tokens)
        elif flight.state == PREFILL and server.mixed:
            tokens = flight.chunk
        if tokens > 0 and flight.adapter != NONE:
            server.adapter_tokens += tokens
            if slots[flight.adapter].seen_at != server.adapter_clock:
                slots[flight.adapter].seen_at = server.adapter_clock
                server.adapters += 1
        slot = flight.next
    server.base_s += step.load_s
    if server.adapters > 0:
        read_s, token_s = server.adapters * table.adapter_read_s, server.adapter_tokens * table.adapter_token_s
        server.base_s += table.adapter_step_s + max(read_s, token_s)


@compiled
def count_adapters(server, table, steps):
    """Count what adapters did in so many steps, or in a part of one."""
    read_s, token_s = server.adapters * table.adapter_read_s, server.adapter_tokens * table.adapter_token_s
    table.adapter_steps += steps
    table.adapter_reads += steps * server.adapters
    table.adapter_tokens += steps * server.adapter_tokens
    if token_s >= read_s:
        table.adapter_compute_s += steps * token_s
    else:
        table.adapter_memory_s += steps * read_s
