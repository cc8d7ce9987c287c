"""The service level over time and the carbon of a run, against figures worked out on paper."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from infersim.dataplane.records import FINISHED, OUTCOME
from infersim.dataplane.totals import Totals
from infersim.results.explain import explain, why
from infersim.results.result import Result
from infersim.results.slo import longest_violation, slo_over_time, slo_windows
from infersim.spec.facility import Facility
from infersim.spec.scenario import Slo
from tests.results.run_records import edited, large_run, small_run


def windows(attained: list[tuple[int, int]]) -> pd.DataFrame:
    """Windows of a second from how many requests arrive in each and how many of them meet a limit on TTFT of 1 s."""
    rows = [
        (second + k / (n + 1), 1.0 if k < met else 1.5) for second, (n, met) in enumerate(attained) for k in range(n)
    ]
    outcomes = np.zeros(len(rows), OUTCOME)
    for row, (arrival_s, ttft_s) in zip(outcomes, rows, strict=True):
        row["arrival_s"], row["first_token_s"], row["finish_s"] = arrival_s, arrival_s + ttft_s, arrival_s + 2.0
    totals = Totals(1, np.full(3, np.inf), np.array([[1.2, np.inf, np.inf]]))
    totals.add(outcomes)
    return slo_windows(totals, float(len(attained)))


def test_windows_of_a_second() -> None:
    table = windows([(100, 100), (100, 98), (0, 0), (100, 99)])
    assert table["arrived"].tolist() == [100, 100, 0, 100]
    np.testing.assert_allclose(table["attainment"], [1.0, 0.98, np.nan, 0.99])
    assert table["broken"].tolist() == [False, True, False, False]


def test_the_longest_violation_passes_over_silence() -> None:
    """Broken in seconds 1, 2 and 4; nobody asked in second 3, so the violation lasts from 1 to 5 s."""
    asked = windows([(10, 10), (10, 5), (10, 0), (0, 0), (10, 9), (10, 10), (10, 0)])
    assert longest_violation(asked) == (1.0, 5.0, 4.0)
    found = slo_over_time(asked)
    assert found["broken_s"] == 4.0
    assert found["worst_attainment"] == 0.0
    assert found["error_budget_burnt"] == pytest.approx(26 / 0.6)  # 26 of 60 missed, 0.6 were allowed to


def test_nothing_missed_and_nothing_asked() -> None:
    assert slo_over_time(windows([(10, 10)] * 3))["longest_violation_s"] == 0.0
    assert np.isnan(slo_over_time(windows([(0, 0)] * 3))["error_budget_burnt"])


def test_summary_and_words() -> None:
    result = Result(small_run(Slo(ttft_p99_s=1.0)))
    assert result.summary["slo"]["over_time"]["error_budget_burnt"] == pytest.approx(2 / 0.05)
    assert "over_time" not in Result(small_run()).summary["slo"]
    assert "The SLO was broken: 60.0 %" in str(explain(result))
    assert "sets no SLO" in str(explain(Result(small_run())))


def test_each_pool_has_its_latencies_and_attainment() -> None:
    """Weighted by requests, the pools' figures are the run's."""
    result = Result(large_run(2000, slo=Slo(ttft_p99_s=0.5)))
    pools = result.summary["pools"].values()
    share = np.array([pool["requests_finished"] for pool in pools]) / 2000
    for path in (("ttft_s", "mean"), ("normalised_s", "mean")):
        means = np.array([pool["latency"][path[0]][path[1]] for pool in pools])
        assert share @ means == pytest.approx(result.summary["latency"][path[0]][path[1]])
    assert share @ [pool["slo_attainment"] for pool in pools] == pytest.approx(result.summary["slo"]["attainment"])


def test_normalised_latency() -> None:
    """1.5 / 3, 1.4 / 5, 0.2 / 1 and 6 / 2 seconds for each output token."""
    assert Result(small_run()).summary["latency"]["normalised_s"]["mean"] == pytest.approx((0.5 + 0.28 + 0.2 + 3.0) / 4)


def test_carbon() -> None:
    """5,250 J at 400 g/kWh are 0.5833 g; 11 output tokens and 4 requests."""
    run = small_run()
    green = edited(
        run, scenario=run.scenario.model_copy(update={"facility": Facility(pue=1.5, carbon_g_per_kwh=400.0)})
    )
    grams = 5250 / 3.6e6 * 400
    expected = {"g_per_kwh": 400.0, "operational_kg": grams / 1e3, "g_per_million_output_tokens": grams / 11 * 1e6,
                "g_per_request": grams / 4}  # fmt: skip
    carbon = Result(green).summary["carbon"]
    assert math.isnan(carbon.pop("embodied_kg")), "this chip has no figure"
    assert carbon == pytest.approx(expected)
    assert Result(run).summary["carbon"] is None


def test_carbon_of_making_the_chips() -> None:
    """Two chips of 164 kg, billed for as long as the leases say, of a life of two years of 8,766 hours."""
    run = small_run()
    facility = Facility(carbon_g_per_kwh=0.0, chip_lifetime_years=2.0)
    made = edited(
        run,
        scenario=run.scenario.model_copy(update={"facility": facility}),
        pools=[replace(pool, embodied_kg=164.0) for pool in run.pools],
    )
    summary = Result(made).summary
    billed_h = summary["cost"]["total_usd"] / (2 * 1.80)
    assert summary["carbon"]["operational_kg"] == 0
    assert summary["carbon"]["embodied_kg"] == pytest.approx(2 * 164.0 * billed_h / (2 * 8766))


def test_water() -> None:
    """5,250 J at a PUE of 1.5 are 3,500 J of chips; half a litre for each of their kWh."""
    run = small_run()
    wet = edited(run, scenario=run.scenario.model_copy(update={"facility": Facility(pue=1.5, water_l_per_kwh=0.5)}))
    litres = 3500 / 3.6e6 * 0.5
    expected = {"total_l": litres, "ml_per_request": litres * 1e3 / 4, "l_per_million_output_tokens": litres / 11 * 1e6}
    assert Result(wet).summary["water"] == pytest.approx(expected)
    assert Result(run).summary["water"] is None


def test_a_region_brings_its_grid() -> None:
    assert Facility(region="europe-west9").grid_g_per_kwh == 16.3
    assert Facility(region="europe-west9", carbon_g_per_kwh=0.0).grid_g_per_kwh == 0.0
    assert Facility().grid_g_per_kwh is None
    with pytest.raises(ValidationError, match="unknown region europe-west"):
        Facility(region="europe-west")


def test_a_service_level_that_is_kept_has_no_worst_windows() -> None:
    """Without the request that was rejected, nobody misses an endless limit."""
    run = small_run(Slo(ttft_p99_s=1e6))
    kept = Result(replace(run, outcomes=run.outcomes[run.outcomes["status"] == FINISHED]))
    assert kept.summary["slo"]["attainment"] == 1.0
    (chapter,) = (chapter for chapter in why(kept) if chapter.title == "Service level")
    assert chapter.sentences[0].startswith("The SLO was kept: 100 % of requests met every limit")
    assert chapter.rows == ()
