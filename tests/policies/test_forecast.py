"""Forecasts against series whose future is known, tables by hand, and statsmodels' own."""

import math
import warnings

import numpy as np
import pytest

from infersim.policies.autoscaling import Facts, Reading, View
from infersim.policies.autoscaling.forecast import HoltWinters, Seasonal, Smoothing, fitted

BIN_S = 60.0
FACTS = Facts(interval_s=60.0, cold_start_s=120.0)


def follow(policy, series: list[float]) -> list[float]:  # type: ignore[no-untyped-def]
    """What is desired, with one reading at the beginning of each bin."""
    return [
        policy.desired(View(k * BIN_S, 1, readings=[Reading(k * BIN_S, 1, running=value)], facts=FACTS))  # type: ignore[arg-type]
        for k, value in enumerate(series)
    ]


def waves(bins: int, period: int = 12) -> list[float]:
    return [round(40 + 30 * math.sin(2 * math.pi * k / period)) for k in range(bins)]


def test_seasonal_sees_the_next_wave() -> None:
    """Twelve bins a season; a replica takes 120 s and the next decision 60: three bins ahead.

    In the first two seasons it goes by the present, then by the larger of now and three bins later.
    """
    series = waves(60)
    found = follow(Seasonal(10, None, BIN_S, BIN_S, 12 * BIN_S), series)
    assert found[:24] == [value / 10 for value in series[:24]]
    for k in range(36, 57):
        assert found[k] == pytest.approx(max(series[k], series[k + 3]) / 10, rel=0.03), k


def test_seasonal_follows_the_level() -> None:
    """The same waves on ground that rises once by 50: after five bins the level is that of today."""
    series = waves(36) + [value + 50 for value in waves(12)]
    found = follow(Seasonal(10, None, BIN_S, 1e9, 12 * BIN_S), series)
    for k in range(42, 45):
        assert found[k] == pytest.approx(max(series[k], series[k + 3]) / 10, rel=0.03), k


def test_smoothing_by_hand() -> None:
    """alpha 0.5, beta 0.4, phi 0.5; level 10, trend 4; the next bin is 15.

    Coasted 10 + 2 = 12; level (15 + 12) / 2 = 13.5; trend 0.4 x 3.5 + 0.6 x 2 = 2.6. Two ahead: 13.5 + (0.5 + 0.25) x 2.6.
    """
    state = Smoothing((0.5, 0.4, 0.0, 0.5), 10.0, 4.0, [])
    assert state.forecast(1) == 12
    state.follow(15)
    assert (state.level, state.trend) == (13.5, pytest.approx(2.6))
    assert state.forecast(2) == pytest.approx(13.5 + 0.75 * 2.6)


def test_seasons_by_hand() -> None:
    """alpha 0.5, gamma 0.2, no trend; level 10, indices +4, -4; the next bin is 16.

    Level (16 - 4 + 10) / 2 = 11; its index 0.2 x (16 - 10) + 0.8 x 4 = 4.4. Then 11 - 4, 11 + 4.4, 11 - 4.
    """
    state = Smoothing((0.5, 0.0, 0.2, 1.0), 10.0, 0.0, [4.0, -4.0])
    state.follow(16)
    assert [state.forecast(bins) for bins in (1, 2, 3)] == [7, pytest.approx(15.4), 7]


@pytest.mark.parametrize("period", [0, 6])
def test_it_forecasts_as_statsmodels_does(period: int) -> None:
    """The state that is carried on from a fit, one to five bins ahead.

    At a whole season ahead statsmodels repeats an index from before its last update, where the textbook has the one after.
    """
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    rng = np.random.default_rng(1)
    series = 50 + 0.5 * np.arange(48) + 10 * np.sin(np.arange(48) * math.pi / 3) + rng.normal(0, 1, 48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = ExponentialSmoothing(
            series, trend="add", damped_trend=True, seasonal="add" if period else None, seasonal_periods=period or None,
            initialization_method="heuristic" if period else "estimated",
        ).fit()  # fmt: skip
    state = fitted(series.tolist(), period)
    assert [state.forecast(bins) for bins in range(1, 6)] == pytest.approx(reference.forecast(5).tolist(), rel=1e-6)


def test_holt_winters_runs_ahead_of_a_rise() -> None:
    """Two more in flight every minute: three minutes ahead there are nearly six more than now."""
    series = [10.0 + 2 * k for k in range(40)]
    found = follow(HoltWinters(1, None, BIN_S, 600.0, None), series)
    assert found[:10] == series[:10], "ten bins are what it wants to have seen"
    for k in range(25, 40):
        assert series[k] + 3 < found[k] <= series[k] + 6.5, k
