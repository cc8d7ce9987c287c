"""What breaks: chips, nodes, racks and zones under a pool's places, at random or as recorded, and their repair.

Each thing breaks and is mended by a clock of its own, whether a replica stands on it or not, drawn from a stream with its
name: how many replicas there are moves nobody's luck. Not here: outages at a given time (`phases.py`).
"""

import math

import numpy as np
import simpy

from infersim.controlplane.market import Story
from infersim.controlplane.pool import Pool
from infersim.controlplane.replica import Replica
from infersim.spec.faults import Fault, Repair
from infersim.workload.faults import Recorded
from infersim.workload.streams import stream


def under(pool: Pool, what: str, place: int) -> list[tuple[int, ...]]:
    """Numbers of the things of one kind that carry a place: its chips, nodes, rack or zone."""
    places = pool.terms.places
    if what == "chip":
        return [(place, chip) for chip in range(places.chips)]
    if what == "node":
        return [*places.nodes(place)]
    return [places.rack(place)] if what == "rack" else [(places.zone(place),)]


def break_at_random(
    env: simpy.Environment, pool: Pool, fault: Fault, number: int, seed: int, most: int, cell: str = ""
) -> None:
    """Let everything under the pool's first `most` places break now and then; `number` tells kinds of fault apart.

    A cell's chips, nodes and racks are its own; its zones are those of the other cells too, and go down with them.
    """
    carried: dict[tuple[int, ...], list[int]] = {}
    for place in range(most):
        for thing in under(pool, fault.what, place):
            carried.setdefault(thing, []).append(place)
    for thing, on_it in carried.items():
        name = f"{fault.what} {'-'.join(map(str, thing))}"
        draws = stream(seed, f"faults.{number}.{pool.name}.{name}{'' if fault.what == 'zone' else cell}")
        env.process(_break_and_mend(env, pool, fault, draws, name, on_it))


def _break_and_mend(
    env: simpy.Environment, pool: Pool, fault: Fault, draws: np.random.Generator, name: str, on_it: list[int]
) -> Story:
    """One thing: sound for a while, out of order for a while."""
    while True:
        yield env.timeout(draws.exponential(fault.mtbf_hours * 3600.0))
        if fault.what == "zone":
            zones = [pool.terms.places.zone(on_it[0])]
            shut(pool, zones, name)
            yield env.timeout(_repair_s(fault.repair, draws))
            reopen(pool, zones)
            continue
        hit(pool, on_it, name, fault.speed)
        yield env.timeout(_repair_s(fault.repair, draws))
        mend(pool, on_it, name, fault.speed)


def replay(
    env: simpy.Environment, pool: Pool, faults: list[Recorded], first: int, most: int, cell: tuple[int, int] = (0, 1)
) -> int:
    """Let the nodes under the pool's first `most` places break as recorded; return how many nodes these are.

    They are the recording's nodes from number `first` on; of several cells each has every so manieth.
    """
    own, cells = cell
    carried: dict[tuple[int, ...], list[int]] = {}
    for place in range(most):
        for node in under(pool, "node", place):
            carried.setdefault(node, []).append(place)
    places = {number * cells + own: on_it for number, on_it in enumerate(carried.values(), first)}
    for fault in faults:
        if fault.node in places:
            env.process(_happen(env, pool, fault, places[fault.node]))
    return len(carried)


def _happen(env: simpy.Environment, pool: Pool, fault: Recorded, on_it: list[int]) -> Story:
    """One recorded fault."""
    yield env.timeout(fault.begin_s)
    hit(pool, on_it, fault.what, None)
    if not math.isinf(fault.end_s):
        yield env.timeout(fault.end_s - env.now)
        mend(pool, on_it, fault.what, None)


def hit(pool: Pool, on_it: list[int], name: str, speed: float | None) -> None:
    """Slow the replicas on these places down, or lose them and put the places out of order."""
    places = pool.terms.places
    if speed is None:
        places.broken.update(on_it)
    else:
        for place in on_it:
            places.slow.setdefault(place, {})[name] = speed
    for replica in standing_on(pool, on_it):
        if speed is None:
            pool.lose(replica, name)
        else:
            pool.pace(replica, name)


def mend(pool: Pool, on_it: list[int], name: str, speed: float | None) -> None:
    """Undo `hit`."""
    places = pool.terms.places
    if speed is None:
        places.broken.subtract(on_it)
        pool.market.tell()
        return
    for place in on_it:
        del places.slow[place][name]
    for replica in standing_on(pool, on_it):
        pool.pace(replica, f"{name} is mended")


def shut(pool: Pool, zones: list[int], name: str) -> None:
    """Lose all replicas in these zones, and let nothing be put there."""
    pool.terms.places.shut.update(zones)
    for replica in alive(pool):
        if replica.place >= 0 and pool.terms.places.zone(replica.place) in zones:
            pool.lose(replica, name)


def reopen(pool: Pool, zones: list[int]) -> None:
    """Undo `shut`."""
    pool.terms.places.shut.subtract(zones)
    pool.market.tell()


def alive(pool: Pool) -> list[Replica]:
    """All replicas that are not gone, by serial."""
    return sorted((*pool.starting, *pool.serving, *pool.leaving, *pool.warm), key=lambda replica: replica.serial)


def standing_on(pool: Pool, places: list[int]) -> list[Replica]:
    """The replicas on these places, by serial."""
    return [replica for replica in alive(pool) if replica.place in places]


def _repair_s(repair: Repair, draws: np.random.Generator) -> float:
    if repair.mean_s is not None:
        return float(draws.exponential(repair.mean_s))
    assert repair.median_s is not None
    assert repair.p99_s is not None
    sigma = math.log(repair.p99_s / repair.median_s) / 2.3263478740408408
    return repair.median_s * math.exp(sigma * draws.standard_normal())
