"""What one run of the data plane is made of and what comes of it, for the twin and the compiled loop alike.

Not here: how it runs (`tests/naive.py`, and `compiled.py` for the loop), nor random cases (`cases.py`).
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.fleet import PoolCost
from infersim.dataplane.rules import ClientRules
from infersim.dataplane.tally import Tally

SLOWDOWN = 8.0
REPLAYS = {"fail": 1, "lose": 0}


def weather_of(pool: int, number: int) -> tuple[float, float]:
    """Grams of CO2 a kWh and the height of the sun over a pool in weather `number`, so that pools change places."""
    return float((pool + number) % 3), float((pool + 2 * number) % 2)


@dataclass(frozen=True)
class Source:
    """What users in a closed loop send, one after the other."""

    requests: NDArray[np.void]
    """REQUEST records; their ids follow on those of the case's own requests and of the sources before."""
    outputs: NDArray[np.int64]
    gaps: NDArray[np.float64]
    """How long users think before each [s]."""


@dataclass(frozen=True)
class Case:
    """Everything that one run is made of."""

    pools: list[PoolCost]
    requests: NDArray[np.void]
    """REQUEST records by arrival."""
    outputs: NDArray[np.int64]
    """Output tokens of each request."""
    router: str
    """round_robin, or one of those in `naive_routing.py`."""
    initial: list[int]
    """Pools of the replicas that are ready before anything happens."""
    actions: list[tuple[float, str, int]] = field(default_factory=list)
    """(time, verb, what) by time: "open" or "look" a pool; "drain", "migrate" or "slow" (to an eighth of its speed) a
    replica, by its serial number; "fail" one and hand its requests back once, or "lose" one with all its requests; another
    "weather" (`weather_of`) in the regions of all pools."""
    names: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Names of prefix blocks; each request says where its own begin and how many they are."""
    clients: list[ClientRules] = field(default_factory=lambda: [ClientRules()] * 4)
    """By class."""
    max_queued: int | None = None
    max_wait_s: float = math.inf
    sequels: NDArray[np.void] | None = None
    """SEQUEL records: what each request follows, and whose it is."""
    sources: list[Source] = field(default_factory=list)
    scrape_s: float = 0.0
    """How often the router looks at the replicas [s]; 0: it knows."""
    last_arrival_s: float = math.inf
    """From when on nobody sends what follows something else [s]."""

    def all_requests(self) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Those of the case and then those of its sources, with their output tokens."""
        rows = [self.requests, *(source.requests for source in self.sources)]
        outputs = [self.outputs, *(source.outputs for source in self.sources)]
        return np.concatenate(rows), np.concatenate(outputs)


@dataclass
class Run:
    """What came of a case."""

    outcomes: NDArray[np.void]
    """OUTCOME records by id."""
    tallies: list[Tally]
    """By pool."""
    tokens: list[list[tuple[float, int, int]]]
    """When each request's output tokens left [s], from which pool, and by which attempt at which replicas, by id."""
    steps: list[list[float]]
    """[pool, start, end, the end that was to be] of each step [s]."""
    looks: list[tuple[int, ...]]
    """Ready and draining replicas, requests waiting (or in front ends, or on the way) and running, KV blocks in use,
    requests routed and ended so far, KV blocks."""
    drained: dict[int, float]
    """When each replica that was not empty when told to drain was empty, by serial number [s]."""

    switches: list[list[float]] = field(default_factory=list)
    """The same of each switch from one model to another."""
    noted: list[tuple[float, int, int, int, bool, float]] = field(default_factory=list)
    """What is told of each: when, in which pool, to which model, how many were evicted, whether it was loaded, how long."""
    near_tie: bool = False
    """Whether what comes first is left to chance: times that differ by rounding alone."""

    @property
    def token_times(self) -> list[list[float]]:
        """When each request's output tokens left, by id [s]."""
        return [[time for time, _, _ in tokens] for tokens in self.tokens]
