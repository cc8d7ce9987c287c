"""Requests that come in: out of the chunk that arrives and out of what users in closed loops send, each into a free slot.

Not here: what clients do later (`clients.py`), nor how chunks get here (`feeding.py`).
"""

import math

from infersim.dataplane.alarms import set_alarm
from infersim.dataplane.clients import new_call
from infersim.dataplane.edges import GO_ON, SLOTS_FULL, SOURCE_EMPTY
from infersim.dataplane.internal import AWAY, HELD
from infersim.dataplane.jit import compiled, inlined
from infersim.dataplane.records import NONE


@inlined
def receive(slot, request, output_tokens, asked, flights):
    """Put a request into a free slot, in state held."""
    asked[slot] = request
    flight = flights[slot]
    flight.output_tokens = output_tokens
    flight.preemptions = 0
    flight.held_s = 0.0
    flight.handling_s = 0.0
    flight.queued_s = 0.0
    flight.prefill_s = 0.0
    flight.decode_s = 0.0
    flight.preempted_s = 0.0
    flight.transfer_s = 0.0
    flight.away_s = 0.0
    flight.retries = 0
    flight.replays = 0
    flight.worked = 0
    flight.worked_before = 0
    flight.wasted_tokens = 0
    flight.watched = False
    flight.begun = False
    flight.replica = NONE
    flight.swapped = False
    flight.source = NONE
    flight.state = HELD
    flight.since_s = asked[slot].arrival_s
    flight.computed = 0
    flight.generated = 0
    flight.target = asked[slot].input_tokens
    flight.entry = NONE
    flight.entries = 0
    flight.adapter = NONE
    flight.cached_tokens = -1
    flight.rows = 1
    flight.first_token_s = math.nan
    flight.last_token_s = math.nan


@inlined
def read(clock, arrivals, roll, crowd):
    """Take the next request of the chunk; return its slot."""
    clock.free_slots -= 1
    slot = roll.free_slots[clock.free_slots]
    row = clock.cursor
    receive(slot, arrivals.requests[row], arrivals.outputs[row], roll.asked, roll.flights)
    clock.cursor += 1
    if clock.watching:
        roll.flights[slot].watched = True
        new_call(slot, crowd.calls)
        if crowd.sequels.shape[0] > 0:
            crowd.places[row] = slot
            crowd.calls[slot].source = crowd.sequels[row].source
    return slot


@compiled
def send_users(now, clock, roll, crowd):
    """Let the users who are free take the next requests of their sources; return why the loop must stop, or GO_ON."""
    asked, flights = roll.asked, roll.flights
    for c in range(crowd.sources.shape[0]):
        source = crowd.sources[c]
        while source.free > 0:
            if source.cursor == source.end and not source.last:
                clock.culprit = c
                return SOURCE_EMPTY
            if clock.free_slots == 0:
                return SLOTS_FULL
            source.free -= 1
            clock.free_users -= 1
            row = source.cursor
            if row == source.end:
                continue
            source.cursor += 1
            when_s = now + crowd.source_gaps[row]
            if when_s >= clock.last_arrival_s:
                continue
            clock.free_slots -= 1
            slot = roll.free_slots[clock.free_slots]
            receive(slot, crowd.source_requests[row], crowd.source_outputs[row], asked, flights)
            new_call(slot, crowd.calls)
            crowd.calls[slot].source = c
            flights[slot].watched = True
            flights[slot].state = AWAY
            set_alarm(slot, when_s, clock, asked, flights, crowd.calls, crowd.alarms)
    return GO_ON
