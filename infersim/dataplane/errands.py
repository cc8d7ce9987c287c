"""What is seen to between two events: what the control plane wants done, what an end leaves behind, who has lost patience.

Not here: the events (`loop.py`).
"""

from infersim.dataplane.clients import end_attempt, hear_of_ends
from infersim.dataplane.dispatch import note_load
from infersim.dataplane.edges import DRAINED, GO_ON, HELD_EDGE
from infersim.dataplane.failing import FAIL, MIGRATE, NOTHING, fail, migrate, slow
from infersim.dataplane.internal import DECODE, DONE, PREFILL
from infersim.dataplane.jit import compiled
from infersim.dataplane.reading import send_users
from infersim.dataplane.records import DRAINING, NONE
from infersim.dataplane.withdrawing import abandon, withdraw


@compiled
def obey(now, factor, victims, clock, roll, deliveries, ends, engines, pools, crowd):
    """Do to a replica what the control plane wants done."""
    verb, r = clock.verb, clock.culprit
    clock.verb = NOTHING
    if verb == FAIL:
        fail(now, r, victims, clock, roll, deliveries, ends, engines, pools, crowd)
    elif verb == MIGRATE:
        migrate(now, victims, clock, roll, deliveries, ends, engines, pools)
    else:
        slow(now, r, factor, engines.servers, ends)


@compiled
def run_errands(now, clock, roll, replicas, servers, routable, crowd):
    """See to what the last event has left behind; return why the loop must stop, or GO_ON."""
    if clock.ended_head != NONE:
        hear_of_ends(now, clock, roll, crowd)
    if clock.free_users > 0:
        why = send_users(now, clock, roll, crowd)
        if why != GO_ON:
            return why
    if clock.recheck:
        for r in range(replicas.shape[0]):
            if replicas[r].status == DRAINING and replicas[r].outstanding == 0 and not servers[r].reported:
                say_drained(r, clock, servers)
                return DRAINED
        clock.recheck = False
    clock.errands = False
    if clock.held_anew:
        clock.held_anew = False
        if clock.held_head != NONE and (routable.shape[0] == 0 or clock.models):
            return HELD_EDGE
    return GO_ON


@compiled
def say_drained(r, clock, servers):
    """Note that it is said of a draining replica that it is empty."""
    clock.culprit = r
    servers[r].reported = True


@compiled
def give_up(now, slot, status, clock, roll, deliveries, ends, routing, engines, pools, crowd):
    """End an attempt that somebody has lost patience with."""
    flights, tables, replicas = roll.flights, pools.tables, engines.replicas
    flight = flights[slot]
    if flight.state == PREFILL or flight.state == DECODE or flight.state == DONE:
        clock.free_slots -= 1
        client = roll.free_slots[clock.free_slots]
        table = tables[replicas[flight.replica].pool]
        abandon(now, slot, client, roll.asked, flights, engines.servers, crowd.calls, table, pools.values, ends)
        slot = client
    else:
        r, source = flight.replica, flight.source
        withdraw(now, slot, clock, roll, deliveries, ends, engines, pools)
        note_load(r, clock, replicas, routing.loads)
        note_load(source, clock, replicas, routing.loads)
    end_attempt(now, slot, status, clock, roll, replicas, tables, crowd)
