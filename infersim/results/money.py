"""Dollars: what every replica's lease cost, and whether the money was spent working, waiting or starting.

    usd = billed seconds x chips of a replica x price of a chip-hour / 3600

A lease is billed from `billed_from_s` to `closed_s`. Cold start is the part before the replica was ready (all of
it when it never was), busy the part in steps, idle the rest, so the three sum to the bill.

Not here: joules (`power.py`). Read `summary.py` for where the two meet the latencies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.totals import Sums
from infersim.results.record import PoolRecord, RunRecord

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LeaseTimes:
    """Where the billed seconds of each lease went: arrays in the order of `RunRecord.leases` [s]."""

    billed: Array
    """From the start of billing to its end; 0 for a replica that was cancelled before it was ours."""
    cold_start: Array
    """Billed and not yet ready."""
    busy: Array
    """In steps."""

    @property
    def up(self) -> Array:
        """Ready or draining."""
        return self.billed - self.cold_start

    @property
    def idle(self) -> Array:
        """Up and in no step; rounding noise below a billionth of the bill counts as none."""
        rest = self.up - self.busy
        return np.where(np.abs(rest) <= 1e-9 * self.billed, 0.0, rest)


def lease_times(run: RunRecord) -> LeaseTimes:
    """Split the billed seconds of every lease [s]."""
    leases = run.leases
    closed, billed_from = leases["closed_s"], leases["billed_from_s"]
    billed = np.nan_to_num(np.maximum(closed - billed_from, 0.0))
    ready = np.where(np.isnan(leases["ready_s"]), closed, leases["ready_s"])
    cold_start = np.nan_to_num(np.clip(ready - billed_from, 0.0, billed))
    return LeaseTimes(billed, cold_start, leases["busy_s"].astype(np.float64))


def usd_per_replica_second(pool: PoolRecord) -> float:
    """Price of one replica of the pool [USD/s]."""
    return pool.chips * pool.usd_per_chip_hour / 3600.0


@dataclass(frozen=True)
class Bill:
    """Dollars of each lease by purpose: arrays in the order of `RunRecord.leases` [USD]."""

    busy: Array
    idle: Array
    cold_start: Array

    @property
    def total(self) -> Array:
        """The three purposes together [USD]."""
        return self.busy + self.idle + self.cold_start

    def sums(self, chosen: NDArray[np.bool_]) -> dict[str, float]:
        """Dollars of the chosen leases: `total_usd`, `busy_usd`, `idle_usd`, `cold_start_usd`."""
        parts = {name: float(getattr(self, name)[chosen].sum()) for name in ("busy", "idle", "cold_start")}
        return {"total_usd": sum(parts.values())} | {f"{name}_usd": usd for name, usd in parts.items()}


def bill(run: RunRecord) -> Bill:
    """Price every lease of the run."""
    rates = np.array([usd_per_replica_second(pool) for pool in run.pools])[run.leases["pool"]]
    times = lease_times(run)
    return Bill(times.busy * rates, times.idle * rates, times.cold_start * rates)


def unit_costs(usd: float, sums: Sums) -> dict[str, float]:
    """Dollars for each unit of useful work; NaN where there was none.

    `sums` is of the requests that the dollars served. Work is that of finished requests; those
    that met the SLO finished within every limit.
    """
    output_tokens = sums.of_finished("output_tokens")
    total_tokens = output_tokens + sums.of_finished("input_tokens")
    return {
        "usd_per_million_output_tokens": per(usd * 1e6, output_tokens),
        "usd_per_million_total_tokens": per(usd * 1e6, total_tokens),
        "usd_per_thousand_requests": per(usd * 1e3, sums.finished),
        "usd_per_slo_met_request": per(usd, sums.met),
    }


def per(amount: float, units: float) -> float:
    """Amount for each unit; NaN when there are no units."""
    return amount / units if units > 0 else float("nan")
