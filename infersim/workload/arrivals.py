"""When requests arrive: Poisson, Gamma renewal and Markov-modulated Poisson processes.

Each process is a generator of blocks of sorted times in [0, horizon) and needs memory for a block, however long the
horizon. All start in equilibrium: the run opens a window on traffic that has gone on for ever, so the mean
rate holds from the first second. Not here: how long requests are (`lengths.py`) and recorded traffic (`azure.py`).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infersim.spec.scenario import Gamma, Mmpp, Poisson
from infersim.workload.streams import BLOCK, stream

Times = NDArray[np.float64]

SOJOURNS = 1024
"""Sojourns of a modulated process drawn at a time (about; a whole number of cycles)."""

CV_RANGE = (1e-3, 1e3)
"""Coefficients of variation that a Gamma process can draw; beyond, shape = 1/cv^2 leaves double precision."""


def arrival_blocks(process: Poisson | Gamma | Mmpp, horizon_s: float, seed: int) -> Iterator[Times]:
    """Sorted arrival times of a process in [0, horizon_s) [s], block after block (a block may be empty)."""
    gaps = stream(seed, "arrivals")
    if isinstance(process, Poisson):
        return poisson(process.rate_rps, horizon_s, gaps)
    if isinstance(process, Gamma):
        return gamma(process.rate_rps, process.cv, horizon_s, gaps)
    return mmpp(process.rates_rps, process.mean_sojourn_s, horizon_s, gaps, stream(seed, "arrivals.states"))


def poisson(rate_rps: float, horizon_s: float, rng: np.random.Generator) -> Iterator[Times]:
    """Independent arrivals: exponential gaps of mean 1/rate."""
    return _before((units / rate_rps for units in _sums(rng.standard_exponential)), horizon_s)


def gamma(rate_rps: float, cv: float, horizon_s: float, rng: np.random.Generator) -> Iterator[Times]:
    """Gamma renewal arrivals: gaps of mean 1/rate and coefficient of variation cv (shape 1/cv^2, scale cv^2/rate).

    The first arrival is the residual life of a gap: a uniform part of a length-biased gap, which for a Gamma of shape
    k is a Gamma of shape k + 1 (Cox, Renewal Theory, 1962, chapter 5). An ordinary gap there would bias the count
    by (cv^2 - 1)/2 requests.
    """
    least, most = CV_RANGE
    if not least <= cv <= most:
        raise ValueError(f"cv is {cv:g}; a Gamma process needs a cv from {least:g} to {most:g} (1 is Poisson)")
    shape = 1.0 / cv**2
    first = rng.random() * rng.standard_gamma(shape + 1.0)
    units = _sums(lambda count: rng.standard_gamma(shape, count), first)
    return _before((block / (shape * rate_rps) for block in units), horizon_s)


def mmpp(
    rates_rps: Sequence[float],
    mean_sojourn_s: Sequence[float],
    horizon_s: float,
    rng: np.random.Generator,
    states_rng: np.random.Generator,
) -> Iterator[Times]:
    """Markov-modulated Poisson arrivals that cycle through states with exponential sojourns.

    Starts in the stationary distribution by time (state i with probability proportional to its mean sojourn; what is
    left of an exponential sojourn is exponential). States have a stream of their own: rates do not move the bursts.
    """
    rates, sojourns = np.asarray(rates_rps, np.float64), np.asarray(mean_sojourn_s, np.float64)
    return _before(_at_rates(_sojourns(rates, sojourns, horizon_s, states_rng), rng), horizon_s)


def _sojourns(
    rates: Times, mean_sojourn: Times, horizon: float, rng: np.random.Generator
) -> Iterator[tuple[Times, Times]]:
    """The path of the modulating chain: bounds of sojourns [s] (n + 1, cut at the horizon) and their rates (n)."""
    states = rates.size
    shares = np.cumsum(mean_sojourn)
    first = int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))
    order = (first + np.arange(states * max(1, SOJOURNS // states))) % states
    clock = 0.0
    while clock < horizon:
        stays = rng.standard_exponential(order.size) * mean_sojourn[order]
        bounds = np.cumsum(np.concatenate(([clock], stays)))
        clock = float(bounds[-1])
        yield np.minimum(bounds, horizon), rates[order]


def _at_rates(pieces: Iterator[tuple[Times, Times]], rng: np.random.Generator) -> Iterator[Times]:
    """Poisson arrivals at a piecewise constant rate, by inverting the cumulative rate on a unit Poisson process.

    If L(t) is the integral of the rate, then L maps the arrivals onto a Poisson process of rate 1 (random time
    change); so arrivals are the unit process's points mapped back, exactly and without rejection.
    """
    points = _sums(rng.standard_exponential)
    waiting = next(points)
    reached = 0.0
    for bounds, rates in pieces:
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


def _sums(draw: Callable[[int], Times], first: float | None = None) -> Iterator[Times]:
    """Running sums of drawn gaps, for ever; from `first` if given, else from the first gap."""
    reached = 0.0
    if first is not None:
        yield np.array([first])
        reached = first
    while True:
        gaps = draw(BLOCK)
        gaps[0] += reached
        np.cumsum(gaps, out=gaps)
        reached = gaps[-1]
        yield gaps


def _before(blocks: Iterator[Times], horizon: float) -> Iterator[Times]:
    """The sorted blocks up to the first time at or after the horizon."""
    for block in blocks:
        kept = int(np.searchsorted(block, horizon))
        yield block[:kept]
        if kept < block.size:
            return
