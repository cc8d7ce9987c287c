"""Spot machines that are taken back: notice, replacement, what is finished and what is lost, by the second.

A machine is found in 5 s and ready 5 s after; every step takes one second.
"""

import numpy as np
import pytest

from infersim.controlplane.datacenter import Datacenter
from infersim.dataplane.records import FINISHED, LOST
from infersim.spec.purchase import Spot
from tests.controlplane.house import at, datacenter, events, life, source, steps


def spot(*capacity: tuple[float, float], notice_s: float = 4.0) -> list:
    return [source(capacity=steps(*capacity), tier="spot", spot=Spot(notice_s=notice_s)), source(1)]


def log(house: Datacenter, *kinds: str) -> list[tuple[float, str, int]]:
    return [event for event in events(house) if event[1] in kinds]


def test_notice_replacement_and_the_end() -> None:
    """The machine goes at 20: notice at 16, another asked for at once (on demand, found at 21, ready at 26).

    The request of 10 (8 tokens) is finished at 18, before the end; the one of 17 waits for the new replica.
    """
    house = datacenter((10.0, 8), (17.0, 2), sources=spot((0, 1), (20, 0)))
    house.pools[0].open(ready=True)
    house.run(40, 100)
    assert log(house, "reclaimed", "draining", "closed", "failed") == [
        (16, "reclaimed", 0), (16, "draining", 0), (18, "closed", 0),
    ]  # fmt: skip
    assert (life(house, 1)["requested"], life(house, 1)["ready"]) == (16, 26)
    assert house.leases()["source"].tolist() == [0, 1]
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [18, 28]


@pytest.mark.parametrize(("replays", "ending"), [(1, FINISHED), (0, LOST)])
def test_what_is_not_finished_in_time_begins_anew_once_or_is_lost(replays: int, ending: int) -> None:
    """20 tokens from 10 on; lost at 20. The new replica is ready at 26 and needs 20 steps again."""
    house = datacenter((10.0, 20), sources=spot((0, 1), (20, 0)), replays=replays)
    house.pools[0].open(ready=True)
    house.run(60, 100)
    assert log(house, "reclaimed", "failed") == [(16, "reclaimed", 0), (20, "failed", 0)]
    (outcome,) = house.env.fleet.outcomes()
    assert (outcome["status"], outcome["finish_s"]) == (ending, 46 if replays else 20)
    assert (life(house, 0)["draining"], life(house, 0)["closed"]) == (16, 20)
    assert house.leases()[0]["busy_s"] == 10


def test_reclaimed_while_it_loads() -> None:
    """Asked for at 2, found at 7, reclaimed at 8: it goes at once, 1 s is billed; the next is found at 13, on demand."""
    house = datacenter(sources=spot((0, 1), (12, 0)))
    at(house, (2, house.pools[0].open))
    house.run(40, 100)
    assert log(house, "provisioned", "reclaimed", "ready", "closed") == [
        (7, "provisioned", 0), (8, "reclaimed", 0), (8, "closed", 0), (13, "provisioned", 1), (18, "ready", 1),
    ]  # fmt: skip


def test_reclaimed_before_it_was_found_is_not_billed() -> None:
    house = datacenter(sources=spot((0, 1), (8, 0)))
    at(house, (2, house.pools[0].open))
    house.run(40, 100)
    assert log(house, "reclaimed", "provisioned") == [(4, "reclaimed", 0), (9, "provisioned", 1)]
    assert life(house, 0)["billed_from"] == life(house, 0)["closed"] == 4


def test_capacity_that_comes_back_is_used_again() -> None:
    """None from 16 (notice for 20) to 30: the replica asked for at 25 waits, without a fallback, until 30."""
    house = datacenter(sources=spot((0, 1), (20, 0), (30, 5))[:1])
    house.pools[0].open(ready=True)
    house.run(60, 100)
    assert log(house, "refused", "provisioned") == [(16, "refused", 1), (35, "provisioned", 1)]


def test_all_replicas_are_taken_at_once() -> None:
    """Three go at 20, idle: closed at 16; three come, found at 21."""
    house = datacenter(sources=spot((0, 3), (20, 0)))
    for _ in range(3):
        house.pools[0].open(ready=True)
    house.run(40, 100)
    assert sorted(log(house, "closed")) == [(16, "closed", serial) for serial in (0, 1, 2)]
    assert [time_s for time_s, *_ in log(house, "ready")] == [0, 0, 0, 26, 26, 26]
    assert len(house.pools[0].serving) == 3


def test_hazard_takes_as_many_as_it_says() -> None:
    """36 an hour: a machine lives 100 s on average; 20 replicas over 2,000 s are taken back about 400 times."""
    choice = source(tier="spot", spot=Spot(notice_s=0, reclaims_per_hour=36))
    house = datacenter(sources=[choice])
    for _ in range(20):
        house.pools[0].open(ready=True)
    house.run(2000, 500)
    taken = len(log(house, "reclaimed"))
    had = sum(lease["closed_s"] - lease["billed_from_s"] for lease in house.leases())
    assert taken == pytest.approx(had / 100, abs=3 * np.sqrt(had / 100))
