"""Renewal processes: independent gaps, equal or exponential or Gamma or Weibull.

Each is a generator of blocks of sorted times in [0, horizon) and starts in equilibrium: the run opens a window on
traffic that has gone on for ever, so that the mean rate holds from the first second (the constant one starts at 0).
Not here: rates that change with time (`modulated.py`).
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from infersim.spec.arrivals import LEAST_CV, MOST_CV
from infersim.workload.streams import BLOCK

Times = NDArray[np.float64]
Draw = Callable[[int], Times]
"""Draws that many gaps of mean 1."""


def constant(rate_rps: float, horizon_s: float, block: int = BLOCK) -> Iterator[Times]:
    """Arrivals at 0, 1/rate, 2/rate ..."""

    def counted() -> Iterator[Times]:
        first = 0
        while True:
            yield np.arange(first, first + block) / rate_rps
            first += block

    return before(counted(), horizon_s)


def poisson(rate_rps: float, horizon_s: float, rng: np.random.Generator, block: int = BLOCK) -> Iterator[Times]:
    """Independent arrivals: exponential gaps of mean 1/rate."""
    return before((units / rate_rps for units in sums(rng.standard_exponential, block=block)), horizon_s)


def gamma(
    rate_rps: float, cv: float, horizon_s: float, rng: np.random.Generator, block: int = BLOCK
) -> Iterator[Times]:
    """Gamma renewal arrivals: gaps of mean 1/rate and coefficient of variation cv (shape 1/cv^2, scale cv^2/rate)."""
    first, draw = gamma_gaps(cv, rng)
    return before((units / rate_rps for units in sums(draw, first, block)), horizon_s)


def weibull(
    rate_rps: float, cv: float, horizon_s: float, rng: np.random.Generator, block: int = BLOCK
) -> Iterator[Times]:
    """Weibull renewal arrivals: gaps of mean 1/rate and coefficient of variation cv."""
    first, draw = weibull_gaps(weibull_shape(cv), rng)
    return before((units / rate_rps for units in sums(draw, first, block)), horizon_s)


def gamma_gaps(cv: float, rng: np.random.Generator) -> tuple[float, Draw]:
    """Residual life of a gap and the draw of the following ones, Gamma of mean 1.

    The first arrival is a uniform part of a length-biased gap, which for a Gamma of shape k is a Gamma of shape k + 1
    (Cox, Renewal Theory, 1962, chapter 5). An ordinary gap there would bias the count by (cv^2 - 1)/2 requests.
    """
    if not LEAST_CV <= cv <= MOST_CV:
        raise ValueError(f"cv is {cv:g}; a renewal process needs a cv from {LEAST_CV:g} to {MOST_CV:g} (1 is Poisson)")
    shape = cv**-2
    first = rng.random() * rng.standard_gamma(shape + 1.0) / shape
    return first, lambda count: rng.standard_gamma(shape, count) / shape


def weibull_gaps(shape: float, rng: np.random.Generator) -> tuple[float, Draw]:
    """Residual life of a gap and the draw of the following ones, Weibull of mean 1.

    A Weibull is a power 1/shape of an exponential; biased by its length, that exponential is a Gamma of 1 + 1/shape.
    """
    unit = math.exp(-math.lgamma(1 + 1 / shape))
    first = rng.random() * unit * rng.standard_gamma(1 + 1 / shape) ** (1 / shape)
    return first, lambda count: unit * rng.standard_exponential(count) ** (1 / shape)


def weibull_cv(shape: float) -> float:
    """Coefficient of variation of a Weibull: sqrt(Gamma(1 + 2/k) / Gamma(1 + 1/k)^2 - 1)."""
    return math.sqrt(math.expm1(math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)))


def weibull_shape(cv: float) -> float:
    """The shape of this coefficient of variation, by bisection of its logarithm; ValueError outside the limits."""
    if not LEAST_CV <= cv <= MOST_CV:
        raise ValueError(f"cv is {cv:g}; a renewal process needs a cv from {LEAST_CV:g} to {MOST_CV:g} (1 is Poisson)")
    least, most = math.log(0.05), math.log(5e3)
    for _ in range(100):
        middle = (least + most) / 2
        least, most = (middle, most) if weibull_cv(math.exp(middle)) > cv else (least, middle)
    return math.exp((least + most) / 2)


def sums(draw: Draw, first: float | None = None, block: int = BLOCK) -> Iterator[Times]:
    """Running sums of drawn gaps, for ever; from `first` if given, else from the first gap."""
    reached = 0.0
    if first is not None:
        yield np.array([first])
        reached = first
    while True:
        gaps = draw(block)
        gaps[0] += reached
        np.cumsum(gaps, out=gaps)
        reached = gaps[-1]
        yield gaps


def before(blocks: Iterator[Times], horizon: float) -> Iterator[Times]:
    """The sorted blocks up to the first time at or after the horizon."""
    for block in blocks:
        kept = int(np.searchsorted(block, horizon))
        yield block[:kept]
        if kept < block.size:
            return
