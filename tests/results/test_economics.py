"""Projections, purchases, waste and break-evens, against figures worked out on paper."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infersim.cost.price import Tariff
from infersim.cost.series import constant
from infersim.results.economics import break_even_api, break_even_owned, by_purchase, projection, wasted
from infersim.results.result import Result
from tests.results.run_records import edited, large_run, small_run


def test_projection() -> None:
    assert projection(10.0, 1800.0) == {"usd_per_hour": 20.0, "usd_per_month": 14600.0, "usd_per_year": 175200.0}
    assert all(np.isnan(value) for value in projection(10.0, 0.0).values())


def test_purchases_add_up_to_the_bill() -> None:
    run = large_run(200)
    tariffs = [Tariff("reserved", "here", constant(1.8), ""), Tariff("on_demand", "scenario", constant(3.0), "")]
    pools = [replace(pool, purchases=(tariff,)) for pool, tariff in zip(run.pools, tariffs, strict=True)]
    run = edited(run, pools=pools)
    found = by_purchase(run)
    assert {(row["provider"], row["tier"]) for row in found} == {("here", "reserved"), ("scenario", "on_demand")}
    assert sum(row["usd"] for row in found) == pytest.approx(Result(run).summary["cost"]["total_usd"])
    assert found[0]["usd"] >= found[1]["usd"]


def test_waste_is_what_was_processed_twice() -> None:
    """Prompts of 10 + 20 + 30 + 40 tokens; 125 were processed and 11 generated, so 25 of 136 went to waste."""
    run = small_run()
    tally = replace(run.pools[0].tally, prompt_tokens=125.0, output_tokens=11)
    run = edited(run, pools=[replace(run.pools[0], tally=tally)])
    assert wasted(run, 1.36) == pytest.approx({"abandoned_tokens": 0, "recomputed_tokens": 25.0, "wasted_usd": 0.25})
    calm = run.outcomes.copy()
    calm["preemptions"] = 0
    assert wasted(edited(run, outcomes=calm), 1.36)["wasted_usd"] == 0.0


def test_owned_against_rented() -> None:
    """30,000 USD over 4 years are 625 a month; at 1.5 USD less for each hour that is 416.7 hours a month."""
    found = break_even_owned(30_000.0, 4.0, 0.5, 2.0, 730.0)
    assert found.at == pytest.approx(416.6667, abs=1e-3)
    assert (found.cheaper, found.saves_usd_per_month) == ("owned", pytest.approx(470.0))
    assert break_even_owned(30_000.0, 4.0, 0.5, 2.0, 100.0).cheaper == "rented"
    assert break_even_owned(1.0, 1.0, 2.0, 2.0, 730.0).at == float("inf")
    with pytest.raises(ValueError, match="years must be a number above 0, found 0"):
        break_even_owned(1.0, 0.0, 1.0, 1.0, 1.0)


def test_self_hosted_against_an_api() -> None:
    """1e9 input tokens at 0.5 and 2e8 output tokens at 2 USD per million: 900 USD a month."""
    found = break_even_api(450.0, 1e9, 2e8, 0.5, 2.0)
    assert found.at == pytest.approx(0.5)
    assert (found.cheaper, found.saves_usd_per_month) == ("self-hosted", 450.0)
    assert break_even_api(1000.0, 1e9, 2e8, 0.5, 2.0).cheaper == "api"
    assert break_even_api(1000.0, 0.0, 0.0, 0.5, 2.0).at == float("inf")


@given(st.floats(1, 1e6), st.floats(0.1, 10), st.floats(0, 5), st.floats(0.1, 20))
def test_at_the_break_even_both_cost_the_same(price: float, years: float, running: float, rented: float) -> None:
    at = break_even_owned(price, years, running, rented, 100.0).at
    if np.isfinite(at):
        assert break_even_owned(price, years, running, rented, at).saves_usd_per_month <= 1e-6 * price
