"""When a run ends, and when it is given up."""

from dataclasses import replace

import numpy as np
import pytest

from infersim.controlplane.datacenter import STANDSTILL_S, Datacenter
from infersim.controlplane.standstill import Standstill
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import REQUEST
from infersim.dataplane.rules import ClientRules, ServiceRules
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from infersim.spec.pool import Replicas
from tests.controlplane.house import COLD_START_S, at, datacenter, scale, scale_as, source, steps, tables, terms


def test_the_horizon_when_all_has_ended_before() -> None:
    house = datacenter((1.0, 4))
    house.pools[0].open(ready=True)
    house.run(60, 7)
    assert house.env.now == 60
    assert house.samples()["time_s"].tolist() == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert house.env.finished.value.time == 5


def test_the_last_request_when_it_ends_after_the_horizon() -> None:
    house = datacenter((1.0, 4), (55.0, 40))
    house.pools[0].open(ready=True)
    house.run(60, 30)
    assert house.env.now == 95
    assert house.samples()["time_s"].tolist() == [0, 30, 60, 90, 95]


def test_nothing_arrives() -> None:
    house = datacenter()
    house.pools[0].open(ready=True)
    house.run(60, 30)
    assert house.env.now == 60
    assert house.env.finished.value.time == 0


def test_progress_is_told_up_to_the_horizon() -> None:
    told: list[tuple[float, float]] = []
    house = datacenter((55.0, 40))
    house.pools[0].open(ready=True)
    house.run(60, 20, lambda done, to_do: told.append((done, to_do)))
    assert told == [(0, 60), (20, 60), (40, 60), (60, 60), (60, 60)]


def given_up(house: Datacenter) -> str:
    """What is said when the run is given up, in time."""
    with pytest.raises(Standstill) as caught:
        house.run(60, 3600)
    assert house.env.now <= 2 * STANDSTILL_S
    return str(caught.value)


def test_standstill_says_what_waits_for_what() -> None:
    said = given_up(datacenter((1.0, 4), (2.0, 4), pools=2))
    assert "standstill at 43200 s: no step has run for 21600 s, and 2 requests are in flight" in said
    assert "request 0, has waited since 1 s for a replica that is ready" in said
    assert "Pool pool0 (no autoscaler): 0 ready, 0 draining, 0 starting" in said
    assert "Give pool pool0 or pool1 at least one replica (replicas.initial), or an autoscaler" in said


def test_standstill_with_an_autoscaler_that_wants_nobody() -> None:
    house = datacenter((1.0, 4))
    scale_as(house, lambda view: 0, Replicas(initial=0, max=4))
    assert "Autoscaler mine (pool pool0) asks for no replica: raise replicas.min to 1" in given_up(house)


def test_standstill_without_machines() -> None:
    house = datacenter((1.0, 4), sources=[source(capacity=steps((0.0, 0)))])
    house.pools[0].open()
    said = given_up(house)
    assert "0 ready, 0 draining, 1 starting (1 without a machine)" in said
    assert "No machine is found for pool pool0: give its price more capacity" in said


def test_standstill_with_a_replica_whose_memory_nobody_frees() -> None:
    """A prefill pool with blocks for one of three prompts, and a decode pool that never opens."""
    sent = np.zeros(3, REQUEST)
    sent["id"], sent["input_tokens"], sent["arrival_s"] = np.arange(3), 16, 1.0
    cost = replace(pool_cost(tables()), blocks=2)
    costs = [replace(cost, role="prefill", transfer_latency_s=0.5), replace(cost, role="decode")]
    fleet = Fleet(costs, [(sent, np.full(3, 9))], ROUTERS["least_outstanding"].compiled)
    house = Datacenter(fleet, [replace(terms(tables()), name=name) for name in ("prompts", "answers")])
    house.pools[0].open(ready=True)
    said = given_up(house)
    assert "request 0, has its prompt processed in pool prompts, and has waited since 2 s for a decode replica" in said
    assert "Pool prompts (no autoscaler): 1 ready" in said
    assert "Give pool answers at least one replica" in said


def test_clients_who_are_away_for_long_are_no_standstill() -> None:
    """They gave up in a queue at 2 s and come again after nine hours, when there is a replica."""
    sent = np.zeros(1, REQUEST)
    sent["input_tokens"] = 1
    again = ClientRules(timeout_s=2.0, max_attempts=2, backoff_s=1.5 * STANDSTILL_S)
    fleet = Fleet(
        [pool_cost(tables())], [(sent, np.full(1, 2))], ROUTERS["round_robin"].compiled, rules=ServiceRules((again,))
    )
    house = Datacenter(fleet, [replace(terms(tables()), name="pool")])
    at(house, (10.0, lambda: house.pools[0].open(ready=True)))
    house.run(60, 3600)
    assert fleet.outcomes()["finish_s"].tolist() == [2.0 + 1.5 * STANDSTILL_S + 2.0]


def test_patience_with_rare_requests() -> None:
    """One request every nine hours, each a minute before the watchdog looks, each waiting for a cold start."""
    arrivals = [STANDSTILL_S * k - 5 for k in (1, 3, 5)]
    house = datacenter(*((arrival, 4) for arrival in arrivals))
    scale(house, "target_concurrency", 1, Replicas(initial=0, max=1), interval_s=600, down_cooldown_s=0)
    house.run(STANDSTILL_S * 6, STANDSTILL_S)
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [arrival + COLD_START_S + 4 for arrival in arrivals]
