"""Warm-up truncation and batch means against series whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from infersim.results.result import Result
from infersim.results.steady import batch_means, steady_state, t_quantile, warm_up
from tests.results.run_records import edited, large_run, small_run


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 19, 100])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_t_quantiles_are_scipys(freedom: int, level: float) -> None:
    assert t_quantile(level, freedom) == pytest.approx(stats.t.ppf(0.5 + level / 2, freedom), rel=1e-9)


def test_a_warm_up_is_found_where_it_was_put() -> None:
    """A first tenth that decays from ten times the noise; MSER-5 cuts near its end and not far behind it."""
    rng = np.random.default_rng(1)
    values = rng.normal(0.0, 1.0, 2000)
    values[:200] += np.linspace(10.0, 0.0, 200)
    assert 120 <= warm_up(values) <= 300
    assert warm_up(np.ones(500)) == 0
    assert warm_up(np.arange(9.0)) == 0


@given(st.lists(st.floats(-1e3, 1e3), max_size=80))
@settings(max_examples=200, deadline=None)
def test_mser_minimises_its_own_statistic(values: list[float]) -> None:
    """Against the definition, term by term."""
    series = np.array(values)
    cut = warm_up(series) // 5
    means = series[: len(series) // 5 * 5].reshape(-1, 5).mean(axis=1)
    if len(means) >= 2:
        scores = [means[d:].var() / (len(means) - d) for d in range(len(means) // 2 + 1)]
        assert scores[cut] <= min(scores) + 1e-7 * (1 + np.abs(means).max() ** 2)


def test_batch_means_cover_the_mean_of_a_correlated_series() -> None:
    """An AR(1) with correlation 0.5 and mean 2: an interval that took its values as independent would miss it too often."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        noise, values = rng.normal(size=4000), np.zeros(4000)
        for k in range(1, 4000):
            values[k] = 0.5 * values[k - 1] + noise[k]
        mean, half = batch_means(values + 2.0)
        hits += abs(mean - 2.0) <= half
    assert stats.binomtest(hits, 200, 0.95).pvalue > 0.001


def test_a_run() -> None:
    result = Result(large_run(3000))
    found = steady_state(result.requests)["tpot_s"]
    assert abs(found["mean"] - 0.03) <= 2 * found["half_width"]
    assert np.isnan(Result(small_run()).summary["steady_state"]["ttft_s"]["half_width"])
    assert np.isnan(Result(edited(small_run(), requests=0)).summary["steady_state"]["ttft_s"]["mean"])
