"""Readings in the middle of a leap: what has been done up to now of a step that has not ended.

Reading changes nothing, so what is sampled, and how often, cannot change what happens. Not here: ending a step (`engine.py`).
"""

from infersim.dataplane.jit import compiled
from infersim.dataplane.kvcache import claimed
from infersim.dataplane.records import CLOSED
from infersim.dataplane.timing import count_itl, leap_end, steps_until


@compiled
def steps_done(now, server):
    """Whole steps of the running leap that have ended by `now`."""
    if server.steps == 0 or server.mixed:
        return 0
    steps = steps_until(server.start_s, server.base_s, server.slope_s, server.context, server.batch, server.steps, now)
    if leap_end(server.start_s, server.base_s, server.slope_s, server.context, server.batch, steps) > now:
        steps -= 1
    return steps


@compiled
def blocks_in_use(now, pool, replicas, servers, phases, table):
    """KV blocks that the live replicas of a pool hold at `now`."""
    used = 0
    for r in range(replicas.shape[0]):
        if replicas[r].pool != pool or replicas[r].status == CLOSED:
            continue
        server = servers[r]
        used += table.blocks - server.kv_free
        steps = steps_done(now, server)
        if steps > 0:
            used += claimed(phases, r, server.decoded, server.batch, table.block_size, steps)
    return used


@compiled
def add_unfinished(now, pool, replicas, servers, table, counts, edges):
    """Add to copies of a pool's counts what the running leaps of its replicas have done by `now`."""
    for r in range(replicas.shape[0]):
        if replicas[r].pool != pool or replicas[r].status == CLOSED or servers[r].steps == 0:
            continue
        server = servers[r]
        table.busy_s += now - server.start_s
        steps, batch = steps_done(now, server), server.batch
        if steps == 0:
            continue
        counts[table.by_tokens + batch] += steps
        counts[table.by_sequences + batch] += steps
        counts[table.by_batch + batch] += steps
        counts[table.context_by_batch + batch] += steps * server.context + batch * (steps * (steps - 1) // 2)
        first_s = server.base_s + server.slope_s * server.context
        count_itl(counts, table.itl, edges, first_s, server.slope_s * batch, steps, batch)
        ended_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, batch, steps)
        table.itl_sum_s += (ended_s - server.start_s) * batch
        table.output_tokens += steps * batch
