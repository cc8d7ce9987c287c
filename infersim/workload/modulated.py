"""Poisson processes whose rate changes: by a Markov chain, by a series, by the hour, by a spike.

Each rate is a path of pieces (bounds [s], rates [requests/s]) and one function puts arrivals on any path, exactly.
Smooth rates are cut into pieces so short that the rate changes by less than a percent in one; each has its mean rate
there. Not here: independent gaps (`renewal.py`).
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.spec.arrivals import Diurnal, FlashCrowd, Ramp
from infersim.workload.renewal import Times, before, sums

Path = Iterator[tuple[Times, Times]]
"""Pieces of constant rate: bounds [s] (n + 1) and rates (n), each part beginning where the one before ended."""

SOJOURNS = 1024
"""Sojourns of a chain, or pieces of a smooth rate, made at a time."""


def mmpp(
    rates_rps: Sequence[float],
    mean_sojourn_s: Sequence[float],
    horizon_s: float,
    rng: np.random.Generator,
    states_rng: np.random.Generator,
    transitions: Sequence[Sequence[float]] | None = None,
) -> Iterator[Times]:
    """Markov-modulated Poisson arrivals: states with exponential sojourns, in a cycle or by a transition matrix.

    Starts in the stationary distribution by time (state i with probability proportional to its mean sojourn and how
    often it is visited; what is left of an exponential sojourn is exponential). States have a stream of their own:
    rates do not move the bursts.
    """
    rates, sojourns = np.asarray(rates_rps, np.float64), np.asarray(mean_sojourn_s, np.float64)
    shares = np.cumsum(sojourns * visits(rates.size, transitions))
    first = int(np.searchsorted(shares, states_rng.random() * shares[-1], side="right"))
    visited = _cycle(first, rates.size) if transitions is None else _jumps(first, transitions, states_rng)
    return at_rates(_sojourns(visited, rates, sojourns, horizon_s, states_rng), horizon_s, rng)


def visits(states: int, transitions: Sequence[Sequence[float]] | None) -> Times:
    """How often each state is visited, summing to 1: the stationary distribution of the jumps."""
    if transitions is None:
        return np.full(states, 1 / states)
    jumps = np.asarray(transitions, np.float64)
    equations = np.vstack([jumps.T - np.eye(states), np.ones(states)])
    return np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0].clip(0)


def _cycle(first: int, states: int) -> Iterator[NDArray[np.int64]]:
    """States in turn, whole cycles at a time."""
    order = (first + np.arange(states * max(1, SOJOURNS // states))) % states
    while True:
        yield order


def _jumps(first: int, transitions: Sequence[Sequence[float]], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """States as the transition matrix leads from one to the next."""
    rows = [np.cumsum(row).tolist() for row in transitions]
    state = first
    while True:
        order = np.empty(SOJOURNS, np.int64)
        for index, draw in enumerate(rng.random(SOJOURNS).tolist()):
            order[index] = state
            row = rows[state]
            state = min(bisect_right(row, draw * row[-1]), len(row) - 1)
        yield order


def _sojourns(
    visited: Iterator[NDArray[np.int64]], rates: Times, mean_sojourn: Times, horizon: float, rng: np.random.Generator
) -> Path:
    """The path of the chain through the visited states."""
    clock = 0.0
    while clock < horizon:
        order = next(visited)
        stays = rng.standard_exponential(order.size) * mean_sojourn[order]
        bounds = np.cumsum(np.concatenate(([clock], stays)))
        clock = float(bounds[-1])
        yield np.minimum(bounds, horizon), rates[order]


def at_rates(path: Path, horizon_s: float, rng: np.random.Generator) -> Iterator[Times]:
    """Poisson arrivals at a piecewise constant rate, by inverting the cumulative rate on a unit Poisson process.

    If L(t) is the integral of the rate, then L maps the arrivals onto a Poisson process of rate 1 (random time
    change); so arrivals are the unit process's points mapped back, exactly and without rejection.
    """
    return before(_mapped(path, rng), horizon_s)


def _mapped(path: Path, rng: np.random.Generator) -> Iterator[Times]:
    points = sums(rng.standard_exponential)
    waiting = next(points)
    reached = 0.0
    for bounds, rates in path:
        areas = np.cumsum(np.concatenate(([reached], rates * np.diff(bounds))))
        reached = float(areas[-1])
        while True:
            counts = np.diff(np.searchsorted(waiting, areas))
            piece = np.repeat(np.arange(rates.size), counts)
            inside, waiting = waiting[: piece.size], waiting[piece.size :]
            # the minimum keeps rounding from carrying an arrival past the end of its own piece
            yield np.minimum(bounds[piece] + (inside - areas[piece]) / rates[piece], bounds[piece + 1])
            if waiting.size:
                break
            waiting = next(points)


# ---------------------------------------------------------------- given rates


def steps(starts_s: Times, rates: Times, end_s: float | None, horizon_s: float, loop: bool = False) -> Path:
    """Rates that hold from each start to the next, the last to `end_s` (for ever if None); then nothing, or again."""
    bounds = np.append(starts_s, max(horizon_s, starts_s[-1]) if end_s is None else end_s)
    period, laps = float(bounds[-1]), 0
    while laps == 0 or (loop and laps * period < horizon_s):
        for first in range(0, rates.size, SOJOURNS):
            part = bounds[first : first + SOJOURNS + 1] + laps * period
            if part[0] >= horizon_s:
                return
            yield np.minimum(part, horizon_s), rates[first : first + SOJOURNS]
        laps += 1


def diurnal(spec: Diurnal, horizon_s: float) -> Path:
    """The mean rate times the exponential of the waves, scaled so that the mean over the longest period is as given."""
    periods = np.array([wave.period_h * 3600 for wave in spec.harmonics])
    cos, sin = (np.array([getattr(wave, key) for wave in spec.harmonics]) for key in ("cos", "sin"))

    def shape(times: Times) -> Times:
        angles = 2 * np.pi * times[:, None] / periods
        return np.exp(np.cos(angles) @ cos + np.sin(angles) @ sin)

    longest, width = float(periods.max()), float(periods.min()) / 4096
    count = 1 << 16
    mean = shape((np.arange(count, dtype=np.float64) + 0.5) * (longest / count)).mean()
    return _smooth(lambda times: shape(times + spec.start_h * 3600) * (spec.rate_rps / mean), 0.0, horizon_s, width)


def flash_crowd(spec: FlashCrowd, horizon_s: float) -> Path:
    """Base, straight rise, plateau, and a decay that is cut into 1/256 of its time constant."""
    excess, top = spec.peak_rps - spec.base_rps, spec.start_s + spec.rise_s
    fall = top + spec.hold_s
    yield from _piece(0.0, spec.start_s, spec.base_rps, horizon_s)
    yield from _straight(spec.start_s, spec.rise_s, spec.base_rps, spec.peak_rps, horizon_s)
    yield from _piece(top, fall, spec.peak_rps, horizon_s)
    width = spec.decay_s / 256
    # a piece's mean of the exponential, written without cancellation
    mean = -math.expm1(-width / spec.decay_s) * spec.decay_s / width

    def decay(times: Times) -> Times:
        return spec.base_rps + excess * np.exp(-(times - fall - width / 2) / spec.decay_s) * mean

    if fall < horizon_s:
        yield from _smooth(decay, fall, horizon_s, width)


def ramp(spec: Ramp, horizon_s: float) -> Path:
    """One rate, a straight line, the other rate."""
    yield from _piece(0.0, spec.start_s, spec.from_rps, horizon_s)
    yield from _straight(spec.start_s, spec.duration_s, spec.from_rps, spec.to_rps, horizon_s)
    yield from _piece(spec.start_s + spec.duration_s, horizon_s, spec.to_rps, horizon_s)


def _piece(start: float, end: float, rate: float, horizon: float) -> Path:
    if start < min(end, horizon):
        yield np.array([start, min(end, horizon)]), np.array([rate])


def _straight(start: float, duration: float, rate: float, final: float, horizon: float) -> Path:
    """A straight line in 1,024 pieces; the rate in the middle of a piece is its mean."""
    if duration > 0 and start < horizon:
        bounds = start + duration * np.linspace(0, 1, SOJOURNS + 1)
        rates = rate + (final - rate) * (np.arange(SOJOURNS) + 0.5) / SOJOURNS
        yield np.minimum(bounds, horizon), rates


def _smooth(rate: Callable[[Times], Times], start: float, horizon: float, width: float) -> Path:
    """A smooth rate, taken in the middle of pieces of one width."""
    first = 0
    while start + first * width < horizon:
        edges = start + np.arange(first, first + SOJOURNS + 1, dtype=np.float64) * width
        yield np.minimum(edges, horizon), rate(edges[:-1] + width / 2)
        first += SOJOURNS
