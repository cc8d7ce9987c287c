"""How many tokens a request has: every length distribution, drawn by its quantiles.

A law maps uniform numbers, or normal scores, to int64 tokens of at least 1; drawing is an endless generator of blocks.
Because a law is a quantile function, a stated rank correlation of prompt and output is a matter of the scores alone.
Not here: lengths that a trace brings (`replay.py`) and whether a model's context holds them. Read `generate.py` next.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infersim.spec.lengths import Constant, Empirical, Lengths, Lognormal, Mixture, Pareto, Uniform, Zipf
from infersim.workload.streams import BLOCK, stream

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]

NORMAL = NormalDist()
Z99 = NORMAL.inv_cdf(0.99)
"""99th percentile of the standard normal distribution."""

LONGEST = 2**53
"""Longest drawn length [tokens]: beyond, a float does not hold every whole number."""

_GRID = 1 << 14
"""Points of a tabulated quantile function."""


class Law(NamedTuple):
    """A distribution as a quantile function."""

    of_scores: bool
    """Whether it takes standard normal scores; else uniform numbers in [0, 1)."""
    tokens: Callable[[Floats], Tokens]


def length_blocks(
    lengths: Lengths,
    seed: int,
    name: str,
    directory: Path | None = None,
    paired_with: str | None = None,
    correlation: float = 0.0,
) -> Iterator[Tokens]:
    """Token counts for ever, drawn from the stream called `name`.

    With a rank correlation (Spearman) to the lengths drawn from the stream `paired_with`, their scores follow a
    Gaussian copula: its correlation is 2 sin(pi r / 6) (Kruskal 1958). The partner's scores are drawn again from its
    stream, so neither knows of the other, and the partner's lengths are the same with and without a correlation.
    """
    law = law_of(lengths, directory)
    rng = stream(seed, name)
    if paired_with is None or correlation == 0:
        draw = rng.standard_normal if law.of_scores else rng.random
        return (law.tokens(draw(BLOCK)) for _ in iter(int, 1))
    scores = _copula(correlation, rng, stream(seed, paired_with))
    return (law.tokens(block if law.of_scores else standard_normal_cdf(block)) for block in scores)


def partner_blocks(lengths: Lengths, seed: int, name: str, directory: Path | None = None) -> Iterator[Tokens]:
    """As `length_blocks`, drawn from normal scores whatever the law, so that another length can be paired with it."""
    law, rng = law_of(lengths, directory), stream(seed, name)
    while True:
        scores = rng.standard_normal(BLOCK)
        yield law.tokens(scores if law.of_scores else standard_normal_cdf(scores))


def _copula(rank_correlation: float, rng: np.random.Generator, partner: np.random.Generator) -> Iterator[Floats]:
    """Normal scores with this rank correlation to those of the partner."""
    linear = 2 * math.sin(math.pi * rank_correlation / 6)
    while True:
        yield linear * partner.standard_normal(BLOCK) + math.sqrt(1 - linear**2) * rng.standard_normal(BLOCK)


def law_of(lengths: Lengths, directory: Path | None = None) -> Law:
    """The quantile function of a distribution; reads the file of an empirical one (TraceError)."""
    match lengths:
        case Constant():
            return Law(False, lambda uniform: np.full(uniform.size, lengths.value, np.int64))
        case Uniform():
            span = lengths.max - lengths.min + 1
            return Law(
                False, lambda uniform: lengths.min + np.floor(uniform * span).clip(max=span - 1).astype(np.int64)
            )
        case Lognormal():
            return _lognormal(lengths)
        case Pareto():
            return Law(False, lambda uniform: whole(pareto_quantile(lengths, uniform), lengths.max))
        case Zipf():
            return table_law(np.arange(1, lengths.max + 1), np.arange(1.0, lengths.max + 1) ** -lengths.exponent)
        case Mixture():
            return _mixture(lengths, directory)
        case Empirical():
            return table_law(*empirical_table(lengths, directory))


def whole(draws: Floats, longest: int | None) -> Tokens:
    """Rounded to whole tokens, cut to 1 ... longest."""
    return np.clip(np.rint(draws), 1, min(longest or LONGEST, LONGEST)).astype(np.int64)


def _lognormal(lengths: Lognormal) -> Law:
    """Mean and percentile are those before rounding and cutting; a `max` within the tail lowers the mean."""
    mu, sigma = lognormal_parameters(lengths.mean, lengths.p99)
    return Law(True, lambda scores: whole(np.exp(mu + sigma * scores), lengths.max))


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


def pareto_quantile(lengths: Pareto, uniform: Floats) -> Floats:
    """min / (1 - u)^(1/exponent)."""
    with np.errstate(over="ignore", divide="ignore"):
        return lengths.min * (1 - uniform) ** (-1 / lengths.exponent)


# ---------------------------------------------------------------- tables


def empirical_table(lengths: Empirical, directory: Path | None) -> tuple[Tokens, Floats]:
    """Values and weights."""
    if lengths.file is not None and lengths.column is not None:
        from infersim.workload.formats import length_table

        return length_table(lengths.file, lengths.column, directory)
    values = np.asarray(lengths.values, np.int64)
    return values, np.ones(values.size) if lengths.weights is None else np.asarray(lengths.weights, np.float64)


def table_law(values: Tokens, weights: Floats) -> Law:
    """Values in proportion to their weights; sorted, so that a high quantile is a long request."""
    order = np.argsort(values, kind="stable")
    order = order[weights[order] > 0]
    table, shares = values[order].astype(np.int64), np.cumsum(weights[order])
    shares /= shares[-1]
    return Law(False, lambda uniform: table[np.searchsorted(shares, uniform, side="right").clip(max=table.size - 1)])


def _mixture(lengths: Mixture, directory: Path | None) -> Law:
    """The inverse of the weighted sum of the parts' distribution functions, tabulated where tokens are whole.

    Between 1 and about 10,000 tokens every whole number is a point of the table; above, points are 0.1 % apart at most.
    """
    laws = [(part.weight, part.tokens) for part in lengths.components]
    total = sum(weight for weight, _ in laws)
    longest = min(lengths.max or LONGEST, LONGEST)
    top = max(_reach(part, directory) for _, part in laws)
    points = np.unique(np.rint(np.concatenate([np.arange(1.0, 10_001.0), np.geomspace(1e4, max(top, 1e4), _GRID)])))
    below = sum(weight / total * share_up_to(part, points, directory) for weight, part in laws)
    table, shares = points.clip(1, longest).astype(np.int64), np.asarray(below) / np.asarray(below)[-1]
    return Law(False, lambda uniform: table[np.searchsorted(shares, uniform, side="right").clip(max=table.size - 1)])


def _reach(lengths: Lengths, directory: Path | None) -> float:
    """The longest draw worth a place in a table: its quantile of 1 - 1e-12."""
    law = law_of(lengths, directory)
    share = 1 - 1e-12
    return float(law.tokens(np.array([NORMAL.inv_cdf(share) if law.of_scores else share]))[0])


def share_up_to(lengths: Lengths, points: Floats, directory: Path | None = None) -> Floats:
    """Probability of at most each number of tokens (whole ones), after rounding and cutting."""
    law = law_of(lengths, directory)
    if isinstance(lengths, Lognormal):
        mu, sigma = lognormal_parameters(lengths.mean, lengths.p99)
        shares = standard_normal_cdf((np.log(points + 0.5) - mu) / sigma)
        return np.where(points >= (lengths.max or np.inf), 1.0, shares)
    if isinstance(lengths, Pareto):
        with np.errstate(divide="ignore"):
            shares = 1 - np.minimum(1, (lengths.min / (points + 0.5)) ** lengths.exponent)
        return np.where(points >= (lengths.max or np.inf), 1.0, shares)
    # A law on whole numbers: the share up to a point is where its quantile function passes the point.
    least, most = np.zeros(points.size), np.ones(points.size)
    for _ in range(50):
        middle = (least + most) / 2
        above = law.tokens(middle) > points
        least, most = np.where(above, least, middle), np.where(above, middle, most)
    return np.where(law.tokens(np.full(1, 1 - 1e-16))[0] <= points, 1.0, most)


def standard_normal_cdf(scores: Floats) -> Floats:
    """Phi by a table of 2^14 points with straight lines between: within 2e-8 of the function, and below 1."""
    return np.interp(scores, _SCORES, _SHARES)


_SCORES = np.linspace(-9.0, 9.0, _GRID)
_SHARES = np.minimum([NORMAL.cdf(score) for score in _SCORES.tolist()], 1 - 2**-53)
