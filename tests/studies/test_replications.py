"""Replications: the same everywhere, within spreads, with intervals that cover the truth as often as they say."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from infersim.spec.base import Quantity, Spec
from infersim.spec.load import load_scenario
from infersim.spec.resolve import resolve
from infersim.studies.errors import StudyError
from infersim.studies.replications import HEADLINES, _interval, replicate, varied, wilson
from infersim.studies.spreads import drawn

SHORT = ["horizon_s=20", "workload.arrivals={process: poisson, rate_rps: 4}"]


@pytest.fixture(scope="module")
def found():  # type: ignore[no-untyped-def]
    return replicate("chat_burst", 4, settings=SHORT, workers=1)


def test_every_headline_number_has_an_interval(found) -> None:  # type: ignore[no-untyped-def]
    assert tuple(found.intervals["number"]) == HEADLINES
    assert (found.intervals["low"] <= found.intervals["mean"]).all()
    column = found.runs["cost.total_usd"]
    low, high = stats.t.interval(0.95, 3, column.mean(), stats.sem(column))
    row = found.intervals.set_index("number").loc["cost.total_usd"]
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert found.slo_probability == found.runs["slo_holds"].mean()


def test_the_same_on_any_number_of_cores(found) -> None:  # type: ignore[no-untyped-def]
    again = replicate("chat_burst", 4, settings=SHORT, workers=2)
    assert again.runs.equals(found.runs)


def test_seeds_alone_vary_without_spreads() -> None:
    fixed = replicate("chat_burst", 2, settings=[*SHORT, "slo={}"], spreads=False, workers=1)
    assert fixed.slo_probability is None
    assert "no SLO" in fixed.in_words()
    assert fixed.runs["latency.ttft_s.p50"].nunique() == 2  # seeds differ


def test_draws_stay_within_their_spread_and_are_common() -> None:
    """A number's draw is decided by its name: another scenario on the same chip meets the same chip."""
    burst, steady = (resolve(load_scenario(name)) for name in ("chat_burst", "h100_llama70b"))
    for number in range(50):
        chip, other = varied(burst, number).pools[0].hardware, varied(steady, number).pools[0].hardware
        assert chip.memory == other.memory
        before = burst.pools[0].hardware
        for after, stated in (
            (chip.memory.bandwidth_gb_s, before.memory.bandwidth_gb_s),
            (chip.power.idle_w, before.power.idle_w),
            (chip.prices[0].usd_per_chip_hour, before.prices[0].usd_per_chip_hour),
        ):
            assert abs(after.value - stated.value) <= stated.value * stated.spread * (1 + 1e-12)
        assert all(share.value <= 1.0 for share in chip.efficiency.matmul_compute.values())


def test_draws_fill_the_spread_evenly() -> None:
    burst = resolve(load_scenario("chat_burst"))
    stated = burst.pools[0].hardware.power.idle_w
    assert stated.spread > 0
    drawn = [varied(burst, k).pools[0].hardware.power.idle_w.value for k in range(400)]
    places = (np.array(drawn) / stated.value - 1.0) / stated.spread
    assert stats.kstest((places + 1.0) / 2.0, "uniform").pvalue > 0.001


def test_what_no_spread_explains_moves_all_times_together() -> None:
    """Without spreads one lognormal factor is left, on latencies and overheads, and under shares of peaks; facts stay."""
    pool = resolve(load_scenario("chat_burst")).pools[0]
    chip, engine = _without_spreads(pool.hardware), _without_spreads(pool.engine)
    assert engine.unexplained is not None
    factors = []
    for number in range(400):
        other, driver = drawn(chip, engine, number)
        factor = other.efficiency.op_floor_us.value / chip.efficiency.op_floor_us.value
        assert other.link.latency_us.value == pytest.approx(factor * chip.link.latency_us.value)
        assert driver.step_overhead_us.value == pytest.approx(factor * engine.step_overhead_us.value)
        reached = chip.efficiency.attention_compute.value / factor
        assert other.efficiency.attention_compute.value == pytest.approx(min(1.0, reached))
        assert (other.memory, other.peak_tflops) == (chip.memory, chip.peak_tflops)
        assert other.link.one_way_gb_s == chip.link.one_way_gb_s
        factors.append(factor)
    assert stats.kstest(np.log(factors) / engine.unexplained.value, "norm").pvalue > 0.001


def test_chips_and_engines_that_are_wrong_are_wrong_each_for_itself() -> None:
    pool = resolve(load_scenario("chat_burst")).pools[0]
    chip, engine = _without_spreads(pool.hardware), _without_spreads(pool.engine)
    other = chip.model_copy(update={"name": "another"})
    floors = [[drawn(c, engine, k)[0].efficiency.op_floor_us.value for k in range(200)] for c in (chip, other)]
    assert abs(np.corrcoef(np.log(floors))[0, 1]) < 0.25


def _without_spreads(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value.model_copy(update={"spread": 0.0})
    if isinstance(value, Spec):
        return value.model_copy(update={key: _without_spreads(getattr(value, key)) for key in type(value).model_fields})
    if isinstance(value, dict):
        return {key: _without_spreads(inner) for key, inner in value.items()}
    return [_without_spreads(inner) for inner in value] if isinstance(value, list) else value


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(600):
        row = _interval("x", rng.normal(3.0, 2.0, 6))
        hits += row["low"] <= 3.0 <= row["high"]
    assert stats.binomtest(hits, 600, 0.95).pvalue > 0.001


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (7, 20), (20, 20), (1, 2)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_one_replication_is_none() -> None:
    with pytest.raises(StudyError, match="at least 2 replications, found 1"):
        replicate("chat_burst", 1)
