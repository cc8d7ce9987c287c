"""Length distributions against their definitions: moments, percentiles, frequencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from infersim.spec.lengths import Constant, Empirical, Lengths, Lognormal
from infersim.workload.lengths import (
    length_blocks,
    lognormal_parameters,
    partner_blocks,
    share_up_to,
    standard_normal_cdf,
)
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


# ---------------------------------------------------------------- the other laws

SPEC = TypeAdapter(Lengths)


def law(distribution: str, **keys):
    return SPEC.validate_python({"distribution": distribution, **keys})


def fits_table(tokens: np.ndarray, values: np.ndarray, shares: np.ndarray) -> None:
    """The frequencies of whole numbers are those expected; rare ones are put together."""
    seen = np.array([np.sum(tokens == value) for value in values])
    assert seen.sum() == tokens.size
    often = shares * tokens.size > 20
    expected = np.append(shares[often], shares[~often].sum()) * tokens.size
    counts = np.append(seen[often], seen[~often].sum())
    kept = expected > 0
    assert stats.chisquare(counts[kept], expected[kept] * counts.sum() / expected[kept].sum()).pvalue > 1e-3


def test_uniform():
    fits_table(draw(law("uniform", min=3, max=12), 50_000), np.arange(3, 13), np.full(10, 0.1))
    assert np.all(draw(law("uniform", min=7, max=7), 100) == 7)


@pytest.mark.parametrize("exponent", [0.0, 1.1, 2.5])
def test_zipf(exponent):
    """Exponent 1.1 is that of BurstGPT's generator."""
    values = np.arange(1, 201)
    shares = values**-exponent / (values**-exponent).sum()
    fits_table(draw(law("zipf", exponent=exponent, max=200), 100_000), values, shares)


def test_pareto_tail():
    count = 200_000
    tokens = draw(law("pareto", min=100.0, exponent=1.5, max=100_000), count)
    assert tokens.min() >= 100
    assert tokens.max() == 100_000
    for value in (200, 1000, 10_000):
        share = (100 / (value + 0.5)) ** 1.5
        assert np.mean(tokens > value) == pytest.approx(share, abs=4 * math.sqrt(share / count))


MIXTURE = [
    {"weight": 3.0, "tokens": {"distribution": "lognormal", "mean": 40.0, "p99": 120.0}},
    {"weight": 1.0, "tokens": {"distribution": "lognormal", "mean": 20_000.0, "p99": 60_000.0}},
    {"weight": 1.0, "tokens": {"distribution": "empirical", "values": [7, 900]}},
]


def test_a_mixture_is_the_weighted_sum_of_its_parts():
    count = 200_000
    tokens = draw(law("mixture", components=MIXTURE), count)
    parts = [stats.lognorm(sigma, scale=math.exp(mu)) for mu, sigma in
             (lognormal_parameters(40.0, 120.0), lognormal_parameters(20_000.0, 60_000.0))]  # fmt: skip
    for point in (5, 7, 20, 40, 100, 899, 900, 5000, 20_000, 60_000):
        share = (
            0.6 * parts[0].cdf(point + 0.5)
            + 0.2 * parts[1].cdf(point + 0.5)
            + 0.1 * (point >= 7)
            + 0.1 * (point >= 900)
        )
        assert np.mean(tokens <= point) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / count) + 1e-3)
    mean = 0.6 * 40 + 0.2 * 20_000 + 0.2 * 453.5
    assert tokens.mean() == pytest.approx(mean, rel=0.02)
    assert draw(law("mixture", components=MIXTURE, max=500), 1000).max() == 500


@pytest.mark.parametrize(
    "given",
    [
        law("lognormal", mean=211.0, p99=601.0, max=700),
        law("pareto", min=10.0, exponent=2.0),
        law("zipf", exponent=1.1, max=500),
        law("uniform", min=5, max=400),
        law("constant", value=50),
        law("empirical", values=[3, 50, 700], weights=[1.0, 2.0, 1.0]),
    ],
)
def test_the_distribution_function_of_a_law_is_that_of_its_draws(given):
    points = np.array([1.0, 3, 10, 49, 50, 200, 699, 700, 5000])
    tokens = draw(given, 100_000)
    seen = np.array([np.mean(tokens <= point) for point in points])
    assert np.abs(share_up_to(given, points) - seen).max() < 0.01


def test_the_table_of_the_normal_distribution():
    scores = np.random.default_rng(1).uniform(-9, 9, 10_000)
    assert np.abs(standard_normal_cdf(scores) - stats.norm.cdf(scores)).max() < 1e-7
    assert standard_normal_cdf(np.array([50.0]))[0] < 1


def test_empirical_from_a_trace(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(f"2023-11-16 18:00:0{k}.0000000,{10 if k < 3 else 20},{k}\n" for k in range(4))
    )
    prompts = law("empirical", file="rows.csv", column="input_tokens")
    tokens = Feed(length_blocks(prompts, 1, "tokens", tmp_path)).take(40_000)
    assert np.mean(tokens == 10) == pytest.approx(0.75, abs=0.01)
    outputs = law("empirical", file="rows.csv", column="output_tokens")
    fits_table(Feed(length_blocks(outputs, 1, "tokens", tmp_path)).take(30_000), np.arange(1, 4), np.full(3, 1 / 3))


@pytest.mark.parametrize("correlation", [-0.7, 0.3, 0.9])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (law("lognormal", mean=1155.0, p99=4142.0), law("lognormal", mean=211.0, p99=601.0)),
        (law("uniform", min=1, max=10**9), law("mixture", components=MIXTURE[:2])),
        (law("pareto", min=1e6, exponent=1.2, max=10**12), law("lognormal", mean=1e9, p99=5e9)),
    ],
)
def test_prompts_and_outputs_have_the_stated_rank_correlation_and_their_own_laws(first, second, correlation):
    count = 100_000
    inputs = Feed(partner_blocks(first, 1, "in")).take(count)
    outputs = Feed(length_blocks(second, 1, "out", None, "in", correlation)).take(count)
    assert stats.spearmanr(inputs, outputs).statistic == pytest.approx(correlation, abs=0.01)
    alone = Feed(length_blocks(second, 2, "out")).take(count)
    assert stats.ks_2samp(outputs, alone).pvalue > 1e-3


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"distribution": "uniform", "min": 5, "max": 4}, "at least min 5"),
        ({"distribution": "pareto", "min": 5.0, "exponent": 1.0}, "has no end"),
        ({"distribution": "empirical"}, "give values, or a file"),
        ({"distribution": "empirical", "file": "x.csv"}, "input_tokens or output_tokens"),
        ({"distribution": "empirical", "values": [1], "column": "input_tokens"}, "goes with file only"),
        ({"distribution": "empirical", "values": [1], "weights": [1.0, 2.0]}, "for 1 values"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        SPEC.validate_python(keys)
