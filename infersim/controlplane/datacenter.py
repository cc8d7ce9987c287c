"""The datacentre: pools on one clock, sampled at regular times, watched for standstill, run to the last request.

What is said at a standstill is in `standstill.py`. Not here: how it is put together from a scenario (`infersim/simulate.py`).
"""

from collections.abc import Callable, Generator

import numpy as np
import simpy

from infersim.controlplane.environment import Environment
from infersim.controlplane.ledger import LEASE, SAMPLE, lease_row, sample_row
from infersim.controlplane.phases import Period
from infersim.controlplane.pool import Log, Pool, Terms
from infersim.controlplane.replica import Replica
from infersim.controlplane.standstill import Standstill, complaint
from infersim.dataplane.fleet import Fleet

STANDSTILL_S = 6 * 3600.0
"""Simulated time without a single step, with requests in flight, after which a run is given up."""


class Datacenter:
    """Pools of replicas that serve one stream of requests."""

    def __init__(self, fleet: Fleet, pools: list[Terms]) -> None:
        """Empty pools on the given terms, at time 0."""
        self.env = Environment(fleet)
        self.log: Log = []
        self._leases: list[tuple[Pool, Replica]] = []
        self.pools = [Pool(self.env, number, terms, self.log, self._leases) for number, terms in enumerate(pools)]
        self.periods: list[Period] = []
        """Outages, power caps and upgrades that are over."""
        self._samples: list[np.void] = []

    def run(
        self, horizon_s: float, sample_interval_s: float, progress: Callable[[float, float], None] | None = None
    ) -> None:
        """Run until the horizon has passed and every request has ended. Raises Standstill if that cannot happen."""
        self.env.process(self._probe(horizon_s, sample_interval_s, progress))
        self.env.process(self._watchdog())
        self.env.run(until=self.env.finished & self.env.timeout(horizon_s))
        self._sample()

    def leases(self) -> np.ndarray:
        """Every replica's life so far, by serial (LEASE)."""
        return np.array([lease_row(pool, replica) for pool, replica in self._leases], LEASE)

    def samples(self) -> np.ndarray:
        """The timeline so far (SAMPLE)."""
        return np.array(self._samples, SAMPLE)

    def _probe(
        self, horizon_s: float, interval_s: float, progress: Callable[[float, float], None] | None
    ) -> Generator[simpy.Event, object, None]:
        while True:
            self._sample()
            if progress is not None:
                progress(min(self.env.now, horizon_s), horizon_s)
            yield self.env.timeout(interval_s)

    def _sample(self) -> None:
        if self._samples and self._samples[-1]["time_s"] == self.env.now:
            del self._samples[-len(self.pools) :]
        self._samples.extend(sample_row(pool) for pool in self.pools)

    def _watchdog(self) -> Generator[simpy.Event, object, None]:
        """Give up when requests have waited for STANDSTILL_S in which nothing at all was served."""
        while True:
            before, waiting = self._progress(), self.env.fleet.oldest()
            yield self.env.timeout(STANDSTILL_S)
            if waiting and self._progress() == before and (first := self.env.fleet.oldest()):
                raise Standstill(complaint(first, self.env.fleet, self.pools, STANDSTILL_S))

    def _progress(self) -> list[tuple[float, int]]:
        """What changes whenever anything is served: seconds in steps, and requests that ended."""
        seen = [self.env.fleet.observe(pool.number) for pool in self.pools]
        return [(tally.busy_s, held.ended) for held, tally in seen]
