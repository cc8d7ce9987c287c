"""A synthetic workload like a trace: candidates of arrivals with their goodness of fit, and length laws.

Arrivals are judged by what drives queues: the index of dispersion at 1, 10 and 60 s of a simulation of each candidate.
A renewal process has no memory between gaps, so real traffic mostly needs a modulated rate (design/WORKLOADS.md, 1.1).
Not here: the figures of the trace itself (`inspect.py`).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.spec.arrivals import Arrivals, Batches, Diurnal, Gamma, Harmonic, Mmpp, Poisson
from infersim.spec.lengths import Component, Empirical, Lengths, Lognormal, Mixture
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.formats.format import head_of
from infersim.workload.inspect import Inspection, inspect
from infersim.workload.inspect_rates import Waves, fit_waves, inspect_series
from infersim.workload.lengths import Z99, share_up_to, standard_normal_cdf
from infersim.workload.series import COUNTS, RATES
from infersim.workload.statistics import Counts, dispersion
from infersim.workload.traces import TraceError

Floats = NDArray[np.float64]

GOOD = 0.25
"""A candidate fits if every index of dispersion is within this of the trace's."""
SIMULATED = 2_000_000
"""Most requests simulated to judge a candidate."""


@dataclass(frozen=True)
class Candidate:
    """An arrival process and how well it fits."""

    arrivals: Arrivals
    dispersion: dict[int, float]
    """Of a simulation, by width [s]."""
    error: float
    """Largest relative error of them; NaN where they do not say anything."""


@dataclass(frozen=True)
class FittedLengths:
    """A length law and its Kolmogorov-Smirnov distance from the trace."""

    law: Lengths
    distance: float


@dataclass(frozen=True)
class Fit:
    """A proposed workload."""

    file: str
    dispersion: dict[int, float]
    """Of the trace."""
    candidates: list[Candidate]
    """From the simplest to the richest."""
    chosen: Candidate | None
    """The simplest that fits, else the one with the least error; None for a table of lengths."""
    verdict: str
    """What kind of traffic it is, in words."""
    waves: Waves | None
    input_tokens: FittedLengths | None
    output_tokens: FittedLengths | None
    spearman: float

    def yaml(self) -> str:
        """The workload as text that can be pasted into a scenario."""
        lines = ["workload:"]
        if self.chosen is not None:
            lines.append(f"  arrivals: {flow(_plain(self.chosen.arrivals))}")
        for key in ("input_tokens", "output_tokens"):
            if (fitted := getattr(self, key)) is not None:
                lines.append(f"  {key}: {flow(_plain(fitted.law))}")
        if self.input_tokens is not None and abs(self.spearman) >= 0.1:
            lines.append(f"  length_correlation: {round(self.spearman, 3)}")
        return "\n".join(lines) + "\n"


def fit(path: Path) -> Fit:
    """Fit a trace, a table of lengths, or a series of counts; TraceError if the file is none or has too little."""
    if set(head_of(path).columns) in (set(COUNTS), set(RATES)):
        return _fit_series(path)
    found = inspect(path)
    laws = [fit_lengths(*table.table()) for table in found.lengths or ()]
    arrivals = _fit_arrivals(found) if found.span_s > 0 and found.rows > 100 else ([], None, "lengths only", None)
    candidates, chosen, verdict, waves = arrivals
    return Fit(path.name, found.dispersion, candidates, chosen, verdict, waves, laws[0], laws[1], found.spearman)


# ---------------------------------------------------------------- arrivals


