"""Length distributions against their definitions: moments, percentiles, frequencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infersim.spec.lengths import Constant, Empirical, Lognormal
from infersim.workload.lengths import length_blocks, lognormal_parameters
from infersim.workload.streams import Feed


def draw(lengths: Constant | Lognormal | Empirical, count: int, seed: int = 1) -> np.ndarray:
    tokens = Feed(length_blocks(lengths, seed, "tokens")).take(count)
    assert tokens.dtype == np.int64
    assert tokens.size == count
    return tokens


def test_constant():
    assert np.all(draw(Constant(distribution="constant", value=17), 40_000) == 17)


@given(mean=st.floats(1e-3, 1e9), ratio=st.floats(1.0001, 14.96))
def test_lognormal_parameters_solve_for_mean_and_p99_with_the_smaller_sigma(mean, ratio):
    mu, sigma = lognormal_parameters(mean, mean * ratio)
    law = stats.lognorm(sigma, scale=math.exp(mu))
    assert law.mean() == pytest.approx(mean, rel=1e-9)
    assert law.ppf(0.99) == pytest.approx(mean * ratio, rel=1e-6)
    assert 0 < sigma <= stats.norm.ppf(0.99) * (1 + 1e-12)


@pytest.mark.parametrize(("mean", "p99"), [(100.0, 100.0), (100.0, 90.0), (100.0, 1498.0)])
def test_no_lognormal_has_such_a_p99(mean, p99):
    with pytest.raises(ValueError, match="p99 must be above the mean"):
        lognormal_parameters(mean, p99)


@pytest.mark.parametrize(("mean", "p99"), [(1155.0, 4142.0), (211.0, 601.0), (2048.0, 7436.0), (500.0, 550.0)])
def test_lognormal_draws_have_the_mean_the_p99_and_the_law(mean, p99):
    count = 200_000
    tokens = draw(Lognormal(distribution="lognormal", mean=mean, p99=p99), count)
    mu, sigma = lognormal_parameters(mean, p99)
    law = stats.lognorm(sigma, scale=math.exp(mu))
    assert tokens.mean() == pytest.approx(mean, abs=4 * law.std() / math.sqrt(count))
    # standard error of a sample quantile: sqrt(p (1 - p) / n) over the density there
    assert np.quantile(tokens, 0.99) == pytest.approx(p99, abs=4 * math.sqrt(0.0099 / count) / law.pdf(p99) + 0.5)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, count)  # undo the rounding
    assert stats.kstest(tokens + spread, law.cdf).pvalue > 1e-3


def test_lognormal_is_at_least_one_and_cut_at_the_longest():
    tokens = draw(Lognormal(distribution="lognormal", mean=2.0, p99=20.0, max=6), 50_000)
    assert tokens.min() == 1
    assert tokens.max() == 6
    mu, sigma = lognormal_parameters(2.0, 20.0)
    law = stats.lognorm(sigma, scale=math.exp(mu))
    for value, share in ((1, law.cdf(1.5)), (3, law.cdf(3.5) - law.cdf(2.5)), (6, law.sf(5.5))):
        assert np.mean(tokens == value) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 50_000))


def test_absurd_lognormal_lengths_stay_whole_positive_numbers():
    tokens = draw(Lognormal(distribution="lognormal", mean=1e300, p99=2e300), 1000)
    assert np.all(tokens == 2**53)
    assert np.all(draw(Lognormal(distribution="lognormal", mean=1e-9, p99=1e-8), 1000) == 1)


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.0, 0.5, 0.0], [0.0, 1e-3, 0.0, 3e-3, 0.0]])
def test_empirical_frequencies(weights):
    values, count = [10, 20, 30, 40, 50], 100_000
    tokens = draw(Empirical(distribution="empirical", values=values, weights=weights), count)
    shares = np.array(weights or [1.0] * 5) / sum(weights or [1.0] * 5)
    seen = np.array([np.sum(tokens == value) for value in values])
    assert seen.sum() == count
    assert np.all(seen[shares == 0] == 0)
    assert stats.chisquare(seen[shares > 0], shares[shares > 0] * count).pvalue > 1e-3


def test_empirical_of_one_value_and_of_repeated_values():
    assert np.all(draw(Empirical(distribution="empirical", values=[9]), 100) == 9)
    tokens = draw(Empirical(distribution="empirical", values=[1, 1, 1, 2]), 40_000)
    assert np.mean(tokens == 1) == pytest.approx(0.75, abs=0.01)
