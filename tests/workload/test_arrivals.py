"""Arrival processes against renewal theory and the theory of Markov-modulated Poisson processes."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, stats

from infersim.spec.arrivals import Clients, Gamma, Mmpp, Poisson, Weibull
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.modulated import mmpp
from infersim.workload.renewal import gamma, poisson
from tests.workload.counts import bin_counts, dispersion, joined


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64DXSM(seed))


# ---------------------------------------------------------------- renewal


def test_poisson_gaps_are_exponential_and_counts_have_dispersion_one():
    rate, horizon = 7.0, 20_000.0
    times = joined(poisson(rate, horizon, rng(1)))
    gaps = np.diff(times)
    assert stats.kstest(gaps * rate, "expon").pvalue > 1e-3
    assert times.size == pytest.approx(rate * horizon, abs=4 * np.sqrt(rate * horizon))
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / np.sqrt(gaps.size)
    for window in (1.0, 10.0):
        tolerance = 4 * np.sqrt(2 * window / horizon)
        assert dispersion(times, window, horizon) == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("cv", [0.3, 0.5, 1.0, 1.5, 2.0])
def test_gamma_gaps_have_shape_one_over_cv_squared(cv):
    rate, horizon = 3.0, 20_000.0
    gaps = np.diff(joined(gamma(rate, cv, horizon, rng(2))))
    law = stats.gamma(1 / cv**2, scale=cv**2 / rate)
    assert stats.kstest(gaps, law.cdf).pvalue > 1e-3
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / np.sqrt(gaps.size)


@pytest.mark.parametrize("cv", [0.5, 2.0, 4.0])
def test_gamma_counts_tend_to_dispersion_cv_squared(cv):
    """A renewal process has no memory between gaps: the index of dispersion of long windows is cv^2."""
    rate, horizon, window = 10.0, 400_000.0, 200.0
    times = joined(gamma(rate, cv, horizon, rng(3)))
    assert dispersion(times, window, horizon) == pytest.approx(cv**2, rel=4 * np.sqrt(2 * window / horizon) + 0.01)


@pytest.mark.parametrize("cv", [0.5, 3.0])
def test_gamma_starts_in_equilibrium(cv):
    """The first arrival has the density (1 - F)/mean of a residual life, and so E[N(t)] = rate t from the start."""
    rate, horizon, runs = 2.0, 5.0, 3000
    paths = [joined(gamma(rate, cv, horizon, rng(seed))) for seed in range(runs)]
    counts = np.array([path.size for path in paths])
    assert counts.mean() == pytest.approx(rate * horizon, abs=4 * counts.std() / np.sqrt(runs))
    law = stats.gamma(1 / cv**2, scale=cv**2 / rate)
    first = np.sort([path[0] if path.size else horizon for path in paths])
    for at in (0.02, 0.1, 0.5, 2.0):
        residual = integrate.quad(law.sf, 0, at, limit=200)[0] * rate
        assert np.mean(first <= at) == pytest.approx(residual, abs=4 * np.sqrt(residual * (1 - residual) / runs) + 1e-3)


@pytest.mark.parametrize("cv", [1e-9, 1e-200, 1e9, 1e200])
def test_a_cv_beyond_double_precision_is_refused(cv):
    with pytest.raises(ValueError, match="cv"):
        joined(gamma(1.0, cv, 10.0, rng(0)))


# ---------------------------------------------------------------- Markov-modulated


def two_state_dispersion(rates: list[float], sojourns: list[float], window: float) -> float:
    """Fischer and Meier-Hellstern, The MMPP cookbook (1993): variance over mean of the counts of a two-state MMPP."""
    leave = [1 / sojourn for sojourn in sojourns]
    speed = sum(leave)
    share = [leave[1] / speed, leave[0] / speed]
    mean = share[0] * rates[0] + share[1] * rates[1]
    excess = 2 * share[0] * share[1] * (rates[0] - rates[1]) ** 2 / (mean * speed)
    return 1 + excess * (1 - (1 - np.exp(-speed * window)) / (speed * window))


def cyclic_dispersion(rates: list[float], sojourns: list[float], window: float) -> float:
    """The same for any number of states, by integrating the covariance of the rate with the generator's exponential."""
    states = len(rates)
    generator = np.zeros((states, states))
    for state, sojourn in enumerate(sojourns):
        generator[state, state] -= 1 / sojourn
        generator[state, (state + 1) % states] += 1 / sojourn
    share, rate = np.array(sojourns) / sum(sojourns), np.array(rates)
    mean = share @ rate

    def covariance(lag: float) -> float:
        return (share * rate) @ linalg.expm(generator * lag) @ rate - mean**2

    area = integrate.quad(lambda lag: (window - lag) * covariance(lag), 0, window, limit=200)[0]
    return 1 + 2 * area / (mean * window)


@pytest.mark.parametrize("window", [0.5, 2.0, 10.0, 60.0])
def test_two_state_mmpp_has_the_closed_form_dispersion(window):
    rates, sojourns, horizon = [2.0, 20.0], [6.0, 1.5], 400_000.0
    expected = two_state_dispersion(rates, sojourns, window)
    assert expected == pytest.approx(cyclic_dispersion(rates, sojourns, window), rel=1e-9)
    times = joined(mmpp(rates, sojourns, horizon, rng(4), rng(5)))
    assert times.size / horizon == pytest.approx(5.6, rel=0.01)  # (2 * 6 + 20 * 1.5) / 7.5
    tolerance = 4 * np.sqrt(2 * max(window, 2.0) / horizon)
    assert dispersion(times, window, horizon) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("window", [1.0, 10.0])
