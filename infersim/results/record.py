"""What a run leaves behind, raw: simulate() fills it, everything in `results` reads it.

Not here: frames and metrics (`frames.py`, `metrics.py`). Read `result.py` next.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infersim.controlplane.phases import Period
from infersim.cost.price import Tariff
from infersim.cost.series import StepFunction, constant
from infersim.cost.tables import CostTables
from infersim.dataplane.tally import Tally
from infersim.dataplane.totals import Totals
from infersim.results.gathering import totals_for
from infersim.results.provenance import Source
from infersim.results.questions import CallTotals
from infersim.spec.scenario import Scenario

Happening = tuple[float, str, str, int, str]
"""(time_s, kind, pool name, replica serial or -1, detail)."""


@dataclass(frozen=True)
class PoolRecord:
    """One pool: what it was and what it did."""

    name: str
    hardware: str
    engine: str
    chips: int
    """Chips of one replica."""
    usd_per_chip_hour: float
    """Of its first source, the mean over the run."""
    price_source: str
    tables: CostTables
    tally: Tally
    """Counts over the whole run."""
    embodied_kg: float | None = None
    """Carbon of making one chip [kgCO2eq]; None when its profile does not say."""
    sources: tuple[Source, ...] = ()
    """The graded numbers that it started from."""
    purchases: tuple[Tariff, ...] = ()
    """What each of its sources of machines asks; one at usd_per_chip_hour when empty."""
    electricity: StepFunction | None = None
    """Price of electricity for machines that are metered [USD/kWh]."""
    carbon: StepFunction | None = None
    """Carbon intensity of its electricity [gCO2eq/kWh]."""
    network_s: tuple[float, ...] = ()
    """By class, the round trip between its requests and this pool [s]; empty without regions."""
    egress_usd_per_gb: tuple[tuple[float, float], ...] = ()
    """By class, what its prompts and its answers pay to leave their regions [USD/GB]; 0 inside a region."""
    region: str | None = None
    saved_j: float = 0.0
    """Dynamic energy that power caps saved [J]."""

    @property
    def tariffs(self) -> tuple[Tariff, ...]:
        """What each of its sources asks, by number."""
        one = Tariff("on_demand", "unknown", constant(self.usd_per_chip_hour), self.price_source)
        return self.purchases or (one,)


@dataclass(frozen=True)
class RunRecord:
    """One run."""

    scenario: Scenario
    """Resolved: what ran, defaults included."""
    pools: list[PoolRecord]
    outcomes: np.ndarray
    """dataplane.records.OUTCOME, sorted by id: one row for each request that arrived, or for a sample of them."""
    leases: np.ndarray
    """controlplane.ledger.LEASE, sorted by replica serial."""
    samples: np.ndarray
    """controlplane.ledger.SAMPLE, by time then pool."""
    events: list[Happening]
    """What happened to the fleet, by time."""
    end_s: float
    """When the run ended: the horizon or the last request's end, whichever is later [s]."""
    warnings: list[str]
    """What a reader should know: rejected requests, repairs of a trace ..."""
    halvings: int = 0
    """How often the share of requests that have a row was halved (`gathering.py`)."""
    periods: tuple[Period, ...] = ()
    """Outages, power caps and upgrades that are over."""
    streamed: Totals | None = None
    """Totals of all requests, from when they ended; without, every request has a row."""
    questions: CallTotals | None = None
    """Those of the calls that questions are made of, by lane, where there are cascades."""

    @cached_property
    def totals(self) -> Totals:
        """What all requests come down to, those without a row included."""
        if self.streamed is not None:
            return self.streamed
        totals = totals_for(self.scenario)
        totals.add(self.outcomes)
        return totals

    @property
    def calls(self) -> Totals:
        """What pools were asked: all calls by lane where there are cascades, else all requests by class."""
        return self.totals if self.questions is None else self.questions.every
