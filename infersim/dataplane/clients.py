"""What clients do: begin an attempt, lose patience, come again, follow up on what has ended.

DESIGN.md, "Attempts", "Patience", "Admission", "Followers" and "Users in a closed loop", is the specification. Not here:
how a request is taken out of its replica (`withdrawing.py`).
"""

import math

from infersim.dataplane.alarms import drop_alarm, set_alarm
from infersim.dataplane.chance import uniform
from infersim.dataplane.internal import AHEAD, AWAY, HANDLING, HELD, QUEUED
from infersim.dataplane.jit import compiled
from infersim.dataplane.records import FINISHED, NONE, OVERLOADED, RATE_LIMITED, REJECTED, SERVICE_FULL, TIMED_OUT
from infersim.dataplane.sequences import write_outcome
from infersim.dataplane.switching import table_for

NEVER_SENT = 0
"""Instead of the bit of an ending."""
SALT = 24301
"""Third number of the chance that a pause before another attempt draws."""

# ---------------------------------------------------------------- an attempt


@compiled
def new_call(slot, calls):
    """Watch the client of the request in `slot`, which nothing is known of yet."""
    call = calls[slot]
    call.sent_s = math.nan
    call.place = NONE
    call.wait_s = 0.0
    call.gap_s = 0.0
    call.awaited = 0
    call.unless = 0
    call.late = False
    call.broken = False
    call.heir = NONE
    call.sibling = NONE
    call.join = NONE
    call.source = NONE


@compiled
def restart(now, slot, asked, flights):
    """Forget what an attempt has done; its spans, and what it wasted, stay."""
    flight = flights[slot]
    flight.wasted_tokens += flight.worked + flight.worked_before
    flight.worked = 0
    flight.worked_before = 0
    flight.begun = flight.begun or flight.cached_tokens >= 0
    flight.replica = NONE
    flight.source = NONE
    flight.swapped = False
    flight.rows = 1
    flight.computed = 0
    flight.generated = 0
    flight.target = asked[slot].input_tokens
    flight.entry = NONE
    flight.entries = 0
    flight.cached_tokens = -1
    flight.first_token_s = math.nan
    flight.last_token_s = math.nan
    flight.since_s = now


@compiled
def come(now, slot, clock, asked, flights, crowd):
    """Let a request whose alarm has rung arrive: for the first time, or again."""
    flight, call = flights[slot], crowd.calls[slot]
    drop_alarm(slot, clock, asked, flights, crowd.calls, crowd.alarms)
    if math.isnan(call.sent_s):
        asked[slot].arrival_s = now
        clock.in_flight += 1
    else:
        flight.away_s += now - flight.since_s
        flight.begun = False
    flight.since_s = now
    flight.state = HELD


@compiled
def begin_attempt(now, slot, clock, asked, flights, replicas, crowd):
    """Start the clocks of an attempt that arrives; return how it is turned away, or FINISHED if it is let in."""
    call, client = crowd.calls[slot], crowd.clients[asked[slot].tenant]
    call.sent_s = now
    if not math.isinf(client.tokens_per_s):
        _look(now, client)
        if client.level_tokens <= 0.0:
            return RATE_LIMITED
    if clock.max_queued >= 0:
        waiting = clock.held + clock.leaving
        for r in range(replicas.shape[0]):
            waiting += replicas[r].waiting
        if waiting >= clock.max_queued:
            return SERVICE_FULL
    if not math.isinf(client.tokens_per_s):
        client.level_tokens -= asked[slot].input_tokens
    _set_patience(now, slot, clock, asked, flights, call, client, crowd)
    return FINISHED


@compiled
def _look(now, client):
    """Fill a bucket up to now."""
    level = client.level_tokens + client.tokens_per_s * (now - client.looked_s)
    client.level_tokens = min(client.burst_tokens, level)
    client.looked_s = now


@compiled
def _set_patience(now, slot, clock, asked, flights, call, client, crowd):
    """Let the alarm ring at the next moment at which somebody may lose patience, if there is one."""
    when_s = call.sent_s + client.timeout_s
    if call.sent_s + client.ttft_timeout_s > now:
        when_s = min(when_s, call.sent_s + client.ttft_timeout_s)
    if call.sent_s + clock.max_wait_s > now:
        when_s = min(when_s, call.sent_s + clock.max_wait_s)
    if not math.isinf(when_s):
        set_alarm(slot, when_s, clock, asked, flights, crowd.calls, crowd.alarms)


@compiled
def lose_patience(now, slot, clock, asked, flights, crowd):
    """Say how an attempt whose alarm has rung is given up; FINISHED if it is not, and the alarm is set anew."""
    flight, call, client = flights[slot], crowd.calls[slot], crowd.clients[asked[slot].tenant]
    drop_alarm(slot, clock, asked, flights, crowd.calls, crowd.alarms)
    if call.sent_s + client.timeout_s == now:
        return TIMED_OUT
    if math.isnan(flight.first_token_s) and call.sent_s + client.ttft_timeout_s == now:
        return TIMED_OUT
    waits = flight.state == HELD or flight.state == HANDLING or flight.state == QUEUED
    if waits and not (flight.begun or flight.cached_tokens >= 0) and call.sent_s + clock.max_wait_s == now:
        return OVERLOADED
    _set_patience(now, slot, clock, asked, flights, call, client, crowd)
    return FINISHED


