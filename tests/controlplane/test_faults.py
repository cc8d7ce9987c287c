"""What breaks: places and what carries them, faults at given moments, repair, slow replicas, retries; by the second.

A machine is found in 5 s and ready 5 s after; every step takes one second.
"""

from collections.abc import Callable

import numpy as np
import pytest

from infersim.controlplane import faults
from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.places import Places
from infersim.dataplane.records import FINISHED
from infersim.spec.faults import Fault, Repair
from infersim.spec.topology import Placement
from infersim.workload.faults import Recorded
from tests.controlplane.house import at, datacenter, events, life


def log(house: Datacenter, *kinds: str) -> list[tuple[float, str, int]]:
    return [event for event in events(house) if event[1] in kinds]


def lost(house: Datacenter, place: int = 0) -> Callable[[], None]:
    return lambda: faults.hit(house.pools[0], [place], "node 0-0", None)


def test_a_failed_replica_is_replaced_and_its_request_begins_anew() -> None:
    """Fails at 5 in the fifth step; the next is ready at 15 and needs 10 steps."""
    house = datacenter((0.0, 10))
    house.pools[0].open(ready=True)
    at(house, (5.5, lost(house)))
    house.run(40, 100)
    assert log(house, "failed", "ready") == [(0, "ready", 0), (5.5, "failed", 0), (15.5, "ready", 1)]
    (outcome,) = house.env.fleet.outcomes()
    assert (outcome["status"], outcome["finish_s"], outcome["replica"]) == (FINISHED, 25.5, 1)
    lease = house.leases()[0]
    assert (lease["closed_s"], lease["busy_s"], lease["requests"]) == (5.5, 5.5, 0)


def test_failure_while_it_drains() -> None:
    """Told to go at 3, fails at 6: no other is asked for; the request goes to the replica that is left."""
    house = datacenter((0.0, 10))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (1, lambda: pool.open(ready=True)), (3, lambda: pool.retire(pool.serving[0])), (6, lost(house)))
    house.run(40, 100)
    assert log(house, "draining", "failed", "requested") == [
        (0, "requested", 0), (1, "requested", 1), (3, "draining", 0), (6, "failed", 0),
    ]  # fmt: skip
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [16]


def test_all_replicas_are_lost_at_once() -> None:
    """Two replicas with a request each, lost at 4; both begin anew when replicas come at 14."""
    house = datacenter((0.0, 8), (0.0, 8))
    pool = house.pools[0]
    pool.open(ready=True), pool.open(ready=True)
    at(house, (4, lambda: faults.shut(pool, [0], "outage")), (4, lambda: faults.reopen(pool, [0])))
    house.run(40, 100)
    rows = house.env.fleet.outcomes()
    assert rows["finish_s"].tolist() == [22, 22]
    assert rows["held_s"].tolist() == [10, 10]


def test_a_broken_place_is_not_used_before_it_is_mended() -> None:
    """One place, broken from 5 to 30: the replacement is found 5 s after the repair."""
    house = datacenter(places=Places(Placement(places=1), 1))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (5, lost(house)), (30, lambda: faults.mend(pool, [0], "node 0-0", None)))
    house.run(60, 100)
    assert life(house, 1)["ready"] == 40
    assert [detail for _, kind, _, _, detail in house.log if kind == "refused"] == ["on_demand: no sound place"]


def test_a_replica_on_its_way_is_lost_with_its_place() -> None:
    """Found at 5, its place breaks at 6: 1 s was billed; the next stands elsewhere."""
    house = datacenter()
    at(house, (0, house.pools[0].open), (6, lost(house)))
    house.run(60, 100)
    assert (life(house, 0)["billed_from"], life(house, 0)["closed"], life(house, 1)["ready"]) == (5, 6, 16)


