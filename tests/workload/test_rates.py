"""Processes whose rate is known beforehand, superpositions, batches and client pools, by their counts."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, linalg, stats

from infersim.spec.arrivals import Arrivals
from infersim.workload.arrivals import arrival_blocks
from infersim.workload.clients import client_rates
from infersim.workload.merging import merged
from infersim.workload.modulated import mmpp, visits
from infersim.workload.renewal import weibull, weibull_shape
from infersim.workload.series import read_rates
from infersim.workload.servegen import read_clients
from infersim.workload.traces import TraceError
from tests.workload.counts import bin_counts, dispersion, joined

SPEC = TypeAdapter(Arrivals)


def process(**keys):
    return SPEC.validate_python(keys)


def times(horizon: float, seed: int = 1, directory=None, **keys) -> np.ndarray:
    found = joined(arrival_blocks(process(**keys), horizon, seed, directory))
    assert np.all(np.diff(found) >= 0)
    assert found.size == 0 or (found[0] >= 0 and found[-1] < horizon)
    return found


def poisson_counts_fit(found: np.ndarray, expected: np.ndarray, width: float) -> None:
    """Counts in bins are Poisson with the expected means: the chi-square of all bins is not extreme."""
    counts = bin_counts(found, width, width * expected.size)
    assert np.all(counts[expected == 0] == 0)
    busy = expected > 0
    score = (((counts - expected)[busy]) ** 2 / expected[busy]).sum()
    assert 1e-4 < stats.chi2(busy.sum()).cdf(score) < 1 - 1e-4


def area(rate, width: float, bins: int) -> np.ndarray:
    return np.array([integrate.quad(rate, k * width, (k + 1) * width, limit=200)[0] for k in range(bins)])


def test_constant_arrives_on_the_beat():
    assert np.array_equal(times(10.0, process="constant", rate_rps=4.0), np.arange(40) / 4)


@pytest.mark.parametrize("cv", [0.2, 1.0, 2.9])
def test_weibull_gaps(cv):
    rate, horizon = 3.0, 20_000.0
    found = joined(weibull(rate, cv, horizon, np.random.default_rng(1)))
    shape = weibull_shape(cv)
    law = stats.weibull_min(shape, scale=1 / (rate * stats.weibull_min(shape).mean()))
    assert law.std() / law.mean() == pytest.approx(cv, rel=1e-6)
    assert stats.kstest(np.diff(found), law.cdf).pvalue > 1e-3
    if cv == 2.9:
        assert shape == pytest.approx(0.42, abs=0.005)  # Azure code 2023, design/WORKLOADS.md section 1.1


@pytest.mark.parametrize("cv", [1e-3, 0.01, 1.0, 30.0, 1e3])
def test_weibull_shape_inverts_the_cv(cv):
    law = stats.weibull_min(weibull_shape(cv))
    assert law.std() / law.mean() == pytest.approx(cv, rel=1e-4)


def test_weibull_starts_in_equilibrium():
    rate, horizon, runs = 2.0, 5.0, 3000
    counts = np.array([joined(weibull(rate, 3.0, horizon, np.random.default_rng(seed))).size for seed in range(runs)])
    assert counts.mean() == pytest.approx(rate * horizon, abs=4 * counts.std() / np.sqrt(runs))


RATES, SOJOURNS = [0.0, 20.0, 5.0], [4.0, 1.0, 2.0]
JUMPS = [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.3, 0.7, 0.0]]


def test_mmpp_with_transitions_has_the_stationary_rate_and_the_dispersion_of_its_generator():
    generator = np.array(JUMPS) / np.array(SOJOURNS)[:, None] - np.diag(1 / np.array(SOJOURNS))
    share = linalg.null_space(generator.T)[:, 0]
    share /= share.sum()
    assert np.array(SOJOURNS) * visits(3, JUMPS) / (np.array(SOJOURNS) @ visits(3, JUMPS)) == pytest.approx(share)
    mean, rate, window, horizon = share @ RATES, np.array(RATES), 5.0, 400_000.0

    def covariance(lag: float) -> float:
        return (share * rate) @ linalg.expm(generator * lag) @ rate - mean**2

    expected = 1 + 2 * integrate.quad(lambda lag: (window - lag) * covariance(lag), 0, window)[0] / (mean * window)
    found = joined(mmpp(RATES, SOJOURNS, horizon, np.random.default_rng(2), np.random.default_rng(3), JUMPS))
    assert found.size / horizon == pytest.approx(mean, rel=0.01)
    assert dispersion(found, window, horizon) == pytest.approx(expected, rel=0.05)


def test_rate_series_loops_or_ends():
    series = {"process": "rate_series", "rates_rps": [40.0, 0.0, 10.0], "interval_s": 20.0, "rate_factor": 2.0}
    poisson_counts_fit(times(120.0, **series), np.repeat([80.0, 0, 20, 0, 0, 0], 4) * 5, 5.0)
    poisson_counts_fit(times(120.0, loop=True, **series), np.repeat([80.0, 0, 20, 80, 0, 20], 4) * 5, 5.0)


def test_rates_from_files(tmp_path):
    (tmp_path / "rates.csv").write_text("t_s,rate_rps\n100,40\n110,0\n130,10.5\n")
    table = read_rates(tmp_path / "rates.csv")
    assert (table.starts_s.tolist(), table.rates_rps.tolist(), table.end_s) == ([0, 10, 30], [40, 0, 10.5], 50)
    (tmp_path / "counts.csv").write_text("Time,TIMESTAMP\n2024-05-12 00:00:00,132\n2024-05-12 00:00:10,269\n")
    table = read_rates(tmp_path / "counts.csv")
    assert (table.starts_s.tolist(), table.rates_rps.tolist(), table.end_s) == ([0, 10], [13.2, 26.9], 20)
    found = times(50.0, process="rate_series", file="rates.csv", directory=tmp_path)
    poisson_counts_fit(found, np.repeat([40.0, 0, 0, 10.5, 10.5], 2) * 5, 5.0)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("t_s,rate_rps\n0,1\n0,2\n", 3, "times must rise"),
        ("t_s,rate_rps\n0,1\n5,-2\n", 3, "at least 0"),
        ("t_s,rate_rps\n0,1\n5,nan\n", 3, "found 'nan'"),
        ("t_s,rate_rps\n0,1\n", 2, "at least two"),
        ("t_s,rate_rps\n0,0\n1,0\n", None, "every rate is 0"),
        ("time,rate\n0,0\n1,0\n", 1, "t_s,rate_rps"),
    ],
)
def test_faulty_rates(tmp_path, content, line, says):
    (tmp_path / "rates.csv").write_text(content)
    with pytest.raises(TraceError, match=says) as caught:
        read_rates(tmp_path / "rates.csv")
    assert caught.value.line == line


def test_diurnal_follows_its_waves_and_has_the_mean_rate():
    waves = [(24.0, -0.158, -0.090), (12.0, -0.020, 0.055), (168.0, -0.310, 0.060), (84.0, -0.178, 0.013)]
    harmonics = [{"period_h": p, "cos": c, "sin": s} for p, c, s in waves]
    spec = {"process": "diurnal", "rate_rps": 2.0, "harmonics": harmonics}

    def shape(hours: float) -> float:
        angles = [2 * np.pi * hours / p for p, _, _ in waves]
        return np.exp(sum(c * np.cos(a) + s * np.sin(a) for a, (_, c, s) in zip(angles, waves, strict=True)))

    mean = integrate.quad(shape, 0, 168, limit=500)[0] / 168
    expected = np.array([integrate.quad(shape, k, k + 1)[0] for k in range(168)]) * 2.0 / mean * 3600
    poisson_counts_fit(times(604_800.0, **spec), expected, 3600.0)
    poisson_counts_fit(times(86_400.0, start_h=100.0, **spec), expected[100:124], 3600.0)


def test_flash_crowd_rises_holds_and_decays():
    spec = {"base_rps": 5.0, "peak_rps": 80.0, "start_s": 100.0, "rise_s": 20.0, "hold_s": 30.0, "decay_s": 60.0}

    def rate(t: float) -> float:
        if t < 100:
            return 5.0
        if t < 120:
            return 5 + 75 * (t - 100) / 20
        return 80.0 if t < 150 else 5 + 75 * np.exp(-(t - 150) / 60)

    poisson_counts_fit(times(500.0, process="flash_crowd", **spec), area(rate, 5.0, 100), 5.0)
    sudden = times(500.0, process="flash_crowd", base_rps=0.0, peak_rps=50.0, start_s=250.0, rise_s=0.0, decay_s=1e9)
    poisson_counts_fit(sudden, np.repeat([0.0, 250.0], 50), 5.0)


def test_ramp_and_step():
    ramp = times(300.0, process="ramp", from_rps=0.0, to_rps=60.0, start_s=100.0, duration_s=100.0)
    poisson_counts_fit(ramp, area(lambda t: min(60, max(0, 0.6 * (t - 100))), 5.0, 60), 5.0)
    step = times(300.0, process="step", rates_rps=[10.0, 0.0, 40.0], at_s=[100.0, 200.0])
    poisson_counts_fit(step, np.repeat([50.0, 0.0, 200.0], 20), 5.0)


def test_batches_have_the_dispersion_of_their_sizes():
    """Poisson batches of size N: counts over windows longer than the spread have dispersion E[N^2] / E[N]."""
    size = {"distribution": "empirical", "values": [1, 4]}
    at_once = times(50_000.0, process="batches", batches={"process": "poisson", "rate_rps": 2.0}, size=size)
    assert at_once.size / 50_000 == pytest.approx(2 * 2.5, rel=0.02)
    assert dispersion(at_once, 5.0, 50_000.0) == pytest.approx(8.5 / 2.5, rel=0.05)
    spread = times(
        50_000.0, process="batches", batches={"process": "poisson", "rate_rps": 2.0}, size=size, spread_s=1.0
    )
    assert dispersion(spread, 200.0, 50_000.0) == pytest.approx(8.5 / 2.5, rel=0.3)
    assert dispersion(spread, 0.05, 50_000.0) == pytest.approx(1, abs=0.2)
    offsets = np.diff(times(1e6, process="batches", batches={"process": "constant", "rate_rps": 1e-3},
                            size={"distribution": "constant", "value": 1}, spread_s=2.0) % 1000)  # fmt: skip
    assert np.abs(offsets).mean() == pytest.approx(2.0, rel=0.2)  # difference of two exponentials of mean 2


def test_a_superposition_has_the_sum_of_the_rates_and_holds_every_part():
    parts = [
        {"process": "poisson", "rate_rps": 3.0},
        {"process": "gamma", "rate_rps": 5.0, "cv": 3.0},
        {"process": "constant", "rate_rps": 2.0},
    ]
    found = times(20_000.0, process="superposition", of=parts)
    assert found.size / 20_000 == pytest.approx(10.0, rel=0.02)
    assert np.isin(np.arange(40_000) / 2, found).all()
    # variances of independent counts add: 3 * 1 + 5 * 9 + 2 * 0 over 10
    assert dispersion(found, 100.0, 20_000.0) == pytest.approx(4.8, rel=0.3)


@given(st.lists(st.lists(st.floats(0, 100), max_size=20), min_size=1, max_size=5), st.floats(0.1, 50))
def test_merging_is_sorting(lists, width):
    streams = [iter([np.sort(np.array(values))]) for values in lists]
    pieces = list(merged(streams, width))
    found = joined(piece for piece, _ in pieces)
    assert np.array_equal(found, np.sort(np.concatenate([np.array(values) for values in lists])))
    origin = np.concatenate([which for _, which in pieces])
    for index, values in enumerate(lists):
        assert np.array_equal(found[origin == index], np.sort(values))


def test_a_client_pool_has_few_that_dominate_and_is_burstier_than_poisson():
    spec = {"process": "clients", "rate_rps": 50.0, "clients": 100}
    shares = client_rates(process(**spec)) / 50.0
    assert shares.sum() == pytest.approx(1)
    assert 0.6 < shares[:10].sum() < 0.93  # ServeGen: the top ten carry 60 to 93 %
    found = times(20_000.0, **spec)
    assert found.size / 20_000 == pytest.approx(50.0, rel=0.05)
    assert dispersion(found, 10.0, 20_000.0) > 2
    alike = times(20_000.0, **spec, cv_p50=1.0, cv_p90=1.0)
    assert dispersion(alike, 10.0, 20_000.0) == pytest.approx(1, abs=0.15)


@settings(max_examples=30, deadline=None)
@given(horizon=st.floats(1e-6, 2e4), start=st.floats(0, 3e4), rise=st.floats(0, 1e3), decay=st.floats(1, 1e4))
def test_any_flash_crowd_stays_sorted_within_the_horizon(horizon, start, rise, decay):
    times(horizon, process="flash_crowd", base_rps=0.1, peak_rps=2.0, start_s=start, rise_s=rise, decay_s=decay)


def chain(transitions, states=2):
    return {
        "process": "mmpp",
        "rates_rps": [1.0] * states,
        "mean_sojourn_s": [1.0] * states,
        "transitions": transitions,
    }


SPIKE = {"start_s": 0.0, "rise_s": 0.0, "decay_s": 1.0}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"process": "gamma", "rate_rps": 1.0, "burstiness": 0.25}, r"cv: 2 \(1/sqrt\(0.25\)\)"),
        ({"process": "weibull", "rate_rps": 1.0, "cv": 2.0, "burstiness": 0.5}, r"cv: 1.41421"),
        ({"process": "gamma", "rate_rps": 1.0, "cv": 1e4}, "less than or equal to 1000"),
        (chain([[0.0, 1.0]]), "2 rows"),
        (chain([[0.5, 0.5], [1.0, 0.0]]), "follows itself"),
        (chain([[0.0, 0.9], [1.0, 0.0]]), "sums to 0.9"),
        (chain([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], states=3), "state 2 is never reached"),
        ({"process": "rate_series"}, "rates_rps is missing"),
        ({"process": "rate_series", "rates_rps": [1.0]}, "length of the intervals"),
        ({"process": "step", "rates_rps": [1.0, 2.0], "at_s": [1.0, 2.0]}, "2 times for 2 rates"),
        ({"process": "step", "rates_rps": [1.0, 2.0, 3.0], "at_s": [2.0, 1.0]}, "times rise"),
        ({"process": "flash_crowd", "base_rps": 5.0, "peak_rps": 5.0, **SPIKE}, "must exceed base_rps"),
        ({"process": "clients", "rate_rps": 5.0, "clients": 3, "cv_p50": 2.0, "cv_p90": 1.0}, "at least cv_p50"),
        ({"process": "trace", "file": "x", "time_warp": [[0.0, 1.0], [1.0, 2.0]]}, r"the first pair is \[0, 0\]"),
        ({"process": "trace", "file": "x", "time_warp": [[0.0, 0.0], [1.0]]}, "second of the replay"),
        ({"process": "trace", "file": "x", "time_warp": [[0.0, 0.0], [1.0, 0.0]]}, "both numbers rise"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        process(**keys)


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5), st.binary(max_size=3)), max_size=3),
    chunk=st.booleans(),
)
@example(edits=[(0, 0, b"\r")], chunk=True)
def test_edited_files_of_rates_and_clients_are_read_whole_or_refused(tmp_path_factory, edits, chunk):
    content = (
        b"0,0.1,1.5,Gamma,0.44,2\n600,0.2,2.9,Weibull,0.42,3\n1200,0,,,,\n" if chunk else b"t_s,rate_rps\n0,4\n9,5.5\n"
    )
    for at, removed, inserted in edits:
        content = content[:at] + inserted + content[at + removed :]
    path = tmp_path_factory.getbasetemp() / "chunk-1-trace.csv"
    path.write_bytes(content)
    try:
        if chunk:
            windows = read_clients(path)[1]
            assert all(0 < window.rate_rps < 1e7 and start % 600 == 0 for start, window in windows.items())
        else:
            table = read_rates(path)
            assert np.all(table.rates_rps >= 0)
            assert np.all(np.diff(table.starts_s) > 0)
    except TraceError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right
