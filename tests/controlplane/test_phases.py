"""Outages, power caps and rolling upgrades, by the second: a machine is ready 10 s after it was asked for."""

import pytest

from infersim.controlplane import phases
from infersim.controlplane.datacenter import Datacenter
from infersim.controlplane.places import Places
from infersim.spec.phases import Outage, PowerCap, RollingUpgrade
from infersim.spec.topology import Placement
from tests.controlplane.house import IDLE_W, datacenter, events, life


def log(house: Datacenter, *kinds: str) -> list[tuple[float, str, int]]:
    return [event for event in events(house) if event[1] in kinds]


def test_a_zone_is_out_and_the_other_takes_over() -> None:
    """Two zones, a replica in each; zone b is lost at 20, its replacement stands in zone a."""
    house = datacenter(places=Places(Placement(zones=["a", "b"]), 1))
    pool = house.pools[0]
    pool.open(ready=True), pool.open(ready=True)
    house.env.process(
        phases.outage(house.env, [pool], Outage(kind="outage", at_s=20, for_s=100, zone="b"), house.periods.append)
    )
    house.run(200, 100)
    assert log(house, "failed", "ready")[2:] == [(20, "failed", 1), (30, "ready", 2)]
    assert [replica.place % 2 for replica in pool.serving] == [0, 0]
    assert house.periods == [phases.Period("outage of b", 20, 120)]


def test_when_everything_is_out_replicas_come_after_the_end() -> None:
    """Out from 20 to 120, the request of 50 waits until 130."""
    house = datacenter((50.0, 2))
    pool = house.pools[0]
    pool.open(ready=True)
    house.env.process(phases.outage(house.env, [pool], Outage(kind="outage", at_s=20, for_s=100), house.periods.append))
    house.run(200, 100)
    assert life(house, 1)["ready"] == 130
    assert house.env.fleet.outcomes()["finish_s"].tolist() == [132]


def test_a_power_cap_slows_by_the_cube_root_and_ends() -> None:
    """The made-up replica draws 100 W idle; a cap at which an eighth of its dynamic power is left halves its rate.

    From 3 to 7: tokens at 1, 2, 3, 5, 7, 8.
    """
    house = datacenter((0.0, 6))
    pool = house.pools[0]
    pool.open(ready=True)
    limit = pool.tables.tdp_w
    share = (IDLE_W + (limit - IDLE_W) / 8) / limit
    assert phases.capped_speed(pool, share) == pytest.approx(0.5)
    cap = PowerCap(kind="power_cap", at_s=3, for_s=4, share=share)
    house.env.process(phases.power_cap(house.env, [pool], cap, house.periods.append))
    house.run(20, 100)
    assert house.env.fleet.outcomes()["finish_s"][0] == pytest.approx(8)
    with pytest.raises(ValueError, match="not above the 100 W that it draws idle"):
        phases.capped_speed(pool, 0.1)


def upgrade(house: Datacenter, replicas: int, **how: int) -> None:
    pool = house.pools[0]
    for _ in range(replicas):
        pool.open(ready=True)
    asked = RollingUpgrade(kind="rolling_upgrade", at_s=20, **how)  # type: ignore[arg-type]
    house.env.process(phases.rolling_upgrade(house.env, pool, asked, house.periods.append))


def test_a_rolling_upgrade_with_one_more() -> None:
    """Three idle replicas, one more at a time: new ones ready at 30, 40, 50, each letting an old one go."""
    house = datacenter()
    upgrade(house, 3, surge=1)
    house.run(100, 100)
    assert [time_s for time_s, kind, _ in log(house, "ready")[3:]] == [30, 40, 50]
    assert log(house, "closed") == [(30, "closed", 0), (40, "closed", 1), (50, "closed", 2)]
    assert house.periods == [phases.Period("rolling upgrade of pool0", 20, 50)]


def test_a_rolling_upgrade_with_one_fewer() -> None:
    """Three replicas, one may be missing, none more: an old one goes at 20, 30, 40; the last new one is ready at 50."""
    house = datacenter()
    upgrade(house, 3, surge=0, unavailable=1)
    house.run(100, 100)
    assert [time_s for time_s, *_ in log(house, "closed")] == [20, 30, 40]
    assert [time_s for time_s, *_ in log(house, "ready")[3:]] == [30, 40, 50]


def test_an_upgrade_waits_for_what_old_replicas_hold() -> None:
    """One replica with a request from 0 to 60: retired at 30 when the new one is ready, gone at 60."""
    house = datacenter((0.0, 60))
    upgrade(house, 1)
    house.run(100, 100)
    assert log(house, "draining", "closed") == [(30, "draining", 0), (60, "closed", 0)]
    assert house.periods == [phases.Period("rolling upgrade of pool0", 20, 60)]
