"""How many tokens a request has: constant, lognormal and empirical lengths.

Each distribution is an endless generator of blocks of int64 tokens, at least 1. Not here: lengths that a trace brings
(`azure.py`), and whether a model's context holds them (the data plane rejects what does not fit). Read `generate.py`
next.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from infersim.spec.scenario import Constant, Empirical, Lognormal
from infersim.workload.streams import BLOCK, stream

Tokens = NDArray[np.int64]

Z99 = NormalDist().inv_cdf(0.99)
"""99th percentile of the standard normal distribution."""

LONGEST = 2**53
"""Longest drawn length [tokens]: beyond, a float does not hold every whole number."""


def length_blocks(lengths: Constant | Lognormal | Empirical, seed: int, name: str) -> Iterator[Tokens]:
    """Token counts for ever, drawn from the stream called `name`."""
    rng = stream(seed, name)
    if isinstance(lengths, Constant):
        return constant(lengths.value)
    if isinstance(lengths, Lognormal):
        return lognormal(lengths.mean, lengths.p99, lengths.max, rng)
    return empirical(lengths.values, lengths.weights, rng)


def constant(value: int) -> Iterator[Tokens]:
    """The same token count for ever."""
    while True:
        yield np.full(BLOCK, value, np.int64)


def lognormal(mean: float, p99: float, longest: int | None, rng: np.random.Generator) -> Iterator[Tokens]:
    """Lognormal token counts with this mean and 99th percentile, rounded to whole tokens, cut to 1 ... longest.

    Mean and percentile are those before rounding and cutting; a `longest` within the tail lowers the mean.
    """
    mu, sigma = lognormal_parameters(mean, p99)
    most = min(longest or LONGEST, LONGEST)
    while True:
        draws = np.rint(np.exp(mu + sigma * rng.standard_normal(BLOCK)))
        yield np.clip(draws, 1, most).astype(np.int64)


def lognormal_parameters(mean: float, p99: float) -> tuple[float, float]:
    """mu and sigma of the lognormal with this mean and 99th percentile.

    ln mean = mu + sigma^2/2 and ln p99 = mu + z sigma give sigma^2/2 - z sigma + ln(p99/mean) = 0. Of the two roots
    the smaller is meant: the larger has sigma > z = 2.33, a median far under the mean and a tail to the millions.
    p99/mean is at most exp(z^2/2) = 14.97; ValueError beyond, or if p99 does not exceed the mean.
    """
    ratio = math.log(p99 / mean)
    if not 0 < ratio <= Z99**2 / 2:
        raise ValueError(
            f"no lognormal has mean {mean:g} and p99 {p99:g}: p99 must be above the mean and at most "
            f"{math.exp(Z99**2 / 2):.4g} x the mean"
        )
    # the smaller root, written without the cancellation of z - sqrt(z^2 - 2 ratio)
    sigma = 2 * ratio / (Z99 + math.sqrt(Z99**2 - 2 * ratio))
    return math.log(mean) - sigma**2 / 2, sigma


def empirical(values: list[int], weights: list[float] | None, rng: np.random.Generator) -> Iterator[Tokens]:
    """Token counts drawn with replacement from `values`, in proportion to `weights` (equal if None)."""
    table = np.asarray(values, np.int64)
    shares = np.cumsum(np.ones(table.size) if weights is None else np.asarray(weights, np.float64))
    shares /= shares[-1]
    while True:
        yield table[np.searchsorted(shares, rng.random(BLOCK), side="right")]
