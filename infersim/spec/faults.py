"""What breaks, how often, and for how long; and what becomes of the requests that it held.

Not here: breaking it (`infersim/controlplane/faults.py`), and outages at a given time (`phases.py`).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import Count, Fraction, NonNegative, Positive, Spec, wrong_at


class Repair(Spec):
    """How long until what broke is sound again: exponential by its mean, or lognormal by median and 99th percentile."""

    mean_s: Positive | None = None
    """Mean of an exponential [s]."""
    median_s: Positive | None = None
    """Median of a lognormal [s]."""
    p99_s: Positive | None = None
    """99th percentile of a lognormal [s]."""

    @model_validator(mode="after")
    def _one(self) -> "Repair":
        if (self.mean_s is None) == (self.median_s is None) or (self.median_s is None) != (self.p99_s is None):
            raise wrong_at((), "needs mean_s, or median_s with p99_s")
        if self.median_s is not None and self.p99_s is not None and self.p99_s <= self.median_s:
            raise wrong_at(("p99_s",), f"found {self.p99_s:g}, must exceed median_s {self.median_s:g}")
        return self


class Fault(Spec):
    """One kind of thing that breaks at random, each by itself, whether in use or not."""

    what: Literal["chip", "node", "rack", "zone"]
    """What breaks; all replicas on it are hit."""
    mtbf_hours: Positive
    """Mean time from one repair to the next break of one such thing, exponential [h]. Meta saw an interruption every
    50,700 h of one H100 (419 in 54 days on 16,384, Llama 3 paper); servers of eight broke every 5,700 h (InfiniteHBD)."""
    repair: Repair
    """How long it is out of order."""
    speed: Fraction | None = None
    """Rate of a hit replica meanwhile, over a sound one's: slowed, as a chip that throttles. It fails when absent."""
    pools: list[str] | None = None
    """Pools that it concerns; all when absent."""

    @model_validator(mode="after")
    def _zones_fail(self) -> "Fault":
        if self.what == "zone" and self.speed is not None:
            raise wrong_at(("speed",), "a zone fails or does not; remove speed, or let racks be slow")
        return self


class FaultTrace(Spec):
    """Recorded faults of nodes: JSON with node_id, event_time [days], event_type fault_start or fault_end (InfiniteHBD)."""

    file: str
    """Relative to the scenario, or in $INFERSIM_TRACES; may be gzipped."""
    nodes: Count = 400
    """Nodes that were observed, those without a fault included; the scenario's nodes are drawn from them."""
    from_day: NonNegative = 0.0
    """Day of the trace at which the run begins."""
    level: str | None = None
    """Only faults of this level (Hardware Failure); all when absent."""
    pools: list[str] | None = None
    """Pools that it concerns; all when absent."""


class Failures(Spec):
    """What breaks, and what becomes of the requests on it."""

    replays: Annotated[int, Field(ge=0, le=100)] = 1
    """How often a request whose replica is lost is given to another one, from its beginning; after that it is lost."""
    faults: list[Fault] = Field(default_factory=list, max_length=100)
    """What breaks at random."""
    trace: FaultTrace | None = None
    """What broke in a recording."""
