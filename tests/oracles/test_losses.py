"""Queues that lose requests: full ones (M/M/1/K, M/M/c/K, Erlang B), and clients who leave (M/M/c+D, a limited sojourn).

Sources: L. Kleinrock, Queueing Systems, volume 1 (1975), sections 3.6 and 3.7 (finite room, Erlang B); F. Baccelli and
G. Hebuterne, On queues with impatient customers (1981), for M/M/n+G; for the limited sojourn, level crossing: P. Brill
and M. Posner, Operations Research 25 (1977), as derived below.
"""

import math

import numpy as np
import pytest

from infersim.dataplane.records import FINISHED, OVERLOADED, QUEUE_FULL, TIMED_OUT
from infersim.dataplane.rules import ClientRules
from tests.oracles.queues import assert_theory, geometric, serve, server

STEP_S = 0.001
MEAN = 1000
"""Steps of a mean service, so that it lasts 1 s."""


def ended(runs: list, status: int) -> list[float]:
    return [float((rows["status"] == status).mean()) for rows in runs]


def full(slots: int, room: int, offered: float) -> float:
    """Share of M/M/c/(c + room) requests that find no room."""
    weights = [offered**k / math.factorial(k) for k in range(slots + 1)]
    weights += [weights[-1] * (offered / slots) ** k for k in range(1, room + 1)]
    return weights[-1] / sum(weights)


@pytest.mark.parametrize(("slots", "room", "load"), [(1, 1, 0.8), (1, 4, 1.3), (4, 3, 0.9)])
def test_a_queue_with_little_room(slots: int, room: int, load: float) -> None:
    pool = server(np.full(slots + 1, STEP_S), max_queued=room)
    runs = serve(load * slots, geometric(MEAN), pool, 30_000)
    # with several slots an arrival waits in the queue for the end of a step, though a slot is free: that it then finds
    # one more there has a chance of about a step's arrivals
    slack = 0.0 if slots == 1 else 0.003
    assert_theory(full(slots, room, load * slots), ended(runs, QUEUE_FULL), slack=slack, width=0.06)
    assert_theory(1 - full(slots, room, load * slots), ended(runs, FINISHED), slack=slack, width=0.06)


def test_erlang_b() -> None:
    """Five servers and nobody waits: who finds all of them busy is turned away after half a step."""
    pool = server(np.array([0, STEP_S]))
    runs = serve(4.0, geometric(MEAN), pool, 30_000, 5, "least_outstanding", max_wait_s=STEP_S / 2)
    assert_theory(full(5, 0, 4.0), ended(runs, OVERLOADED), width=0.06, slack=0.003)


@pytest.mark.parametrize(("slots", "load", "patience_s"), [(1, 0.9, 2.0), (1, 1.5, 3.0), (4, 1.1, 1.0)])
def test_clients_who_leave_the_queue(slots: int, load: float, patience_s: float) -> None:
    """M/M/n+D: the virtual wait has the density rate p(n-1) exp((rate - n) x) up to the patience, exp(-n x) beyond."""
    rate = load * slots
    before = [rate**k / math.factorial(k) for k in range(slots)]
    growth = rate - slots
    within = rate * before[-1] * (math.exp(growth * patience_s) - 1) / growth
    beyond = rate * before[-1] * math.exp(growth * patience_s) / slots
    left = beyond / (sum(before) + within + beyond)
    pool = server(np.full(slots + 1, STEP_S))
    runs = serve(rate, geometric(MEAN), pool, 30_000, max_wait_s=patience_s)
    assert_theory(left, ended(runs, OVERLOADED), width=0.08, slack=0.002)


@pytest.mark.parametrize(("load", "patience_s"), [(0.7, 2.0), (1.4, 3.0)])
def test_clients_who_leave_the_server_too(load: float, patience_s: float) -> None:
    """M/M/1 whose requests go after T seconds in all. The work in front of an arrival never exceeds T; level crossing
    gives it the density rate p0 exp((rate - 1) x) below T, and a chance of p0 exp((rate - 1) T) to be given up."""
    growth = load - 1
    idle = 1 / (1 + load * (math.exp(growth * patience_s) - 1) / growth)
    runs = serve(
        load, geometric(MEAN), server(np.array([0, STEP_S])), 30_000, clients=[ClientRules(timeout_s=patience_s)]
    )
    assert_theory(idle * math.exp(growth * patience_s), ended(runs, TIMED_OUT), width=0.06, slack=0.003)
    busy = [rows["decode_s"].sum() + rows["prefill_s"].sum() for rows in runs]
    spans = [rows["arrival_s"][-1] - rows["arrival_s"][0] for rows in runs]
    assert_theory(1 - idle, [one / span for one, span in zip(busy, spans, strict=True)], width=0.06, slack=0.003)
