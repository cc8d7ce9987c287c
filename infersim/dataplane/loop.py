"""The loop: whatever happens next, anywhere in the fleet, happens next, until a given time or an edge.

At equal times arrivals come first, then deliveries, then replicas' steps, then those who lose patience. Not here: where
requests go (`dispatch.py`), what a replica does in a step (`forming.py`, `ending.py`), and growing the arrays (`fleet.py`).
"""

import math

from infersim.dataplane.agenda import next_end, pop_delivery, reschedule
from infersim.dataplane.clients import begin_attempt, come, end_attempt, lose_patience, wait_ahead
from infersim.dataplane.dispatch import deliver, dispatch, note_load, send
from infersim.dataplane.edges import (
    ALL_FINISHED,
    BAD_ANSWER,
    DRAINED,
    GO_ON,
    HELD_EDGE,
    LEAVING_EDGE,
    ON_TIME,
    OUTCOMES_FULL,
    SLOTS_FULL,
    STARVED,
    VERB_DONE,
)
from infersim.dataplane.ending import end_step
from infersim.dataplane.engines import engine_of
from infersim.dataplane.errands import give_up, obey, run_errands, say_drained
from infersim.dataplane.failing import NOTHING
from infersim.dataplane.forming import form_step
from infersim.dataplane.groups import ROOT
from infersim.dataplane.internal import AWAY, SENDING
from infersim.dataplane.jit import inlined
from infersim.dataplane.outlook import look_ahead
from infersim.dataplane.reading import read
from infersim.dataplane.records import ALL, BATCHING, CLOSED, DRAINING, FINISHED, NONE, OWN_BATCHING
from infersim.dataplane.signals import scrape
from infersim.dataplane.switching import is_served, switch
from infersim.dataplane.withdrawing import hold, part, unhold, unleave


