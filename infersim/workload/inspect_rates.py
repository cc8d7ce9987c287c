"""What to know of traffic that is no list of requests: a series of counts over days, and ServeGen's clients.

Not here: traces of requests (`inspect.py`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infersim.workload.length_windows import window_fit
from infersim.workload.series import RateTable, read_rates
from infersim.workload.servegen import LENGTHS_WINDOW_S, WINDOW_S, Clients, length_rows, read_clients

Floats = NDArray[np.float64]
Figures = dict[str, dict[str, float]]

PERIODS_H = (24.0, 12.0, 168.0, 84.0)
"""Waves that traffic of people has: days and weeks, and their halves."""


@dataclass(frozen=True)
class Waves:
    """The logarithm of a rate as a constant and harmonics, fitted by least squares."""

    constant: float
    """log of requests/s"""
    periods_h: tuple[float, ...]
    cos: tuple[float, ...]
    sin: tuple[float, ...]
    r_squared: float
    residual_sd: float

    def mean_rate(self) -> float:
        """Mean of the rate over the longest period [requests/s]."""
        times = (np.arange(1 << 16, dtype=np.float64) + 0.5) * (max(self.periods_h) / (1 << 16))
        return float(np.exp(self.constant + _waves(times, self.periods_h) @ np.array([*self.cos, *self.sin])).mean())


@dataclass(frozen=True)
class SeriesInspection:
    """A series of counts in figures."""

    file: str
    bins: int
    interval_s: float
    requests: float
    rate_rps: float
    per_minute: dict[str, float]
    hourly: dict[str, float]
    """min, max, ratio and cv of the requests in whole hours."""
    by_day: list[float]
    by_hour: list[float]
    """Mean rate by hour after the first row [requests/s]."""
    local_dispersion: float
    """Index of dispersion of the counts around a moving mean of ten minutes."""
    autocorrelation: list[float]
    """Of the counts around it, at one, two and three bins."""
    waves: Waves | None


def inspect_series(path: Path) -> SeriesInspection:
    """A CSV of rates or counts in equal intervals; TraceError if it is none."""
    table = read_rates(path)
    width = float(np.median(np.diff(table.starts_s)))
    counts = table.rates_rps * width
    span = table.starts_s[-1]
    minutes, hours, days = (_sums(counts, max(1, round(length / width))) for length in (60, 3600, 86_400))
    hour = table.starts_s // 3600 % 24
    around = max(3, round(600 / width)) | 1
    smooth = np.convolve(counts, np.ones(around) / around, mode="valid")
    rest = (counts[around // 2 : counts.size - around // 2] - smooth) / np.sqrt(np.maximum(smooth, 1e-9))
    return SeriesInspection(
        file=path.name, bins=counts.size, interval_s=width, requests=float(counts.sum()),
        rate_rps=float(counts.sum() / span),
        per_minute={"mean": float(minutes.mean()), "peak": float(minutes.max()), "least": float(minutes.min()),
                    "peak_to_mean": float(minutes.max() / minutes.mean())},
        hourly={"min": float(hours.min()), "max": float(hours.max()), "ratio": float(hours.max() / hours.min()),
                "cv": float(hours.std() / hours.mean())} if hours.size else {},
        by_day=days.tolist(),
        by_hour=[float(table.rates_rps[hour == k].mean()) for k in range(24) if (hour == k).any()],
        local_dispersion=float((rest**2).mean()),
        autocorrelation=[float((rest[lag:] * rest[:-lag]).mean() / (rest**2).mean()) for lag in (1, 2, 3)],
        waves=fit_waves(*_five_minutes(table, width)) if span >= 2 * 86_400 else None,
    )  # fmt: skip


def _five_minutes(table: RateTable, width: float) -> tuple[Floats, Floats]:
    """Means over five minutes, each at its beginning: long enough to quiet the noise, short against the waves."""
    size = max(1, round(300 / width))
    rates = _sums(table.rates_rps, size) / size
    return np.arange(rates.size, dtype=np.float64) * size * width, rates


def _sums(counts: Floats, size: int) -> Floats:
    whole = counts.size // size * size
    return counts[:whole].reshape(-1, size).sum(axis=1)


def fit_waves(times_s: Floats, rates_rps: Floats) -> Waves:
    """Daily and weekly waves of the log-rate by least squares; the weekly ones only for six days and more."""
    kept = rates_rps > 0
    hours, logs = times_s[kept] / 3600, np.log(rates_rps[kept])
    periods = PERIODS_H if hours[-1] - hours[0] >= 144 else PERIODS_H[:2]
    design = np.column_stack([np.ones(hours.size), _waves(hours, periods)])
    found = np.linalg.lstsq(design, logs, rcond=None)[0]
    rest = logs - design @ found
    count = len(periods)
    return Waves(
        float(found[0]), periods, tuple(found[1 : count + 1].tolist()), tuple(found[count + 1 :].tolist()),
        float(1 - rest.var() / logs.var()), float(rest.std()),
    )  # fmt: skip


def _waves(hours: Floats, periods_h: tuple[float, ...]) -> Floats:
    angles = 2 * np.pi * hours[:, None] / np.array(periods_h)
    return np.column_stack([np.cos(angles), np.sin(angles)])


@dataclass(frozen=True)
class PoolInspection:
    """ServeGen's clients in figures; windows of 600 s, weighted by rate where said."""

    file: str
    clients: int
    span_s: float
    rate: dict[str, float]
    """mean, peak and peak_to_mean of the aggregate [requests/s]."""
    top_share: dict[int, float]
    """Share of the requests of the heaviest 1 and 10 clients."""
    weighted_cv: dict[str, float]
    """p10, p50, p90 of the gaps' CV."""
    bursty_share: float
    """Share of the rate in windows with a CV above 1."""
    gamma_share: float
    """Share of the windows with Gamma gaps."""
    lengths: dict[str, dict[str, float]]
    """mean and quantiles of each field of the length tables, weighted by the client's rate in their window."""
    window_fit: dict[str, dict[str, float]]
    """By field of tokens, how far tables of a client and window are from a lognormal and an exponential (`length_windows.py`)."""
    rate_without_lengths: float | None
    """Share of the requests of clients that have no length table; None where no tables were given."""