def _fit_arrivals(found: Inspection) -> tuple[list[Candidate], Candidate, str, Waves | None]:
    assert found.seconds is not None
    rate = found.rate_rps
    # figures below a few ticks of the recording's clock are artefacts
    target = {width: value for width, value in found.dispersion.items() if width > 3 * found.clock_tick_s}
    waves = None
    processes: list[Arrivals] = [Poisson(process="poisson", rate_rps=_short(rate))]
    if not found.clock_tick_s and math.isfinite(found.gap_cv_short) and found.gap_cv_short > 0.01:
        processes.append(Gamma(process="gamma", rate_rps=_short(rate), cv=_short(min(found.gap_cv_short, 100.0))))
    if all(math.isfinite(value) for value in target.values()) and max(target.values()) > 1.05:
        processes.append(fit_mmpp(rate, target, found.seconds))
    if found.span_s >= 2 * 86_400:
        counts = found.seconds[: found.seconds.size // 3600 * 3600].reshape(-1, 3600).sum(axis=1)
        waves = fit_waves(np.arange(counts.size) * 3600.0, counts / 3600)
        processes.append(_diurnal(waves, 1.0))
    candidates = [_judged(process, rate, found.span_s, target) for process in processes]
    chosen = next((one for one in candidates if one.error <= GOOD), min(candidates, key=lambda one: one.error))
    if waves is not None and waves.r_squared > 0.3:
        chosen = candidates[-1]
    return candidates, chosen, _verdict(target, chosen.arrivals), waves


def _judged(process: Arrivals, rate: float, span_s: float, target: dict[int, float]) -> Candidate:
    """A candidate simulated for many times the trace's span, and compared with it."""
    horizon = max(min(20 * span_s, SIMULATED / rate), 3600.0)
    width = int(horizon) + 1
    counts = np.zeros(width, np.int64)
    for times in arrival_blocks(process, horizon, 1):  # type: ignore[arg-type]  # no fit is a trace
        counts += np.bincount(times.astype(np.int64), minlength=width)
    found = {size: dispersion(counts[: width // size * size].reshape(-1, size).sum(axis=1)) for size in target}
    errors = [abs(found[size] / value - 1) for size, value in target.items() if math.isfinite(value) and value > 0]
    return Candidate(process, found, max(errors, default=float("nan")))


def _verdict(target: dict[int, float], process: Arrivals) -> str:
    """The kind of traffic in words."""
    if isinstance(process, Diurnal | Batches):
        return "daily and weekly waves"
    if isinstance(process, Mmpp) and min(process.rates_rps) < 0.1 * max(process.rates_rps):
        return "on/off: bursts with quiet times between"
    if target[min(target)] < 2:
        slow = isinstance(process, Mmpp)
        return "near-Poisson within seconds" + (", with a rate that changes slowly" if slow else "")
    return "burstier than Poisson"


def fit_mmpp(rate_rps: float, target: dict[int, float], seconds: Counts) -> Mmpp:
    """The two-state MMPP with this mean rate and (as nearly as can be) these indices of dispersion.

    Its index over a window w is 1 + A (1 - (1 - exp(-v w)) / (v w)) with v = 1/s0 + 1/s1 and
    A = 2 p0 p1 (r1 - r0)^2 / (rate v) (Fischer and Meier-Hellstern, The MMPP cookbook, 1993). A and v come from a
    search for the least squared error of the logarithms; the share p1 of the busy state, which they leave open, is the
    most likely one given the counts in seconds.
    """
    widths, goal = np.array(list(target)), np.log(np.maximum(list(target.values()), 1.0))
    speeds = np.geomspace(1e-5, 20, 600)[:, None, None]
    excess = np.geomspace(0.01, 1e5, 900)[None, :, None]
    grown = 1 - -np.expm1(-speeds * widths) / (speeds * widths)
    error = ((np.log1p(excess * grown) - goal) ** 2).sum(axis=2)
    place = np.unravel_index(int(error.argmin()), error.shape)
    speed, size = float(speeds[place[0], 0, 0]), float(excess[0, place[1], 0])
    ratio = 2 * rate_rps / (size * speed)  # p1 / p0 at which the quiet state has rate 0
    shares = ratio / (1 + ratio) * np.linspace(0.05, 1.0, 96)
    busy = max(shares.tolist(), key=lambda share: _likelihood(rate_rps, size, speed, share, seconds))
    quiet_rate, busy_rate = _rates(rate_rps, size, speed, busy)
    sojourns = [1 / (speed * busy), 1 / (speed * (1 - busy))]
    return Mmpp(
        process="mmpp", rates_rps=[_short(quiet_rate), _short(busy_rate)], mean_sojourn_s=[_short(x) for x in sojourns]
    )


def _rates(rate: float, excess: float, speed: float, busy: float) -> tuple[float, float]:
    apart = math.sqrt(excess * rate * speed / (2 * busy * (1 - busy)))
    quiet = max(0.0, rate - busy * apart)
    return quiet, (rate - (1 - busy) * quiet) / busy


def _likelihood(rate: float, excess: float, speed: float, busy: float, seconds: Counts) -> float:
    """Log-likelihood of the counts in seconds, as a mixture of two Poisson laws."""
    frequency = np.bincount(seconds)
    counts = np.arange(frequency.size)
    factorials = np.cumsum(np.log(np.maximum(counts, 1)))
    logs = [
        math.log(weight) + counts * math.log(max(mean, 1e-9)) - mean - factorials
        for mean, weight in zip(_rates(rate, excess, speed, busy), (1 - busy, busy), strict=True)
    ]
    return float(frequency @ np.logaddexp(*logs))


def _diurnal(waves: Waves, local: float) -> Diurnal | Batches:
    """The waves as a process; clusters of about ten seconds where counts vary more than Poisson around them."""
    harmonics = [
        Harmonic(period_h=period, cos=_short(cos), sin=_short(sin))
        for period, cos, sin in zip(waves.periods_h, waves.cos, waves.sin, strict=True)
    ]
    if local <= 1.5:
        return Diurnal(process="diurnal", rate_rps=_short(waves.mean_rate()), harmonics=harmonics)
    # sizes of n and n + 1 whose E[N^2] / E[N] is the local index of dispersion
    low = int(local)
    high_share = low * (local - low) / (low * (local - low) + (low + 1) * (low + 1 - local))
    mean = low + high_share
    starts = Diurnal(process="diurnal", rate_rps=_short(waves.mean_rate() / mean), harmonics=harmonics)
    weights = [_short(1 - high_share), _short(high_share)]
    size = Empirical(distribution="empirical", values=[low, low + 1], weights=weights)
    return Batches(process="batches", batches=starts, size=size, spread_s=10.0)


def _fit_series(path: Path) -> Fit:
    """A series of counts: its waves and clusters."""
    series = inspect_series(path)
    if series.waves is None:
        raise TraceError(path, "spans less than two days; waves need more")
    process = _diurnal(series.waves, series.local_dispersion)
    chosen = Candidate(process, {}, float("nan"))
    verdict = f"daily and weekly waves (R2 {series.waves.r_squared:.2f})"
    return Fit(path.name, {}, [chosen], chosen, verdict, series.waves, None, None, 0.0)


# ---------------------------------------------------------------- lengths


def fit_lengths(values: Counts, counts: Counts) -> FittedLengths:
    """A lognormal, or a mixture of two where that halves the distance; cut at the longest that was seen."""
    counts = counts[values > 0]
    values = values[values > 0]
    if values.size == 0:
        raise ValueError("no tokens at all")
    if values.size < 3:
        weights = counts.astype(np.float64)
        law: Lengths = Empirical(distribution="empirical", values=values.tolist(), weights=weights.tolist())
        return FittedLengths(law, 0.0)
    logs, weights = np.log(values), counts / counts.sum()
    mean = float(weights @ logs)
    single = _lognormal(mean, math.sqrt(float(weights @ (logs - mean) ** 2)), int(values[-1]))
    double = _mixture(values, logs, weights)
    distances = [_distance(law, values, weights) for law in (single, double)]
    better = distances[1] < 0.7 * distances[0] and distances[0] > 0.03
    return FittedLengths(double, distances[1]) if better else FittedLengths(single, distances[0])


def _lognormal(mu: float, sigma: float, longest: int | None) -> Lognormal:
    sigma = min(max(sigma, 1e-3), Z99 * 0.99)
    mean, p99 = math.exp(mu + sigma**2 / 2), math.exp(mu + Z99 * sigma)
    return Lognormal(distribution="lognormal", mean=_short(mean), p99=_short(max(p99, mean * 1.0005)), max=longest)


def _mixture(values: Counts, logs: Floats, weights: Floats) -> Mixture:
    """Two lognormals by expectation and maximisation, each token count a cell of width 1."""
    cut = float(np.interp(0.5, np.cumsum(weights), logs))
    spread = max(0.1, float(np.sqrt(weights @ (logs - weights @ logs) ** 2)))
    parts = [(0.5, cut - spread / 2, spread), (0.5, cut + spread / 2, spread)]
    bounds = np.log(np.stack([np.maximum(values - 0.5, 0.5), values + 0.5]))
    for _ in range(200):
        inside = [np.diff(standard_normal_cdf((bounds - mu) / sd), axis=0)[0] for _, mu, sd in parts]
        cells = np.stack([part[0] * shares for part, shares in zip(parts, inside, strict=True)])
        owned = weights * (cells + 1e-300) / (cells + 1e-300).sum(axis=0)
        updated = []
        for part in owned:
            share = float(part.sum())
            mu = float(part @ logs) / share
            updated.append((share, mu, max(0.02, math.sqrt(float(part @ (logs - mu) ** 2) / share))))
        parts = updated
    longest = int(values[-1])
    components = [
        Component(weight=_short(max(share, 1e-6)), tokens=_lognormal(mu, sd, None)) for share, mu, sd in parts
    ]
    return Mixture(distribution="mixture", components=components, max=longest)


def _distance(law: Lengths, values: Counts, weights: Floats) -> float:
    """Kolmogorov-Smirnov distance between the law and the frequencies."""
    shares = share_up_to(law, values.astype(np.float64))
    return float(np.abs(shares - np.cumsum(weights)).max())


# ---------------------------------------------------------------- text


def _short(value: float) -> float:
    """Four significant digits: a fit knows no more."""
    return float(f"{value:.4g}")


def _plain(spec: Any) -> Any:
    return spec.model_dump(exclude_none=True, exclude_defaults=False)


def flow(value: Any) -> str:
    """Plain data as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and "e" in repr(value):
        return f"{value:.12f}".rstrip("0")
    return str(value)
