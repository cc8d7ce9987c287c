"""When clients come and when they lose patience: a heap of the requests that have an alarm, each knowing its place.

At equal times those that come stand before those that lose patience, and then the lower id. Not here: what is done when
an alarm rings (`clients.py`).
"""

from infersim.dataplane.internal import AWAY
from infersim.dataplane.jit import compiled
from infersim.dataplane.records import NONE


@compiled
def _sooner(a, b, asked, flights, calls):
    if calls[a].alarm_s != calls[b].alarm_s:
        return calls[a].alarm_s < calls[b].alarm_s
    comes, other = flights[a].state == AWAY, flights[b].state == AWAY
    return asked[a].id < asked[b].id if comes == other else comes


@compiled
def _lift(child, asked, flights, calls, alarms):
    """Move an alarm up to its place; return it."""
    slot = alarms[child]
    while child > 0:
        parent = (child - 1) >> 1
        if not _sooner(slot, alarms[parent], asked, flights, calls):
            break
        alarms[child] = alarms[parent]
        calls[alarms[child]].place = child
        child = parent
    alarms[child] = slot
    calls[slot].place = child


@compiled
def _sink(parent, size, asked, flights, calls, alarms):
    """Move an alarm down to its place."""
    slot = alarms[parent]
    while True:
        child = 2 * parent + 1
        if child + 1 < size and _sooner(alarms[child + 1], alarms[child], asked, flights, calls):
            child += 1
        if child >= size or not _sooner(alarms[child], slot, asked, flights, calls):
            break
        alarms[parent] = alarms[child]
        calls[alarms[parent]].place = parent
        parent = child
    alarms[parent] = slot
    calls[slot].place = parent


@compiled
def set_alarm(slot, when_s, clock, asked, flights, calls, alarms):
    """Let the alarm of a request that has none ring at `when_s` [s]; its state says what for."""
    calls[slot].alarm_s = when_s
    alarms[clock.alarms] = slot
    clock.alarms += 1
    _lift(clock.alarms - 1, asked, flights, calls, alarms)


@compiled
def drop_alarm(slot, clock, asked, flights, calls, alarms):
    """Forget a request's alarm, if it has one."""
    place = calls[slot].place
    if place == NONE:
        return
    calls[slot].place = NONE
    clock.alarms -= 1
    last = alarms[clock.alarms]
    if last != slot:
        alarms[place] = last
        _sink(place, clock.alarms, asked, flights, calls, alarms)
        _lift(calls[last].place, asked, flights, calls, alarms)
