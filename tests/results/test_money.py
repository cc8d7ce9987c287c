"""Dollars: paper first, then the laws that hold for any set of leases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infersim.controlplane.ledger import LEASE
from infersim.results.money import bill, lease_times
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import NAN, edited, large_run, pool_record, rows, small_run


def test_bill_of_three_leases() -> None:
    """33 billed replica-seconds at 2 chips x 1.80 USD / 3600 = 0.001 USD: 8 busy, 6 before ready, 19 idle."""
    cost = Result(small_run(Slo(ttft_p99_s=1.0, tpot_p99_s=0.5))).summary["cost"]
    (paid,) = cost.pop("by_purchase")
    assert (paid.pop("provider"), paid.pop("tier")) == ("unknown", "on_demand")
    assert paid == pytest.approx({"usd": 0.033, "chip_hours": 33 * 2 / 3600})
    assert cost == pytest.approx(
        {
            "total_usd": 0.033,
            "busy_usd": 0.008,
            "idle_usd": 0.019,
            "cold_start_usd": 0.006,
            "usd_per_million_output_tokens": 0.033 / 11 * 1e6,
            "usd_per_million_total_tokens": 0.033 / 111 * 1e6,
            "usd_per_thousand_requests": 0.033 / 4 * 1e3,
            "usd_per_slo_met_request": 0.033 / 3,
            "abandoned_tokens": 0,
            "recomputed_tokens": 0.0,
            "wasted_usd": 0.0,
            "usd_per_hour": 5.94,  # 0.033 USD in 20 s
            "usd_per_month": 5.94 * 730,
            "usd_per_year": 5.94 * 8760,
        }
    )


def test_a_replica_that_was_cancelled_before_it_was_ours_costs_nothing() -> None:
    cancelled = rows(LEASE, [{"requested_s": 5.0, "billed_from_s": NAN, "ready_s": NAN, "closed_s": 7.0}])
    run = edited(small_run(), leases=cancelled)
    assert bill(run).total.tolist() == [0.0]


@st.composite
def leases(draw: st.DrawFn) -> np.ndarray:
    """Leases whose moments are in order, some of them never ready."""
    entries = []
    for serial in range(draw(st.integers(0, 12))):
        start, cold, up = (draw(st.floats(0, 1e5)) for _ in range(3))
        ready = draw(st.booleans())
        entries.append(
            {
                "replica": serial,
                "pool": draw(st.integers(0, 1)),
                "billed_from_s": start,
                "ready_s": start + cold if ready else NAN,
                "closed_s": start + cold + up,
                "busy_s": draw(st.floats(0, 1)) * up if ready else 0.0,
            }
        )
    return rows(LEASE, entries)


@given(leases(), st.floats(0, 50), st.floats(0, 50))
@settings(max_examples=100, deadline=None)
def test_every_dollar_is_counted_once(table: np.ndarray, first_usd: float, second_usd: float) -> None:
    pools = [pool_record("a", usd_per_chip_hour=first_usd), pool_record("b", usd_per_chip_hour=second_usd, chips=8)]
    run = edited(large_run(20), leases=table, pools=pools)
    result = Result(run)
    total = result.summary["cost"]
    hours = (table["closed_s"] - table["billed_from_s"]) / 3600
    independent = float((hours * np.where(table["pool"] == 0, 2 * first_usd, 8 * second_usd)).sum())
    assert total["total_usd"] == pytest.approx(independent, abs=1e-6, rel=2e-9)
    for key in ("total_usd", "busy_usd", "idle_usd", "cold_start_usd"):
        column = "cost_usd" if key == "total_usd" else key
        pools_sum = sum(pool["cost"][key] for pool in result.summary["pools"].values())
        assert pools_sum == pytest.approx(total[key], abs=1e-6)
        assert result.replicas[column].sum() == pytest.approx(total[key], abs=1e-6)
        assert total[key] >= -1e-9
    times = lease_times(run)
    np.testing.assert_allclose(times.cold_start + times.busy + times.idle, times.billed, atol=1e-6)


def test_timeline_ends_at_the_bill() -> None:
    result = Result(large_run(2000))
    last = result.timeline.groupby("pool", observed=True).last()
    for column, key in (("cost_usd", "total_usd"), ("busy_usd", "busy_usd"), ("cold_start_usd", "cold_start_usd")):
        assert last[column].sum() == pytest.approx(result.summary["cost"][key], abs=0.005)
