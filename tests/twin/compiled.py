"""The compiled loop on a case: the same door that the control plane uses.

Not here: what the results must be (`test_twin.py`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane import abi
from infersim.dataplane.fleet import Fleet, Occupancy, Why
from infersim.dataplane.rules import ServiceRules
from infersim.dataplane.tally import Tally
from infersim.policies.routing import ROUTERS
from tests.twin.case import REPLAYS, SLOWDOWN, Case, Source, weather_of
from tests.twin.own import own_order, own_shape


@dataclass
class LoopRun:
    """What came of a case in the compiled loop."""

    outcomes: NDArray[np.void]
    """OUTCOME records by id."""
    tallies: list[Tally]
    """By pool."""
    drained: dict[int, float]
    """When each replica that was not empty when told to drain was empty, by serial number [s]."""
    looks: list[tuple[Occupancy, Tally]]
    """What could be read of the pool at each look."""
    fleet: Fleet


def chunks(case: Case, size: int) -> Iterator[tuple[NDArray, ...]]:
    """The requests, their output tokens and, where they have any, names of prefix blocks and sequels, in pieces."""
    for start in range(0, len(case.requests), size):
        piece = slice(start, start + size)
        requests, names = with_names(case.requests[piece], case.names)
        if case.sequels is not None:
            yield requests, case.outputs[piece], names, case.sequels[piece]
        elif len(names):
            yield requests, case.outputs[piece], names
        else:
            yield requests, case.outputs[piece]


def source_chunks(case: Case, source: Source, size: int) -> Iterator[tuple[NDArray, ...]]:
    """What the users of a source send, in pieces."""
    for start in range(0, len(source.requests), size):
        piece = slice(start, start + size)
        requests, names = with_names(source.requests[piece], case.names)
        yield requests, source.outputs[piece], source.gaps[piece], *([names] if len(names) else [])


def with_names(requests: NDArray, names: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int64]]:
    """Some of a case's requests with the names of their prefix blocks alone."""
    requests = requests.copy()
    own = [names[first:][:count] for first, count in requests[["prefix_start", "prefix_blocks"]].tolist()]
    requests["prefix_start"] = np.cumsum(requests["prefix_blocks"]) - requests["prefix_blocks"]
    return requests, np.concatenate(own)


def new_fleet(case: Case, chunk: int = 1 << 16) -> Fleet:
    """A fleet without replicas that will be sent the case's requests."""
    router = ROUTERS[case.router]
    signals = {"by_load": router.by_load, "reads": router.reads, "scrape_s": case.scrape_s}
    if any(pool.queue_order == "own" for pool in case.pools):
        signals["order"] = abi.compiled_policy(own_order, abi.ORDER)
    if any(pool.batching == "own" for pool in case.pools):
        signals["shape"] = abi.compiled_policy(own_shape, abi.SHAPE)
    sources = [source_chunks(case, source, chunk) for source in case.sources]
    return Fleet(case.pools, chunks(case, chunk), router.compiled, rules=rules_of(case), sources=sources, **signals)


def rules_of(case: Case) -> ServiceRules | None:
    """What the case's clients put up with; None if they are all patient, come once and send nothing else."""
    rules = ServiceRules(tuple(case.clients), case.max_wait_s, case.max_queued, case.last_arrival_s)
    return rules if rules.watch or case.sequels is not None else None


def set_weather(fleet: Fleet, case: Case, number: int) -> None:
    """Tell routers what the regions of the pools are like from now on."""
    for pool in range(len(case.pools)):
        grams_per_kwh, sun = weather_of(pool, number)
        fleet.signal(pool, grams_per_kwh=grams_per_kwh, sun=sun)


def simulate(case: Case, chunk: int = 1 << 16, stops: Iterable[float] = ()) -> LoopRun:
    """Run a case to its end; the stops are where `advance` is interrupted for nothing."""
    fleet = new_fleet(case, chunk)
    set_weather(fleet, case, 0)
    index = {serial: fleet.open(pool) for serial, pool in enumerate(case.initial)}
    drained: dict[int, float] = {}
    looks = []

    def serve(until: float) -> None:
        while (wake := fleet.advance(until)).why not in (Why.ON_TIME, Why.FINISHED):
            if wake.why == Why.DRAINED:
                serial = next(serial for serial, replica in index.items() if replica == wake.replica)
                drained[serial] = wake.time
                fleet.close(index.pop(serial))

    opened = len(case.initial)
    agenda = [(stop, "stop", 0) for stop in stops] + case.actions
    for time, verb, what in sorted(agenda, key=lambda action: action[0]):
        serve(time)
        if verb == "open":
            index[opened] = fleet.open(what)
            opened += 1
        elif (verb == "drain" and fleet.drain(index[what])) or (
            verb == "migrate" and fleet.drain(index[what], migrate=True)
        ):
            fleet.close(index.pop(what))
        elif verb in REPLAYS:
            fleet.fail(index.pop(what), REPLAYS[verb])
        elif verb == "slow":
            fleet.slow(index[what], SLOWDOWN)
        elif verb == "look":
            looks.append(fleet.observe(what))
        elif verb == "weather":
            set_weather(fleet, case, what)
    serve(math.inf)
    return LoopRun(fleet.outcomes(), [fleet.tally(pool) for pool in range(len(case.pools))], drained, looks, fleet)
