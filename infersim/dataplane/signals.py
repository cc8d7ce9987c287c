"""What a router sees: the replicas' signals, brought up to date as far as it reads them, or as old as its last scrape.

Not here: the routers (`infersim/policies/routing.py`).
"""

from infersim.dataplane.jit import compiled
from infersim.dataplane.kvcache import claimed, growth
from infersim.dataplane.prefix import make_room, matching_blocks
from infersim.dataplane.progress import steps_begun
from infersim.dataplane.records import NONE, READY
from infersim.dataplane.switching import table_for


@compiled
def scrape(now, clock, seen, engines, tables):
    """Let the router see the replicas as they were at the last multiple of its scrape interval before `now`."""
    replicas = engines.replicas
    due = int(now / clock.scrape_s)
    if due < clock.scraped:
        return
    clock.scraped = due + 1
    for r in range(replicas.shape[0]):
        seen[r] = replicas[r]
        if clock.reads_kv and replicas[r].status == READY:
            seen[r].kv_blocks_used = _blocks_used(due * clock.scrape_s, r, NONE, engines, tables)


@compiled
def count_blocks(now, clock, engines, routable, tables):
    """Tell the router how many KV blocks are in use now."""
    replicas = engines.replicas
    for r in routable:
        replicas[r].kv_blocks_used = _blocks_used(now, r, clock.passed, engines, tables)


@compiled
def find_prefixes(now, clock, request, shown, engines, routable, tables):
    """Tell the router how much of the prompt is cached where. That is never old: routers know it from what they routed."""
    servers, caches, lookups = engines.servers, engines.caches, engines.lookups
    for r in routable:
        server, table = servers[r], tables[servers[r].table]
        if table.prefix_tokens > 0:
            free = table.blocks - _blocks_used(now, r, clock.passed, engines, tables)
            make_room(free, server, caches[r], lookups[r], table)
            most = min(request.prefix_blocks, (request.input_tokens - 1) // table.prefix_tokens)
            blocks = 0
            if request.model == table.model:
                blocks = matching_blocks(caches[r], lookups[r], engines.names, request.prefix_start, most)
            shown[r].cached_tokens = blocks * table.prefix_tokens


@compiled
def measure(request, replicas, routable, tables, values):
    """Tell the router how far each replica is from where the request comes from."""
    for r in routable:
        table = tables[replicas[r].pool]
        replicas[r].network_s = values[table.network + request.tenant] if table.classes > 0 else 0.0


@compiled
def find_resident(request, shown, replicas, models, routable, tables):
    """Tell the router which replicas have the weights of the request's model. That is never old, as for prefixes."""
    for r in routable:
        place = tables[table_for(request.model, replicas[r].pool, tables)].place
        shown[r].resident = 1 if models[r, place].resident else 0


@compiled
def accepting(request, by_model, replicas, routable, chosen, tables, values):
    """Write those of the ready replicas to `chosen` whose pool takes the request; return how many these are.

    If there are several models, only those whose pool serves its model, whether or not they take it if none of them does.
    """
    found = 0
    for r in routable:
        table = tables[replicas[r].pool]
        if by_model and table_for(request.model, replicas[r].pool, tables) == NONE:
            continue
        if table.min_input <= request.input_tokens <= table.max_input and (
            table.classes == 0 or values[table.takes + request.tenant] > 0.0
        ):
            chosen[found] = r
            found += 1
    if by_model and found == 0:
        for r in routable:
            if table_for(request.model, replicas[r].pool, tables) != NONE:
                chosen[found] = r
                found += 1
    return found


@compiled
def _blocks_used(now, r, passed, engines, tables):
    """KV blocks in use at `now`, those that the running decode step has claimed included."""
    server, table = engines.servers[r], tables[engines.servers[r].table]
    used = table.blocks - server.kv_free
    if server.steps > 0 and not server.mixed:
        begun = steps_begun(now, r, passed, server)
        used += claimed(engines.phases[r], server.decoded, growth(server, table), begun, table)
    return used
