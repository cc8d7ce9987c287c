"""When a run ends, and when it is given up."""

import pytest

from infersim.controlplane.datacenter import STANDSTILL_S, Standstill
from infersim.spec.scenario import Replicas
from tests.controlplane.house import COLD_START_S, datacenter, scale, scale_as


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


def test_standstill_says_what_waits_for_what() -> None:
    house = datacenter((1.0, 4), (2.0, 4), pools=2)
    with pytest.raises(Standstill, match=r"2 requests in flight \(2 without a replica\).*pool0: 0 ready") as caught:
        house.run(60, 3600)
    assert "Give a pool at least one replica, or an autoscaler" in str(caught.value)
    assert house.env.now <= 2 * STANDSTILL_S


def test_standstill_with_an_autoscaler_that_wants_nobody() -> None:
    house = datacenter((1.0, 4))
    scale_as(house, lambda view: 0, Replicas(initial=0, max=4))
    with pytest.raises(Standstill):
        house.run(60, 3600)


def test_patience_with_rare_requests() -> None:
    """One request every nine hours, each a minute before the watchdog looks, each waiting for a cold start."""
    arrivals = [STANDSTILL_S * k - 5 for k in (1, 3, 5)]
    house = datacenter(*((arrival, 4) for arrival in arrivals))
    scale(house, "target_concurrency", 1, Replicas(initial=0, max=1), interval_s=600, down_cooldown_s=0)
    house.run(STANDSTILL_S * 6, STANDSTILL_S)
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [arrival + COLD_START_S + 4 for arrival in arrivals]
