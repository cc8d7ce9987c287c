"""Readings in the middle of a leap: what has been done up to now of a step that has not ended.

Reading changes nothing, so what is sampled, and how often, cannot change what happens. Not here: ending a step
(`ending.py`).
"""

from infersim.dataplane.adapters import count_adapters
from infersim.dataplane.jit import compiled
from infersim.dataplane.kvcache import claimed, growth
from infersim.dataplane.records import CLOSED, READY
from infersim.dataplane.timing import count_itl, leap_end, steps_until


@compiled
def steps_begun(now, r, passed, server):
    """Steps of the running leap of replica `r` that have begun by `now`.

    Where one ends now, the next has begun if the replica has had its turn: its index is at most `passed`.
    """
    batch = server.batch if server.decodes else 0
    steps = steps_until(server.start_s, server.base_s, server.slope_s, server.context, batch, server.steps, now)
    if r <= passed and steps < server.steps:
        ends_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, batch, steps)
        if ends_s <= now:
            steps += 1
    return steps


@compiled
def steps_done(now, server):
    """Whole steps of the running leap that have ended by `now`."""
    if server.steps == 0 or server.mixed:
        return 0
    steps = steps_until(server.start_s, server.base_s, server.slope_s, server.context, server.batch, server.steps, now)
    if leap_end(server.start_s, server.base_s, server.slope_s, server.context, server.batch, steps) > now:
        steps -= 1
    return steps


def observe(now, pool, replicas, servers, phases, tables, counts, edges, held):
    """Read one pool at `now`: add what its running leaps have done to copies of `tables` and `counts`.

    Fills `held` with its ready and draining replicas, waiting and running requests, and KV blocks in use.
    """
    for r in range(replicas.shape[0]):
        replica, server = replicas[r], servers[r]
        if replica.pool != pool or replica.status == CLOSED:
            continue
        table = tables[server.table]
        held[0 if replica.status == READY else 1] += 1
        held[2] += replica.waiting
        held[3] += replica.running
        held[4] += table.blocks - server.kv_free
        if server.steps > 0:
            table.busy_s += now - server.start_s
            if server.switching:
                table.switching_s += now - server.start_s
            steps = steps_done(now, server)
            if not server.mixed:  # the step that runs has claimed its blocks too
                begun = min(steps + 1, server.steps)
                held[4] += claimed(phases[r], server.decoded, growth(server, table), begun, table)
            if steps > 0:
                add_steps(server, table, counts, edges, steps)


def glance(now, pool, replicas, servers, phases, tables, seen):
    """Fill `seen` with what a pool holds at `now` and has done up to now, without the shapes of its steps.

    Ready and draining replicas, waiting and running requests, KV blocks in use, output tokens, busy seconds.
    """
    for t in range(tables.shape[0]):
        if tables[t].pool == pool:
            seen[5] += tables[t].output_tokens
            seen[6] += tables[t].busy_s
    for r in range(replicas.shape[0]):
        replica, server = replicas[r], servers[r]
        if replica.pool != pool or replica.status == CLOSED:
            continue
        table = tables[server.table]
        seen[0 if replica.status == READY else 1] += 1
        seen[2] += replica.waiting
        seen[3] += replica.running
        seen[4] += table.blocks - server.kv_free
        if server.steps > 0:
            seen[6] += now - server.start_s
            if not server.mixed:
                steps = steps_done(now, server)
                seen[5] += steps * server.batch
                begun = min(steps + 1, server.steps)
                seen[4] += claimed(phases[r], server.decoded, growth(server, table), begun, table)


@compiled
def add_steps(server, table, counts, edges, steps):
    """Add the first steps of a leap that has not ended."""
    batch = server.batch
    width = server.rows if server.rows > 0 else batch
    counts[table.by_tokens + width * (1 + table.draft_tokens)] += steps
    counts[table.by_sequences + width] += steps
    counts[table.by_batch + batch] += steps
    if server.adapters > 0:
        count_adapters(server, table, steps)
    counts[table.context_by_batch + batch] += steps * server.context + batch * (steps * (steps - 1) // 2)
    first_s = server.base_s + server.slope_s * server.context
    count_itl(counts, table.itl, edges, server.itl_bin, first_s, server.slope_s * batch, steps, batch)
    ended_s = leap_end(server.start_s, server.base_s, server.slope_s, server.context, batch, steps)
    table.itl_sum_s += (ended_s - server.start_s) * batch
    table.output_tokens += steps * batch
