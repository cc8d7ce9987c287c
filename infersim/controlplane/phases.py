"""What happens at a given time: outages, power caps, rolling upgrades, each a story.

Not here: what breaks at random (`faults.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import simpy

from infersim.controlplane.faults import reopen, shut
from infersim.controlplane.market import Story
from infersim.controlplane.pool import Pool
from infersim.controlplane.replica import Replica
from infersim.spec.phases import Outage, PowerCap, RollingUpgrade


@dataclass(frozen=True)
class Period:
    """What was going on, and when."""

    kind: str
    begin_s: float
    end_s: float


def outage(env: simpy.Environment, pools: list[Pool], phase: Outage, note: Callable[[Period], None]) -> Story:
    """All that stands in the region, the zone or the pools is lost, and nothing can be put there for a while."""
    yield env.timeout(phase.at_s)
    name = f"outage of {phase.region or phase.zone or ', '.join(pool.name for pool in pools)}"
    down = [(pool, _zones(pool, phase.zone)) for pool in pools]
    for pool, zones in down:
        pool.note("outage", f"{name} for {phase.for_s:g} s")
        shut(pool, zones, name)
    yield env.timeout(phase.for_s)
    for pool, zones in down:
        pool.note("outage", f"{name} is over")
        reopen(pool, zones)
    note(Period(name, phase.at_s, env.now))


def _zones(pool: Pool, name: str | None) -> list[int]:
    return [zone for zone, known in enumerate(pool.terms.places.placement.zones) if name in (None, known)]


def power_cap(env: simpy.Environment, pools: list[Pool], phase: PowerCap, note: Callable[[Period], None]) -> Story:
    """Chips may draw a share of their power limit, and run as much slower as that takes."""
    yield env.timeout(phase.at_s)
    for pool in pools:
        speed = capped_speed(pool, phase.share)
        pool.throttle(speed, "power cap")
        pool.note("power_cap", f"{phase.share:.0%} of the power limit for {phase.for_s:g} s: {speed:.1%} of the rate")
    yield env.timeout(phase.for_s)
    for pool in pools:
        pool.throttle(1.0, "power cap is over")
        pool.note("power_cap", "is over")
    note(Period(f"power cap of {phase.share:.0%}", phase.at_s, env.now))


def capped_speed(pool: Pool, share: float) -> float:
    """Rate of a replica whose chips may draw `share` of their power limit, over that of one without a cap.

    Voltage follows the clock, so power above idle goes with its cube: ((share x limit - idle) / (limit - idle))^(1/3). A
    fifth less power costs 9 % of the rate of an H100 this way; POLCA (ASPLOS 2024) saw less than 7 % in LLM inference.
    Zero power above idle would never end: ValueError.
    """
    tables = pool.tables
    left = (share * tables.tdp_w - tables.idle_w) / (tables.tdp_w - tables.idle_w)
    if left <= 0:
        raise ValueError(f"{share:.0%} of {tables.tdp_w:g} W is not above the {tables.idle_w:g} W that it draws idle")
    return left ** (1 / 3)


def rolling_upgrade(env: simpy.Environment, pool: Pool, phase: RollingUpgrade, note: Callable[[Period], None]) -> Story:
    """Replace every replica that serves now, at most `surge` too many and `unavailable` too few at a time.

    A new one is asked for while there may be one more, an old one, the one with the fewest requests first, is retired
    while one fewer may serve.
    """
    yield env.timeout(phase.at_s)
    old = list(pool.serving)
    wanted, opened = len(old), 0
    pool.note("upgrade", f"of {wanted} replicas begins")
    while True:
        while len(pool.serving) > wanted - phase.unavailable and (replica := _next(pool, old)) is not None:
            pool.retire(replica, why="upgrade")
        while opened < wanted and len(pool.serving) + len(pool.starting) < wanted + phase.surge:
            pool.open()
            opened += 1
        if all(replica.leaving for replica in old):
            break
        yield pool.changed()
    for replica in old:
        if not replica.gone.processed:
            yield replica.gone
    pool.note("upgrade", "is over")
    note(Period(f"rolling upgrade of {pool.name}", phase.at_s, env.now))


def _next(pool: Pool, old: list[Replica]) -> Replica | None:
    staying = [replica for replica in old if replica in pool.serving]
    return min(staying, key=lambda replica: (pool.outstanding(replica), replica.serial), default=None)