def advance(until, factor, victims, policies, clocks, arrivals, roll, deliveries, ends, routing, engines, pools, crowd):
    """Serve until `until` [s] or an edge; return why it stopped. The clock stands at that time.

    If `clock.verb` says so, do that instead to replica `clock.culprit`, with the `victims` in these slots or by `factor`.
    The rest are the groups of arrays of `groups.py`.
    """
    clock = clocks[0]
    if clock.verb != NOTHING:
        obey(clock.now_s, factor, victims, clock, roll, deliveries, ends, engines, pools, crowd)
        clock.errands = True
        return VERB_DONE
    requests, replicas, servers, tables = arrivals.requests, engines.replicas, engines.servers, pools.tables
    asked, flights = roll.asked, roll.flights
    room, switches = roll.outcomes.shape[0] - engines.finishes.shape[1] - 1, engines.switches.shape[0]
    while True:
        if clock.outcomes >= room or clock.switches >= switches:
            return OUTCOMES_FULL
        if clock.cursor == requests.shape[0] and not clock.last_chunk:
            return STARVED
        sequels = crowd.sequels
        if sequels.shape[0] > 0 and clock.cursor < requests.shape[0] and sequels[clock.cursor].joins > 0:
            if clock.free_slots == 0:  # it has to be there before one that it follows can end
                return SLOTS_FULL
            slot = read(clock, arrivals, roll, crowd)
            wait_ahead(slot, clock.cursor - 1, flights, crowd)
            continue
        if clock.held_next != NONE and routing.routable.shape[0] > 0:
            slot = clock.held_next
            clock.held_next = flights[slot].next
            if clock.models and not is_served(asked[slot].model, replicas, routing.routable, tables):
                continue
            unhold(slot, clock, roll, tables)
            if not dispatch(clock.now_s, slot, policies, clock, roll, deliveries, ends, routing, engines, pools, crowd):
                return BAD_ANSWER
            continue
        if clock.leaving_head != NONE and routing.receivers.shape[0] > 0:
            slot = clock.leaving_head
            unleave(slot, clock, flights)
            source = flights[slot].source
            sent = send(clock.now_s, slot, policies, clock, roll, deliveries, ends, routing, engines, pools, crowd)
            if sent < 0:
                return BAD_ANSWER
            note_load(source, clock, replicas, routing.loads)
            if sent > 0:
                say_drained(source, clock, servers)
                return DRAINED
            continue
        forming = clock.forming != NONE
        if clock.errands and not forming:
            why = run_errands(clock.now_s, clock, roll, replicas, servers, routing.routable, crowd)
            if why != GO_ON:
                return why
        step_s = next_end(ends)
        due = deliveries.times[0] if clock.pending > 0 else math.inf
        arrival_s = requests[clock.cursor].arrival_s if clock.cursor < requests.shape[0] else math.inf
        now = step_s if step_s < due else due
        now = arrival_s if arrival_s < now else now
        alarm_s, comes = math.inf, False
        if forming:
            now, due, arrival_s = clock.now_s, math.inf, math.inf
            step_s = now
        elif clock.alarms > 0:
            first = crowd.alarms[0]
            alarm_s = crowd.calls[first].alarm_s
            now = min(now, alarm_s)
            comes = flights[first].state == AWAY and alarm_s <= now
            if comes and arrival_s <= now:
                comes = asked[first].id < requests[clock.cursor].id
        if now > until or now == math.inf:
            if clock.in_flight == 0 and now == math.inf and not clock.finished:
                clock.finished = True
                return ALL_FINISHED
            if not math.isinf(until):
                clock.now_s, clock.passed = until, ALL
                if clock.scrape_s > 0.0:  # before the control plane does something
                    scrape(until, clock, routing.seen, engines, tables)
            return ON_TIME
        if now > clock.now_s:
            clock.now_s, clock.passed = now, NONE
        if clock.scrape_s > 0.0:
            scrape(now, clock, routing.seen, engines, tables)
        if comes or arrival_s <= now:
            if comes:
                slot = crowd.alarms[0]
                come(now, slot, clock, asked, flights, crowd)
            else:
                if clock.free_slots == 0:
                    return SLOTS_FULL
                slot = read(clock, arrivals, roll, crowd)
                clock.in_flight += 1
            if clock.watching:
                status = begin_attempt(now, slot, clock, asked, flights, replicas, crowd)
                if status != FINISHED:
                    end_attempt(now, slot, status, clock, roll, replicas, tables, crowd)
                    continue
            if routing.routable.shape[0] == 0 or (
                clock.models and not is_served(asked[slot].model, replicas, routing.routable, tables)
            ):
                if hold(slot, clock, roll, tables):
                    return HELD_EDGE
            elif not dispatch(now, slot, policies, clock, roll, deliveries, ends, routing, engines, pools, crowd):
                return BAD_ANSWER
        elif due <= now:
            slot = pop_delivery(deliveries, clock.pending)
            clock.pending -= 1
            source = flights[slot].source
            drained = flights[slot].state == SENDING and part(now, slot, roll, ends, engines, tables)
            note_load(source, clock, replicas, routing.loads)
            deliver(now, slot, clock, roll, ends, engines, tables)
            if drained:
                say_drained(source, clock, servers)
                return DRAINED
        elif step_s <= now:
            r = clock.forming if forming else ends.entries[ROOT].replica
            why = _step(now, r, forming, policies, clock, roll, ends, routing, engines, pools)
            if why != GO_ON:
                return why
        else:
            if clock.free_slots == 0:
                return SLOTS_FULL
            slot = crowd.alarms[0]
            clock.passed = ALL
            status = lose_patience(now, slot, clock, asked, flights, crowd)
            if status != FINISHED:
                give_up(now, slot, status, clock, roll, deliveries, ends, routing, engines, pools, crowd)


@inlined
def _step(now, r, forming, policies, clock, roll, ends, routing, engines, pools):
    """End the step of a replica, unless it is only to form one, and form the next; return why to stop, or GO_ON."""
    engine = engine_of(r, engines, pools.tables)
    server, replica, step = engine.server, engine.replica, engines.steps[0]
    leaving = clock.leaving
    clock.passed = max(clock.passed, r)
    if not forming:
        end_step(now, engine, roll, pools, clock)
        if clock.leaving_head != NONE and routing.receivers.shape[0] > 0:
            clock.forming = r  # they leave first: that may free blocks for the next step
            return GO_ON
    clock.forming = NONE
    if replica.status == CLOSED:  # it was empty, and said to be
        reschedule(ends, r, math.inf)
        return GO_ON
    if engine.table.models > 1 and server.batch_head == NONE and server.queue_head != NONE:
        ends_s = switch(now, engine, roll.asked, pools.tables, engines.switches, clock)
        if server.switching:
            reschedule(ends, r, ends_s)
            return GO_ON
        engine = engine_of(r, engines, pools.tables)
    if engine.table.batching == OWN_BATCHING:
        clock.asking, clock.culprit = BATCHING, r
    ends_s = form_step(now, policies.shape, step, engines.states[0], engine, roll, pools.values)
    if clock.raised or step.refused:
        return BAD_ANSWER
    reschedule(ends, r, ends_s)
    note_load(r, clock, engines.replicas, routing.loads)
    if clock.ahead:
        look_ahead(r, ends, engines, roll)
    if replica.status == DRAINING and replica.outstanding == 0 and not server.reported:
        say_drained(r, clock, engines.servers)
        return DRAINED
    return LEAVING_EDGE if leaving == 0 and clock.leaving > 0 else GO_ON