@compiled
def end_attempt(now, slot, status, clock, roll, replicas, tables, crowd):
    """End an attempt that no replica holds any more: its client comes again later, or the request has ended."""
    asked, flights = roll.asked, roll.flights
    flight = flights[slot]
    pool = replicas[flight.replica].pool if flight.replica != NONE else NONE
    serial = replicas[flight.replica].serial if flight.replica != NONE else NONE
    if flight.worked > 0:
        tables[table_for(roll.asked[slot].model, pool, tables)].wasted_tokens += flight.worked
    if flight.worked_before > 0:
        tables[flight.pool_before].wasted_tokens += flight.worked_before
    if flight.watched and status != REJECTED:
        client, call = crowd.clients[asked[slot].tenant], crowd.calls[slot]
        if flight.retries + 1 < client.max_attempts:
            drop_alarm(slot, clock, asked, flights, crowd.calls, crowd.alarms)
            _charge(now, flight, asked[slot], client)
            flight.retries += 1
            if flight.retries == 1:
                call.wait_s = client.backoff_s
            else:
                call.wait_s = min(call.wait_s * client.multiplier, client.max_backoff_s)
            restart(now, slot, asked, flights)
            flight.state = AWAY
            chance = uniform(asked[slot].id, flight.retries, SALT)
            away_s = call.wait_s * (1.0 - client.jitter * chance)
            set_alarm(slot, now + away_s, clock, asked, flights, crowd.calls, crowd.alarms)
            return
    flight.wasted_tokens += flight.worked + flight.worked_before
    write_outcome(now, slot, status, pool, serial, roll, clock)


@compiled
def _charge(now, flight, request, client):
    """Take the output tokens of an attempt that has ended from the bucket of its class."""
    if not math.isinf(client.tokens_per_s):
        _look(now, client)
        client.level_tokens -= flight.generated * (1 + request.forks)


# ---------------------------------------------------------------- what follows an end


@compiled
def hear_of_ends(now, clock, roll, crowd):
    """Let the clients of the requests that have just ended hear of it, and free their slots."""
    asked, flights, calls = roll.asked, roll.flights, crowd.calls
    while clock.ended_head != NONE:
        slot = clock.ended_head
        clock.ended_head = flights[slot].next
        call = calls[slot]
        drop_alarm(slot, clock, asked, flights, calls, crowd.alarms)
        if clock.watching:
            _charge(now, flights[slot], asked[slot], crowd.clients[asked[slot].tenant])
        _release_followers(now, slot, 1 << flights[slot].status, clock, roll, crowd)
        if call.source != NONE:
            crowd.sources[call.source].free += 1
            clock.free_users += 1
        roll.free_slots[clock.free_slots] = slot
        clock.free_slots += 1


@compiled
def _release_followers(now, slot, ending, clock, roll, crowd):
    """Send, or give up, the requests that follow one that has ended, with this bit, and those that follow given up ones."""
    asked, flights, calls = roll.asked, roll.flights, crowd.calls
    given_up = NONE
    call = calls[slot]
    child = call.heir
    while child != NONE:
        following = calls[child].sibling
        given_up = _release(now, child, ending, given_up, clock, asked, flights, crowd)
        child = following
    if call.join != NONE:
        given_up = _release(now, call.join, ending, given_up, clock, asked, flights, crowd)
    while given_up != NONE:
        gone = given_up
        given_up = flights[gone].next
        child = calls[gone].heir
        while child != NONE:
            following = calls[child].sibling
            given_up = _release(now, child, NEVER_SENT, given_up, clock, asked, flights, crowd)
            child = following
        if calls[gone].join != NONE:
            given_up = _release(now, calls[gone].join, NEVER_SENT, given_up, clock, asked, flights, crowd)
        clock.never_sent += 1
        roll.free_slots[clock.free_slots] = gone
        clock.free_slots += 1


@compiled
def _release(now, child, ending, given_up, clock, asked, flights, crowd):
    """Tell a follower that one of those that it waits for has ended; return the list of those that are given up."""
    call = crowd.calls[child]
    call.awaited -= 1
    if ending == NEVER_SENT or call.unless & ending:
        call.broken = True
    if call.awaited > 0:
        return given_up
    if call.broken or (now + call.gap_s >= clock.last_arrival_s and not call.late):
        flights[child].next = given_up
        return child
    flights[child].state = AWAY
    set_alarm(child, now + call.gap_s, clock, asked, flights, crowd.calls, crowd.alarms)
    return given_up


@compiled
def wait_ahead(slot, row, flights, crowd):
    """Let a request that follows others wait for them."""
    sequel, call = crowd.sequels[row], crowd.calls[slot]
    flights[slot].state = AHEAD
    call.awaited = sequel.joins
    call.unless = sequel.unless
    call.late = sequel.late
    call.gap_s = sequel.gap_s
    for k in range(sequel.after, sequel.after + sequel.joins):
        place = crowd.predecessors[k]
        predecessor = crowd.places[place] if place >= 0 else -2 - place
        if sequel.joins > 1:
            crowd.calls[predecessor].join = slot
        else:
            call.sibling = crowd.calls[predecessor].heir
            crowd.calls[predecessor].heir = slot