def test_three_state_mmpp_cycles_in_order(window):
    rates, sojourns, horizon = [0.0, 30.0, 5.0], [4.0, 1.0, 2.0], 400_000.0
    times = joined(mmpp(rates, sojourns, horizon, rng(6), rng(7)))
    assert times.size / horizon == pytest.approx(40 / 7, rel=0.01)
    expected = cyclic_dispersion(rates, sojourns, window)
    assert dispersion(times, window, horizon) == pytest.approx(expected, rel=4 * np.sqrt(2 * window / horizon))


def test_mmpp_off_times_are_exponential():
    """With a fast on state, a long gap is an off sojourn and the little that is left of the on state."""
    times = joined(mmpp([0.0, 5000.0], [5.0, 0.1], 20_000.0, rng(8), rng(9)))
    gaps = np.diff(times)
    off = gaps[gaps > 0.05] - 0.05
    assert off.size > 3000
    assert stats.kstest(off, stats.expon(scale=5.0).cdf).pvalue > 1e-3


def test_mmpp_of_equal_rates_is_poisson():
    times = joined(mmpp([4.0, 4.0, 4.0], [0.3, 2.0, 50.0], 20_000.0, rng(10), rng(11)))
    assert stats.kstest(np.diff(times) * 4.0, "expon").pvalue > 1e-3


def test_mmpp_starts_in_the_stationary_distribution_by_time():
    """Sojourns of 9 and 1: a run opens in the first state nine times in ten."""
    runs = 2000
    opened = np.array(
        [joined(mmpp([0.0, 1e4], [9.0, 1.0], 0.01, rng(seed), rng(seed + runs))).size > 0 for seed in range(runs)]
    )
    # on at 0 with probability 0.1, or switched on within 0.01 s with 0.9 * 0.01 / 9
    assert opened.mean() == pytest.approx(0.101, abs=4 * np.sqrt(0.1 * 0.9 / runs))


def test_rates_do_not_move_the_bursts():
    """States have their own stream: scaling the on rate leaves the on periods where they were."""
    slow, fast = (
        joined(arrival_blocks(Mmpp(process="mmpp", rates_rps=[0.0, on], mean_sojourn_s=[30.0, 10.0]), 2000.0, 3))
        for on in (50.0, 100.0)
    )
    busy_slow, busy_fast = (bin_counts(times, 5.0, 2000.0) > 20 for times in (slow, fast))
    assert np.mean(busy_slow == busy_fast) > 0.95


# ---------------------------------------------------------------- every process

PROCESSES = [
    Poisson(process="poisson", rate_rps=400.0),
    Gamma(process="gamma", rate_rps=400.0, cv=3.0),
    Gamma(process="gamma", rate_rps=400.0, cv=0.2),
    Mmpp(process="mmpp", rates_rps=[100.0, 1000.0], mean_sojourn_s=[2.0, 1.0]),
    Mmpp(process="mmpp", rates_rps=[0.0, 3000.0, 10.0], mean_sojourn_s=[0.02, 0.01, 0.03]),
    Mmpp(process="mmpp", rates_rps=[0.0, 500.0], mean_sojourn_s=[1e-3, 1e6]),
    Weibull(process="weibull", rate_rps=400.0, cv=2.9),
    Clients(process="clients", rate_rps=400.0, clients=40),
]
NAMES = ["poisson", "gamma3", "gamma0.2", "mmpp2", "mmpp3-short", "mmpp-long", "weibull", "clients"]


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_times_are_sorted_within_the_horizon_and_a_longer_run_only_adds(process):
    short, long = (joined(arrival_blocks(process, horizon, 5)) for horizon in (50.0, 130.0))
    assert short[0] >= 0
    assert short[-1] < 50.0
    assert np.all(np.diff(long) >= 0)
    assert long[-1] < 130.0
    assert short.tobytes() == long[: short.size].tobytes()
    assert long[short.size] >= 50.0


@pytest.mark.parametrize("process", PROCESSES, ids=NAMES)
def test_same_seed_same_bytes_other_seed_other_times(process):
    first, again, other = (joined(arrival_blocks(process, 20.0, seed)) for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("process", PROCESSES[:4], ids=NAMES[:4])
def test_memory_is_flat_in_the_horizon(process):
    def peak(horizon: float) -> int:
        tracemalloc.start()
        for _ in arrival_blocks(process, horizon, 1):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100.0)
    assert peak(20_000.0) < 1.5 * peak(1000.0)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.floats(0, 1e4), min_size=2, max_size=6).filter(lambda rates: max(rates) > 0),
    seed=st.integers(0, 2**64),
    horizon=st.floats(1e-9, 3.0),
    data=st.data(),
)
def test_any_mmpp_stays_sorted_within_the_horizon(rates, seed, horizon, data):
    sojourns = data.draw(st.lists(st.floats(1e-3, 1e9), min_size=len(rates), max_size=len(rates)))
    times = joined(mmpp(rates, sojourns, horizon, rng(seed), rng(seed + 1)))
    assert np.all((times >= 0) & (times < horizon))
    assert np.all(np.diff(times) >= 0)
