"""Servers that break down, against queueing theory: M/M/1 with breakdowns, interrupted service repeated from its start; and
M/M/c whose breakdowns lose everybody who is there.

Up times are exponential with rate xi, repairs exponential with mean d, whether it works or not. An interrupted service of
length s begins anew with the same s (preemptive repeat identical). With C the time from a service's start to its end,

    E[W] = lambda E[C^2] / (2 (1 - lambda E[C])) + xi E[D^2] / (2 (1 + xi E[D]))

the second term being what arrivals to an idle server wait for a repair (Avi-Itzhak and Naor, Operations Research 1963;
Gaver, JRSS B 1962; the decomposition is Fuhrmann and Cooper's, Operations Research 1985).

With c places that break down together and lose whom they hold, while those who come during the repair wait for its end, how many
are there is a Markov chain (the queue with catastrophes and repairs: Chao, Operations Research Letters 1995; Yechiali, Queueing
Systems 2007), solved here numerically; Little's law turns its mean into a time.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from infersim.controlplane import faults
from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.places import Places
from infersim.cost.cold_start import Phases
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import FINISHED, LOST, REQUEST
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from infersim.spec.faults import Fault, Repair
from infersim.spec.topology import Placement
from tests.controlplane.house import source, tables, terms

AT_ONCE = Phases(0.0, 0.0, 0.0, None, 0.0, 0.0, "nowhere")
SERVICE_S, UP_S, REPAIR_S = 200.0, 2000.0, 300.0


def completion_moments() -> tuple[float, float]:
    """First and second moment of C by integration over s, given the failed trials before the one that succeeds [s]."""
    xi, mu = 1 / UP_S, 1 / SERVICE_S

    def given(s: float) -> tuple[float, float]:
        p = np.exp(-xi * s)
        q = 1 - p
        u1 = 1 / xi - s * p / q  # a trial that fails is an exponential below s
        u2 = (2 / xi**2 - p * (s**2 + 2 * s / xi + 2 / xi**2)) / q
        trial1, trial_var = u1 + REPAIR_S, u2 - u1**2 + REPAIR_S**2
        mean = s + q / p * trial1
        return mean, mean**2 + q / p * trial_var + q / p**2 * trial1**2

    def moment(k: int) -> float:
        return float(quad(lambda s: mu * np.exp(-mu * s) * given(s)[k], 1e-9, 60 * SERVICE_S, limit=500)[0])

    return moment(0), moment(1)


def test_the_first_moment_has_a_closed_form() -> None:
    """E[C] = (1 / xi + d) (E[exp(xi S)] - 1) = (1 + xi d) / (mu - xi)."""
    assert completion_moments()[0] == pytest.approx((1 + REPAIR_S / UP_S) / (1 / SERVICE_S - 1 / UP_S), rel=1e-6)


def simulated(rate: float, requests: int, seed: int, places: int, replays: int) -> np.ndarray:
    """Outcomes of geometric answers, one second a token, on one replica with so many places in its batch."""
    draws = np.random.default_rng(seed)
    sent = np.zeros(requests, REQUEST)
    sent["id"], sent["input_tokens"] = np.arange(requests), 1
    sent["arrival_s"] = np.cumsum(draws.exponential(1 / rate, requests))
    outputs = draws.geometric(1 / SERVICE_S, requests)
    cost = replace(tables(places), max_context=2**40)
    fleet = Fleet([replace(pool_cost(cost), blocks=2**20)], [(sent, outputs)], ROUTERS["least_outstanding"].compiled)
    seller = replace(source(), provision_s=(0.0, None))
    pool = replace(
        terms(cost), phases=AT_ONCE, sources=[seller], places=Places(Placement(places=1), 1), replays=replays
    )
    house = Datacenter(fleet, [pool])
    house.pools[0].open(ready=True)
    breaks = Fault(what="chip", mtbf_hours=UP_S / 3600, repair=Repair(mean_s=REPAIR_S))
    faults.break_at_random(house.env, house.pools[0], breaks, 0, seed, 1)
    house.run(1.0, 1e9)
    return fleet.outcomes()


def simulated_wait(rate: float, requests: int, seed: int) -> float:
    """Mean E2E on one place, everybody served [s]."""
    rows = simulated(rate, requests, seed, 1, 10_000)
    assert (rows["status"] == FINISHED).all()
    return float((rows["finish_s"] - rows["arrival_s"]).mean())


def with_catastrophes(rate: float, places: int, most: int) -> tuple[float, float]:
    """Mean number there and share of customers that are lost, of the chain (up or down, number) cut at `most`."""
    states = most + 1  # up: 0 .. most, then down
    flow = np.zeros((2 * states, 2 * states))
    for n in range(states):
        up, down = n, states + n
        if n < most:
            flow[up, up + 1] = flow[down, down + 1] = rate
        if n:
            flow[up, up - 1] = min(n, places) / SERVICE_S
        flow[up, states] += 1 / UP_S
        flow[down, up] += 1 / REPAIR_S
    balance = flow.T - np.diag(flow.sum(axis=1))
    balance[-1] = 1.0
    share = np.linalg.solve(balance, np.append(np.zeros(2 * states - 1), 1.0))
    number = np.tile(np.arange(states), 2)
    return float(share @ number), float(share[:states] @ number[:states] / UP_S / rate)


def test_many_servers_with_breakdowns_that_lose_everybody() -> None:
    """Four places at a load of 0.7, within four standard errors of eight runs."""
    rate = 0.7 * 4 / SERVICE_S
    number, lost = with_catastrophes(rate, 4, 150)
    runs = [simulated(rate, 6000, seed, 4, 0) for seed in range(8)]
    for expected, found in (
        (number / rate, [float((rows["finish_s"] - rows["arrival_s"]).mean()) for rows in runs]),
        (lost, [float((rows["status"] == LOST).mean()) for rows in runs]),
    ):
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        assert error < 0.06 * expected
        assert np.mean(found) == pytest.approx(expected, abs=4 * error)
    assert lost > 0.1  # the breakdowns matter


def test_sojourn_with_breakdowns() -> None:
    """At a load of 0.5 by completion times, within four standard errors of eight runs."""
    first, second = completion_moments()
    rate = 0.5 / first
    xi = 1 / UP_S
    expected = rate * second / (2 * (1 - rate * first)) + xi * 2 * REPAIR_S**2 / (2 * (1 + xi * REPAIR_S)) + first
    found = [simulated_wait(rate, 6000, seed) for seed in range(8)]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert error < 0.06 * expected
    assert np.mean(found) == pytest.approx(expected, abs=4 * error)
    without = rate * SERVICE_S**2 / (1 - rate * SERVICE_S) + SERVICE_S
    assert np.mean(found) > without + 8 * error  # the breakdowns matter
