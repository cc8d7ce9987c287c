"""What an autoscaler may know: a read-only view of its pool, with readings of the load over the last hour.

How many replicas there are is the control plane's own knowledge and always of now; the load is as old as its last scrape
(`scrape_lag_s` of the scenario). A window reaches from the newest reading back to the last one before its beginning, or
to the first there is.

Not here: who takes readings (`infersim/controlplane/meter.py`). Read `registry.py` for what an autoscaler is.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infersim.policies.errors import PolicyError

MEMORY_S = 3600.0
"""Readings older than this may be forgotten [s]."""


class Reading(NamedTuple):
    """The load of a pool at one moment; what counts, counts from the start of the run."""

    time_s: float = 0.0
    ready: int = 0
    """Replicas that served then."""
    waiting: int = 0
    """Requests in replicas' front ends and queues."""
    running: int = 0
    """Requests in batches."""
    held: int = 0
    """Requests of the whole service that wait for a replica of this pool's role."""
    kv_cache: float = 0.0
    """Share of the KV blocks in use."""
    arrived: int = 0
    """Counts requests that came: routed to the pool, or held."""
    ended: int = 0
    """Counts requests that ended in the pool."""
    prompt_tokens: float = 0.0
    """Counts prompt tokens processed."""
    output_tokens: float = 0.0
    """Counts tokens generated."""
    busy_s: float = 0.0
    """Counts replica-seconds in steps."""
    up_s: float = 0.0
    """Counts replica-seconds ready or draining."""
    judged: int = 0
    """Counts requests that ended in the pool, like what follows, and is kept only where attainment is declared."""
    ttft_met: int = 0
    """Counts those within the TTFT of their SLO."""
    tpot_met: int = 0
    """Likewise TPOT."""
    slo_met: int = 0
    """Likewise every limit."""

    @property
    def in_flight(self) -> int:
        """Requests in the pool, held ones included."""
        return self.waiting + self.running + self.held


class Facts(NamedTuple):
    """What does not change in a run."""

    pool: str = ""
    fewest: int = 0
    """Least replicas of the pool."""
    most: int = 2**53
    """Most replicas of the pool."""
    interval_s: float = 15.0
    """Time between decisions [s]."""
    max_num_seqs: int = 1
    """Most sequences in a replica's batch."""
    cold_start_s: float = 0.0
    """From the request for a replica to its readiness, as expected [s]."""
    ttft_s: float = math.inf
    """The strictest TTFT limit of any class [s]; inf without one."""
    tpot_s: float = math.inf
    """Likewise TPOT [s]."""
    judged: bool = False
    """Whether requests are judged by their SLO (`reads={"attainment"}`)."""


_NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class View:
    """What an autoscaler may know of its pool now."""

    time_s: float
    ready: int = 0
    """Replicas that serve."""
    starting: int = 0
    """Replicas on their way."""
    draining: int = 0
    """Replicas that finish what they hold, and take nothing more."""
    readings: Sequence[Reading] = (Reading(),)
    """The load, oldest first; the last one is the newest that has been scraped."""
    facts: Facts = _NOTHING

    @property
    def current(self) -> int:
        """Replicas that serve or are on their way."""
        return self.ready + self.starting

    @property
    def newest(self) -> Reading:
        """The load as far as it is known."""
        return self.readings[-1]

    @property
    def waiting(self) -> int:
        """Requests in replicas' front ends and queues."""
        return self.readings[-1].waiting

    @property
    def running(self) -> int:
        """Requests in batches."""
        return self.readings[-1].running

    @property
    def held(self) -> int:
        """Requests of the whole service that wait for a replica of this pool's role."""
        return self.readings[-1].held

    @property
    def outstanding(self) -> int:
        """Requests routed to the pool's replicas and not ended."""
        return self.readings[-1].waiting + self.readings[-1].running

    @property
    def queued(self) -> int:
        """Requests that wait for a place in a batch or for a replica."""
        return self.readings[-1].waiting + self.readings[-1].held

    @property
    def in_flight(self) -> int:
        """Requests in the pool, held ones included."""
        return self.readings[-1].in_flight

    @property
    def kv_cache(self) -> float:
        """Share of the KV blocks in use."""
        return self.readings[-1].kv_cache

    def before(self, window_s: float) -> Reading:
        """The last reading at least `window_s` older than the newest; the first there is if all are younger."""
        start = bisect_right(self.readings, self.newest.time_s - window_s, key=_time)
        return self.readings[max(0, start - 1)]

    def mean(self, signal: str, window_s: float) -> float:
        """Mean of a signal over the readings of the last `window_s` [s], its beginning left out."""
        first = bisect_right(self.readings, self.newest.time_s - window_s + 1e-6, key=_time)
        seen = self.readings[min(first, len(self.readings) - 1) :]
        return sum(getattr(reading, signal) for reading in seen) / len(seen)

    def rate(self, counter: str, window_s: float) -> float:
        """Growth of a counter a second over a window; 0 before there are two readings."""
        before = self.before(window_s)
        seconds = self.newest.time_s - before.time_s
        return (getattr(self.newest, counter) - getattr(before, counter)) / seconds if seconds > 0 else 0.0

    def arrival_rate(self, window_s: float) -> float:
        """Requests that came in a second, over a window [requests/s]."""
        return self.rate("arrived", window_s)

    def utilisation(self, window_s: float) -> float:
        """Share of the replicas' time spent in steps, over a window; 0 when none was up."""
        before = self.before(window_s)
        up_s = self.newest.up_s - before.up_s
        return (self.newest.busy_s - before.busy_s) / up_s if up_s > 0 else 0.0

    def attainment(self, window_s: float, limit: str = "slo") -> float:
        """Share of the requests that ended in a window within a limit: `ttft`, `tpot`, or all (`slo`); NaN if none did.

        Raises PolicyError unless the autoscaler is declared with `@autoscaling(reads={"attainment"})`.
        """
        if not self.facts.judged:
            raise PolicyError(
                "reads attainment, which is kept for those that say so: @autoscaling(reads={'attainment'})"
            )
        before, met = self.before(window_s), f"{limit}_met"
        judged = self.newest.judged - before.judged
        return (getattr(self.newest, met) - getattr(before, met)) / judged if judged else math.nan

    def at(self, time_s: float) -> "View":
        """The same view with the load of no later than `time_s`."""
        known = max(1, bisect_left(self.readings, time_s + 1e-6, key=_time))
        return View(self.time_s, self.ready, self.starting, self.draining, self.readings[:known], self.facts)


def _time(reading: Reading) -> float:
    return reading.time_s