def test_a_slow_chip_and_its_repair() -> None:
    """Half the rate from 3 on: the step that runs ends at 3, then 2 s each; sound again at 7.

    Tokens at 1, 2, 3, 5, 7, 8, 9, 10. A replica that becomes ready on the place meanwhile is as slow.
    """
    house = datacenter((0.0, 8))
    pool = house.pools[0]
    pool.open(ready=True)
    at(house, (3, lambda: faults.hit(pool, [0], "chip 0-0", 0.5)), (7, lambda: faults.mend(pool, [0], "chip 0-0", 0.5)))
    house.run(40, 100)
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [10]
    assert [detail for _, kind, _, _, detail in house.log if kind == "paced"] == [
        "50.0% of its rate: chip 0-0", "100.0% of its rate: chip 0-0 is mended",
    ]  # fmt: skip


def test_places_in_zones_racks_and_nodes() -> None:
    """Replicas of four chips, two to a node of eight, two nodes to a rack, over two zones in turn."""
    places = Places(Placement(zones=["a", "b"], chips_per_node=8, nodes_per_rack=2), 4)
    assert [places.zone(place) for place in range(4)] == [0, 1, 0, 1]
    assert [places.nodes(place) for place in range(6)] == [[(0, 0)], [(1, 0)], [(0, 0)], [(1, 0)], [(0, 1)], [(1, 1)]]
    assert [places.rack(place) for place in (0, 2, 4, 6, 8)] == [(0, 0), (0, 0), (0, 0), (0, 0), (0, 1)]
    wide = Places(Placement(chips_per_node=8), 16)
    assert wide.nodes(1) == [(0, 2), (0, 3)]


def test_random_faults_come_as_often_as_they_should() -> None:
    """20 single-chip replicas, each breaking every 100 s and out for 10 s: the mean share out is 1/11."""
    house = datacenter(places=Places(Placement(places=20), 1))
    pool = house.pools[0]
    for _ in range(20):
        pool.open(ready=True)
    fault = Fault(what="chip", mtbf_hours=100 / 3600, repair=Repair(mean_s=10))
    faults.break_at_random(house.env, pool, fault, 0, 1, 20)
    out: list[int] = []

    def look():
        while True:
            yield house.env.timeout(1.0)
            out.append(sum(count > 0 for count in pool.terms.places.broken.values()))

    house.env.process(look())
    house.run(5000, 1000)
    assert np.mean(out) == pytest.approx(20 / 11, rel=0.1)
    failures = len(log(house, "failed"))
    assert failures <= 20 * 5000 / 110 * 1.15


def test_luck_does_not_depend_on_how_many_replicas_there_are() -> None:
    """The faults of the first two places come at the same times beside others."""

    def times(replicas: int) -> list[float]:
        house = datacenter(places=Places(Placement(places=8), 1))
        for _ in range(replicas):
            house.pools[0].open(ready=True)
        fault = Fault(what="chip", mtbf_hours=0.1, repair=Repair(mean_s=1))
        faults.break_at_random(house.env, house.pools[0], fault, 0, 1, replicas)
        house.run(2000, 1000)
        return [time_s for time_s, kind, _, _, why in house.log if kind == "failed" and why in ("chip 0-0", "chip 1-0")]

    few = times(2)
    assert len(few) > 3
    assert set(few) <= set(times(8))


def test_recorded_faults_hit_the_nodes_of_a_pool() -> None:
    """Nodes 3 and 4 of the recording are the pool's; 5 is nobody's."""
    house = datacenter(places=Places(Placement(chips_per_node=1), 1))
    pool = house.pools[0]
    pool.open(ready=True), pool.open(ready=True)
    recording = [Recorded(4, 6.0, 20.0, "GPU: lost"), Recorded(5, 7.0, 9.0, "Fan: stopped")]
    assert faults.replay(house.env, pool, recording, 3, 2) == 2
    house.run(60, 100)
    assert [(time_s, why) for time_s, kind, _, _, why in house.log if kind == "failed"] == [(6, "GPU: lost")]
