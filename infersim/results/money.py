"""Dollars: what every replica's lease cost, and whether the money was spent working, waiting or starting.

    usd = sum over the billed seconds of chips of a replica x price of a chip-hour then / 3600

A lease is billed from `billed_from_s` to `closed_s`, and for `rounding_s` more where a minimum or whole hours are billed.
Cold start is the part before the replica was ready (all of it when it never was), busy the part in steps at the mean
price of the time that it was up, idle the rest, so the three sum to the bill.

Not here: electricity and egress (`expenses.py`), joules (`power.py`). Read `summary.py` for where they meet the latencies.
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
    """Price of one replica of the pool from its first source [USD/s], the mean over the run."""
    return pool.chips * pool.usd_per_chip_hour / 3600.0


def spent(pool: PoolRecord, sources: NDArray[np.int64], start_s: Array, end_s: Array) -> Array:
    """What each replica costs from its start to its end, at the prices of its source [USD]."""
    usd = np.zeros(len(sources))
    for number, tariff in enumerate(pool.tariffs):
        own = sources == number
        price = tariff.usd_per_chip_hour
        usd[own] = (price.integral(end_s[own]) - price.integral(start_s[own])) * pool.chips / 3600.0
    return usd


def spent_until(run: RunRecord, index: int, time_s: Array) -> tuple[Array, Array]:
    """What one pool has cost up to each time, and what of it before replicas were ready [USD]."""
    pool, own = run.pools[index], run.leases["pool"] == index
    leases, times = run.leases[own], lease_times(run)
    start = np.nan_to_num(leases["billed_from_s"], nan=np.inf)
    ready, end = start + times.cold_start[own], start + times.billed[own]
    total, cold = np.zeros(len(time_s)), np.zeros(len(time_s))
    for k in np.flatnonzero(times.billed[own] > 0):
        source = np.full(len(time_s), leases["source"][k])
        begun = np.full(len(time_s), start[k])
        total += spent(pool, source, begun, np.clip(time_s, start[k], end[k]))
        cold += spent(pool, source, begun, np.clip(time_s, start[k], ready[k]))
        rounded = end[k] + leases["rounding_s"][k]
        extra = np.where(time_s >= end[k], spent(pool, source[:1], end[k : k + 1], np.array([rounded]))[0], 0.0)
        total += extra
        cold += extra if ready[k] == end[k] else 0.0
    return total, cold


def simple(pool: PoolRecord) -> bool:
    """Whether all the pool's machines have one price that never changes."""
    return len(pool.tariffs) == 1 and len(pool.tariffs[0].usd_per_chip_hour.values) == 1


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
    times, leases = lease_times(run), run.leases
    start = np.where(np.isnan(leases["billed_from_s"]), leases["closed_s"], leases["billed_from_s"])
    ready, end = start + times.cold_start, start + times.billed
    parts = np.zeros((3, len(leases)))
    for number, pool in enumerate(run.pools):
        own = leases["pool"] == number
        sources = leases["source"][own]
        cold = spent(pool, sources, start[own], ready[own])
        up = spent(pool, sources, ready[own], end[own])
        extra = spent(pool, sources, end[own], end[own] + leases["rounding_s"][own])
        served = times.up[own]
        share = np.divide(times.busy[own], served, out=np.zeros(len(served)), where=served > 0)
        share = np.where(np.abs(share - 1.0) <= 1e-9, 1.0, share)
        never = served == 0
        parts[:, own] = up * share, up * (1.0 - share) + np.where(never, 0.0, extra), cold + np.where(never, extra, 0.0)
    return Bill(*parts)


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
