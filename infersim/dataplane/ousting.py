"""Who has to make way in a replica: for want of blocks, and for the head of a queue that goes by priority.

DESIGN.md, "Queue order", is the specification. Not here: what becomes of who is preempted (`sequences.py`).
"""

from infersim.dataplane.admitting import has_row, keeps_promises
from infersim.dataplane.internal import DONE
from infersim.dataplane.jit import compiled
from infersim.dataplane.kvcache import blocks_for, phase_of
from infersim.dataplane.records import NONE, PRIORITY
from infersim.dataplane.sequences import preempt


@compiled
def victim(server, asked, flights, table):
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
def oust(now, step, engine, asked, flights):
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
        slot = victim(server, asked, flights, table)
        if asked[slot].priority >= asked[server.queue_head].priority:
            break
        blocks = (table.full_blocks + table.window_blocks) * blocks_for(chunk, table)
        admissible = has_row(server.queue_head, server, engine.replica, asked, table)
        promised = table.promises and not keeps_promises(server.queue_head, engine, asked, flights)
        if chunk <= 0 or (admissible and blocks <= room and not promised):
            step.retry = True  # not blocked by this measure yet, but it may be a step later
            break
        preempt(now, slot, step, engine, asked, flights)
    step.preemptions = 0
