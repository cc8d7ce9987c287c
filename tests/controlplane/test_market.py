"""Where machines come from: quotas, stock-outs, fall-backs and patience, by the second. Finding one takes 5 s."""

import numpy as np
import pytest

from infersim.controlplane.datacenter import Datacenter
from infersim.spec.purchase import StockOuts
from tests.controlplane.house import at, datacenter, life, source, steps


def found(house: Datacenter) -> list[tuple[float, str]]:
    """When machines were found, and of which tier."""
    return [(time_s, detail.split(", ")[1]) for time_s, kind, _, _, detail in house.log if kind == "provisioned"]


def refused(house: Datacenter) -> list[tuple[float, int, str]]:
    return [(time_s, replica, detail) for time_s, kind, _, replica, detail in house.log if kind == "refused"]


def test_beyond_the_quota_a_replica_waits_until_one_is_given_back() -> None:
    house = datacenter(sources=[source(limit=1)])
    pool = house.pools[0]
    at(house, (1, pool.open), (2, pool.open), (30, lambda: pool.retire(pool.serving[0])))
    house.run(60, 100)
    assert found(house) == [(6, "on_demand"), (35, "on_demand")]
    assert refused(house) == [(2, 1, "on_demand: quota of 1")]
    assert life(house, 1)["billed_from"] == 35


def test_a_waiting_replica_that_is_cancelled_was_never_billed() -> None:
    house = datacenter(sources=[source(limit=1)])
    pool = house.pools[0]
    at(house, (1, pool.open), (2, pool.open), (20, pool.drain), (30, lambda: pool.retire(pool.serving[0])))
    house.run(60, 100)
    assert found(house) == [(6, "on_demand")]
    assert (life(house, 1)["billed_from"], life(house, 1)["closed"]) == (20, 20)


def test_a_stock_out_is_waited_for() -> None:
    """Nothing to be had from 10 to 40; machines that are held stay."""
    house = datacenter(sources=[source(capacity=steps((0, 9), (10, 0), (40, 9)))])
    pool = house.pools[0]
    at(house, (1, pool.open), (12, pool.open))
    house.run(60, 100)
    assert found(house) == [(6, "on_demand"), (45, "on_demand")]
    assert refused(house) == [(12, 1, "on_demand: stock-out")]
    assert len(pool.serving) == 2


def test_random_stock_outs_end() -> None:
    house = datacenter(sources=[source(stock_outs=StockOuts(mean_between_s=10, mean_s=10))])
    pool = house.pools[0]
    at(house, *[(float(k), pool.open) for k in range(1, 200, 2)])
    house.run(1000, 100)
    assert len(found(house)) == 100
    waits = np.array([time_s for time_s, _ in found(house)]) - 5 - np.arange(1, 200, 2)
    assert 0.2 < (waits > 0).mean() < 0.8  # out of stock half of the time


@pytest.mark.parametrize(("patience_s", "asked_on_demand_s"), [(0, 2), (7, 9)])
def test_the_fallback_is_asked_when_patience_is_over(patience_s: float, asked_on_demand_s: float) -> None:
    house = datacenter(sources=[source(tier="reserved", limit=1, patience_s=patience_s), source(1)])
    pool = house.pools[0]
    at(house, (1, pool.open), (2, pool.open))
    house.run(60, 100)
    assert found(house) == [(6, "reserved"), (asked_on_demand_s + 5, "on_demand")]
    assert house.leases()["source"].tolist() == [0, 1]


def test_the_first_source_is_taken_as_soon_as_it_has_one_again() -> None:
    """Patience until 22, but the reserved machine comes back at 15."""
    house = datacenter(sources=[source(tier="reserved", limit=1, patience_s=20), source(1)])
    pool = house.pools[0]
    at(house, (0, pool.open), (2, pool.open), (15, lambda: pool.retire(pool.serving[0])))
    house.run(60, 100)
    assert found(house) == [(5, "reserved"), (20, "reserved")]


def test_replicas_that_are_ready_at_the_start_fill_the_sources_in_order() -> None:
    house = datacenter(sources=[source(tier="reserved", limit=2), source(1)])
    for _ in range(3):
        house.pools[0].open(ready=True)
    house.run(10, 100)
    assert house.leases()["source"].tolist() == [0, 0, 1]
