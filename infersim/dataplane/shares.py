"""A queue that tenants share fairly: a list and a counter of service for each; the tenant served least is next.

The virtual token counter of Sheng et al., "Fairness in serving large language models", OSDI 2024; DESIGN.md says how
exactly. Not here: the other queues (`queue.py`).
"""

from infersim.dataplane.internal import DECODE, PREFILL
from infersim.dataplane.jit import compiled
from infersim.dataplane.progress import steps_begun
from infersim.dataplane.records import NONE


@compiled
def choose_head(server, shares):
    """Let the head of the queue be the first request of the tenant with the smallest counter."""
    best = NONE
    for tenant in range(shares.shape[0]):
        if shares[tenant].queued > 0 and (best == NONE or shares[tenant].counter < shares[best].counter):
            best = tenant
    server.queue_head = NONE if best == NONE else shares[best].head


@compiled
def push_share(server, asked, flights, slot, shares, first):
    """Put a request at the end of its tenant's list, or at its front; a tenant that had none there is lifted."""
    share = shares[asked[slot].tenant]
    flights[slot].next = NONE
    if share.queued == 0:
        if server.queue_head != NONE:
            share.counter = max(share.counter, shares[asked[server.queue_head].tenant].counter)
        elif server.last_tenant != NONE:
            share.counter = max(share.counter, shares[server.last_tenant].counter)
        share.head = slot
        share.tail = slot
    elif first:
        flights[slot].next = share.head
        share.head = slot
    else:
        flights[share.tail].next = slot
        share.tail = slot
    share.queued += 1
    choose_head(server, shares)


@compiled
def pop_share(server, asked, flights, shares):
    """Take the head out of the queue; return its slot."""
    slot = server.queue_head
    server.last_tenant = asked[slot].tenant
    share = shares[server.last_tenant]
    share.head = flights[slot].next
    share.queued -= 1
    choose_head(server, shares)
    return slot


@compiled
def remove_share(server, asked, flights, slot, shares):
    """Take a request out of the queue, wherever it stands."""
    server.last_tenant = asked[slot].tenant
    share = shares[server.last_tenant]
    before, here = NONE, share.head
    while here != slot:
        before, here = here, flights[here].next
    if before == NONE:
        share.head = flights[slot].next
    else:
        flights[before].next = flights[slot].next
    if share.tail == slot:
        share.tail = before
    share.queued -= 1
    choose_head(server, shares)


@compiled
def charge(server, shares, tenant, service):
    """Count service that a tenant has had, in weighted tokens."""
    shares[tenant].counter += service
    choose_head(server, shares)


@compiled
def charge_begun(now, r, passed, server, asked, flights, shares, table):
    """Count the output tokens that the running leap has yielded before `now`."""
    if server.steps > 1:
        begun = steps_begun(now, r, passed, server)
        charge_outputs(server, asked, flights, shares, table, begun - 1)


@compiled
def charge_outputs(server, asked, flights, shares, table, steps):
    """Count the output tokens of the first `steps` steps of what runs: of who decodes, and of prompts that end with it."""
    slot = server.batch_head
    while slot != NONE:
        flight = flights[slot]
        share = shares[asked[slot].tenant]
        if flight.state == DECODE and server.decodes:
            share.counter += table.output_weight * (steps - server.charged_steps) * flight.rows
        elif flight.state == PREFILL and server.mixed and 0 < flight.target - flight.computed <= flight.chunk:
            share.counter += table.output_weight * (1 + asked[slot].forks) * min(flight.output_tokens, 1)
        slot = flight.next
    server.charged_steps = steps
    choose_head(server, shares)
