"""Models of a pool that serves several: which tables a request is served by, and how a replica goes from one to the next.

DESIGN.md, "Models", is the specification. Not here: who is admitted meanwhile (`admitting.py`), who is held because no
replica serves his model (`withdrawing.py`).
"""

import math

from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.prefix import forget_all
from infersim.dataplane.records import COST_AWARE, NONE


@inlined
def table_for(model, pool, tables):
    """The number of a pool's tables for a model; NONE if the pool does not serve it."""
    if tables[pool].model == model:
        return pool
    others = tables[pool].others
    for t in range(others, others + tables[pool].models - 1):
        if tables[t].model == model:
            return t
    return NONE


@compiled
def is_served(model, replicas, routable, tables):
    """Whether one of the ready replicas serves a model."""
    served = False
    for r in routable:
        served = served or table_for(model, replicas[r].pool, tables) != NONE
    return served


@compiled
def switch(now, engine, asked, tables, switches, clock):
    """Make the model that the head of the queue asks for the active one, and note it; return from when on it is [s]."""
    server, replica, models = engine.server, engine.replica, engine.models
    model = asked[server.queue_head].model
    if model == engine.table.model:
        return now
    note = switches[clock.switches]
    clock.switches += 1
    note.time_s = now
    note.pool = replica.pool
    note.replica = replica.serial
    note.before = engine.table.model
    note.model = model
    note.evicted = 0
    note.loaded = False
    server.table = table_for(model, replica.pool, tables)
    table = tables[server.table]
    seconds, own = table.switch_s, models[table.place]
    if not own.resident:
        note.evicted = _make_room(table, engine, tables)
        note.loaded = True
        own.resident = True
        own.uses = 0
        seconds += table.load_s
        table.loads += 1
    table.switches += 1
    server.model_clock += 1
    own.used_at = server.model_clock
    own.uses += 1
    own.worth = server.inflation + own.uses * table.load_s / table.weight_bytes
    replica.model = model
    replica.prompt_token_s = table.prompt_token_s
    replica.kv_blocks = table.blocks
    server.kv_free = table.blocks
    if table.prefix_tokens > 0:
        forget_all(server, engine.cache, engine.lookup)
        server.host_room = table.host_entries
    note.seconds = seconds
    if seconds > 0.0:
        server.steps = 1
        server.switching = True
        server.mixed = True
        server.start_s = now
        server.base_s = seconds
        server.slope_s = 0.0
        server.pace = 1.0
    return now + seconds


@compiled
def _make_room(table, engine, tables):
    """Evict resident models until the weights of one more fit; return how many."""
    server, models, pool = engine.server, engine.models, engine.replica.pool
    used, evicted = 0, 0
    for k in range(table.models):
        if models[k].resident:
            used += tables[_table_at(k, pool, tables)].weight_bytes
    while used + table.weight_bytes > table.model_bytes:
        victim = NONE
        for k in range(table.models):
            if models[k].resident and (victim == NONE or _goes_before(models[k], models[victim], table)):
                victim = k
        gone = tables[_table_at(victim, pool, tables)]
        models[victim].resident = False
        gone.evictions += 1
        evicted += 1
        used -= gone.weight_bytes
        if table.eviction == COST_AWARE:
            server.inflation = models[victim].worth
    return evicted


@inlined
def _goes_before(one, other, table):
    """Whether one resident model is evicted before another."""
    if table.eviction == COST_AWARE and one.worth != other.worth:
        return one.worth < other.worth
    return one.used_at < other.used_at


@inlined
def _table_at(place, pool, tables):
    """The number of the tables of a pool's model at a place."""
    return pool if place == 0 else tables[pool].others + place - 1


@compiled
def end_switch(now, server, table):
    """End a switch, or break it off: its seconds up to now count."""
    server.steps = 0
    server.switching = False
    server.mixed = False
    server.last_start_s = math.inf
    server.busy_s += now - server.start_s
    table.busy_s += now - server.start_s
    table.switching_s += now - server.start_s