def inspect_clients(path: Path, model: str | None = None, lengths: Path | None = None) -> PoolInspection:
    """ServeGen's client rates, and length tables if given.

    TraceError if a file holds none, or several models and none is chosen.
    """
    clients = read_clients(path, model)
    rows = [
        (client, start, window.rate_rps, window.cv, window.weibull)
        for client, windows in clients.items()
        for start, window in windows.items()
    ]
    client, start, rate, cv, weibull = (np.array(column) for column in zip(*rows, strict=True))
    totals = np.bincount(((start - start.min()) / WINDOW_S).astype(np.int64), rate)
    totals = totals[totals > 0]
    heaviest = np.sort(np.bincount(client.astype(np.int64), rate))[::-1]
    order = np.argsort(cv)
    weight = np.cumsum(rate[order]) / rate.sum()
    quantiles = {f"p{share}": float(cv[order][np.searchsorted(weight, share / 100)]) for share in (10, 50, 90)}
    mean, peak = float(totals.mean()), float(totals.max())
    found, fits, without = ({}, {}, None) if lengths is None else _weighted_lengths(clients, lengths, model)
    return PoolInspection(
        file=path.name, clients=int(np.unique(client).size), span_s=float(start.max() - start.min()),
        rate={"mean": mean, "peak": peak, "peak_to_mean": peak / mean},
        top_share={top: float(heaviest[:top].sum() / rate.sum()) for top in (1, 10)},
        weighted_cv=quantiles, bursty_share=float(rate[cv > 1].sum() / rate.sum()),
        gamma_share=float(1 - weibull.mean()), lengths=found, window_fit=fits, rate_without_lengths=without,
    )  # fmt: skip


def _weighted_lengths(clients: Clients, path: Path, model: str | None) -> tuple[Figures, Figures, float]:
    """mean, p50, p90, p99 of each field over the clients with a table, the fit of these, and the share of the rate of those without."""
    weights: dict[tuple[int, float], float] = {}
    for client, windows in clients.items():
        for start, window in windows.items():
            key = client, start // LENGTHS_WINDOW_S * LENGTHS_WINDOW_S
            weights[key] = weights.get(key, 0.0) + window.rate_rps
    sums: dict[str, dict[float, float]] = {}
    tables: dict[str, dict[tuple[int, float], tuple[list, list]]] = {}
    known = set()
    for client, start, field, values, shares in length_rows(path, model, ratios=True):
        if field in ("input_tokens", "output_tokens"):
            own = tables.setdefault(field, {}).setdefault((client, start), ([], []))
            own[0].extend(values)
            own[1].extend(shares)
        known.add(client)
        weight, sums_of_field = weights.get((client, start), 0.0), sums.setdefault(field, {})
        for value, share in zip(values, shares, strict=True):
            sums_of_field[value] = sums_of_field.get(value, 0.0) + weight * share
    total = sum(weights.values())
    without = sum(weight for (client, _), weight in weights.items() if client not in known) / total
    found = {
        field: window_fit((np.array(values, float), np.array(shares, float)) for values, shares in own.values())
        for field, own in tables.items()
    }
    fits = {field: fit for field, fit in found.items() if fit}
    return {field: _quantiles(table) for field, table in sums.items()}, fits, without


def _quantiles(table: dict[float, float]) -> dict[str, float]:
    values = np.array(sorted(table), np.float64)
    weight = np.array([table[value] for value in values.tolist()])
    if not weight.sum():
        return {}
    shares = np.cumsum(weight) / weight.sum()
    quantiles = {f"p{share}": float(values[np.searchsorted(shares, share / 100)]) for share in (50, 90, 99)}
    return {"mean": float((values * weight).sum() / weight.sum())} | quantiles
