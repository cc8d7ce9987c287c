"""Regions by hand: round trips in the latency, who is sent where, spill-over, what pools take; steps of one second."""

from dataclasses import replace

import numpy as np
import pytest

from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.signals import follow, follow_sun
from infersim.dataplane.fleet import Fleet
from infersim.dataplane.records import REQUEST
from infersim.policies.routing import ROUTERS
from infersim.simulate import pool_cost
from tests.controlplane.house import at, steps, tables, terms


def world(
    router: str, requests: list[tuple[float, int]], network_s: list[tuple[float, ...]], seats: int = 1, **of: list
) -> Datacenter:
    """A ready replica in each pool, with round trips by class; requests are (arrival [s], class), two tokens each."""
    sent = np.zeros(len(requests), REQUEST)
    sent["id"] = np.arange(len(requests))
    sent["arrival_s"], sent["tenant"] = np.array(requests).T
    sent["input_tokens"] = of.pop("prompts", 1)
    costs = [
        replace(pool_cost(tables(seats)), network_s=trips, **{name: values[k] for name, values in of.items()})
        for k, trips in enumerate(network_s)
    ]
    chosen = ROUTERS[router]
    fleet = Fleet(
        costs, [(sent, np.full(len(requests), 2))], chosen.compiled, reads=chosen.reads, by_load=chosen.by_load
    )
    house = Datacenter(fleet, [replace(terms(tables(seats)), name=f"pool{k}") for k in range(len(costs))])
    for pool in house.pools:
        pool.open(ready=True)
    return house


def served(house: Datacenter) -> list[int]:
    house.run(100, 100)
    return house.env.fleet.outcomes()["pool"].tolist()


def test_the_round_trip_is_in_the_latency() -> None:
    """Class 1 lies 0.25 s away: first token 1.25 s after it was sent."""
    house = world("nearest", [(0.0, 0), (10.0, 1)], [(0.0, 0.25)])
    house.run(100, 100)
    rows = house.env.fleet.outcomes()
    assert rows["first_token_s"].tolist() == [1, 11.25]
    assert rows["handling_s"].tolist() == [0, 0.25]
    assert rows["finish_s"].tolist() == [2, 12.25]


def test_nearest_and_spill_over() -> None:
    """Each to its own region; a third request of region 0 finds its only seat taken and goes to the other."""
    near_and_far = [(0.001, 0.1), (0.1, 0.001)]
    assert served(world("nearest", [(0.0, 0), (5.0, 1)], near_and_far)) == [0, 1]
    assert served(world("nearest", [(0.0, 0), (0.5, 0), (0.6, 0)], near_and_far))[:2] == [0, 1]
    assert served(world("nearest", [(0.0, 0), (0.5, 0)], near_and_far, seats=2)) == [0, 0]


def test_greenest_follows_the_intensity() -> None:
    """Pool 0 emits 300 until 20 s and 50 after, pool 1 always 100."""
    house = world("greenest", [(10.0, 0), (30.0, 0)], [(0.0,), (0.0,)])
    house.env.process(follow(house.env, house.pools[0], "grams_per_kwh", steps((0, 300), (20, 50))))
    house.env.process(follow(house.env, house.pools[1], "grams_per_kwh", steps((0, 100))))
    assert served(house) == [1, 0]


def test_cheapest_follows_the_price() -> None:
    house = world("cheapest_first", [(10.0, 0), (30.0, 0)], [(0.0,), (0.0,)])
    house.env.process(follow(house.env, house.pools[0], "usd_per_hour", steps((0, 1), (20, 9))))
    house.env.process(follow(house.env, house.pools[1], "usd_per_hour", steps((0, 4))))
    assert served(house) == [0, 1]


def test_a_replica_that_comes_later_has_the_signals_of_its_pool() -> None:
    house = world("greenest", [(40.0, 0)], [(0.0,), (0.0,)])
    house.env.fleet.signal(0, grams_per_kwh=10.0)
    house.env.fleet.signal(1, grams_per_kwh=90.0)
    at(house, (1, house.pools[0].drain), (2, house.pools[0].open))
    assert served(house) == [0]
    with pytest.raises(ValueError, match="routers know no moon; known: usd_per_hour, grams_per_kwh, sun"):
        house.env.fleet.signal(0, moon=1.0)


def test_the_sun() -> None:
    """Noon at 6 h in one region, at 18 h in the other."""
    house = world("follow_the_sun", [(6 * 3600.0, 0), (18 * 3600.0, 0)], [(0.0,), (0.0,)])
    house.env.process(follow_sun(house.env, house.pools[0], 6 * 3600.0))
    house.env.process(follow_sun(house.env, house.pools[1], 18 * 3600.0))
    assert served(house) == [0, 1]


@pytest.mark.parametrize("router", ["least_outstanding", "round_robin", "nearest"])
def test_pools_take_what_they_take(router: str) -> None:
    """Prompts of 1, 100 and 101 tokens, the first pool up to 100, the second from 101 on."""
    house = world(
        router, [(0.0, 0), (10.0, 0), (20.0, 0)], [(), ()], prompts=[1, 100, 101],
        max_input_tokens=[100, 2**62], min_input_tokens=[1, 101],
    )  # fmt: skip
    assert served(house) == [0, 0, 1]


def test_pools_take_classes() -> None:
    house = world("least_outstanding", [(0.0, 1), (10.0, 0)], [(), ()], takes=[(True, False), (False, True)])
    assert served(house) == [1, 0]


def test_what_nobody_takes_now_goes_to_whom_is_ready() -> None:
    house = world("least_outstanding", [(5.0, 1), (30.0, 1)], [(), ()], takes=[(True, False), (False, True)])
    at(house, (1, house.pools[1].drain), (10, house.pools[1].open))
    assert served(house) == [0, 1]
