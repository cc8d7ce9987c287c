"""Dollars when prices change, periods are rounded, machines have several sources, and data and electricity are paid for.

The run is `small_run`: leases from 0 to 20 s, from 5 to 15 s (ready at 8) and from 17 to 20 s (never ready); replicas of two
chips; 3 kJ in the first ten seconds and 5 kJ in the second, in a building with PUE 1.5.
"""

from dataclasses import replace

import numpy as np
import pytest

from infersim.cost.price import Tariff
from infersim.cost.series import StepFunction, constant
from infersim.results.economics import by_purchase
from infersim.results.expenses import BYTES_PER_OUTPUT_TOKEN, BYTES_PER_PROMPT_TOKEN
from infersim.results.money import bill, spent_until
from infersim.results.record import RunRecord
from infersim.results.result import Result
from tests.results.run_records import edited, small_run

DEARER = StepFunction(np.array([0.0, 10.0]), np.array([3.6, 7.2]))
"""0.002 USD for each replica-second until 10 s, 0.004 after."""


def bought(
    *tariffs: Tariff, sources: tuple[int, ...] = (0, 0, 0), rounding_s: tuple[float, ...] = (0, 0, 0)
) -> RunRecord:
    run = small_run()
    leases = run.leases.copy()
    leases["source"], leases["rounding_s"] = sources, rounding_s
    return edited(run, leases=leases, pools=[replace(run.pools[0], purchases=tariffs)])


def test_a_price_that_changes() -> None:
    """0: 10 s at each price; 1: 5 s at each, 3 of them starting; 2: 3 s at the second price, starting all the time."""
    dollars = bill(bought(Tariff("spot", "aws", DEARER, "")))
    assert dollars.total == pytest.approx([0.06, 0.03, 0.012])
    assert dollars.cold_start == pytest.approx([0, 0.006, 0.012])
    assert dollars.busy == pytest.approx([0.06 * 6 / 20, 0.024 * 2 / 7, 0])


def test_periods_that_are_rounded_up() -> None:
    """50 s more of replica 1, and 2 s of replica 2, which never served, at 0.004 a second."""
    run = bought(Tariff("spot", "aws", DEARER, ""), rounding_s=(0, 50, 2))
    assert bill(run).total == pytest.approx([0.06, 0.23, 0.02])
    assert bill(run).cold_start == pytest.approx([0, 0.006, 0.02])
    total, cold = spent_until(run, 0, np.array([0.0, 10.0, 14.0, 15.0, 20.0]))
    assert total == pytest.approx([0, 0.03, 0.062, 0.27, 0.31])
    assert cold[-1] == pytest.approx(0.026)


def test_each_source_at_its_price() -> None:
    """10 s of replica 1 at 36 USD per chip-hour."""
    run = bought(Tariff("spot", "aws", DEARER, ""), Tariff("on_demand", "gcp", constant(36.0), ""), sources=(0, 1, 0))
    assert bill(run).total == pytest.approx([0.06, 0.2, 0.012])
    assert by_purchase(run) == [
        {"provider": "gcp", "tier": "on_demand", "usd": pytest.approx(0.2), "chip_hours": pytest.approx(20 / 3600)},
        {"provider": "aws", "tier": "spot", "usd": pytest.approx(0.072), "chip_hours": pytest.approx(46 / 3600)},
    ]


def test_electricity_of_owned_machines() -> None:
    """0.1 then 0.3 USD/kWh for 4.5 and 7.5 kJ; replica 0 is owned: 20 of 33 billed seconds."""
    own, rented = Tariff("owned", "scenario", constant(0.36), "", metered=True), Tariff("spot", "aws", DEARER, "")
    run = bought(own, rented, sources=(0, 1, 1))
    price = StepFunction(np.array([0.0, 10.0]), np.array([0.1, 0.3]))
    run = edited(run, pools=[replace(run.pools[0], electricity=price)])
    electricity = (4.5e3 * 0.1 + 7.5e3 * 0.3) / 3.6e6 * 20 / 33
    cost = Result(run).summary["cost"]
    assert cost["electricity_usd"] == pytest.approx(electricity)
    assert cost["total_usd"] == pytest.approx(20 * 0.0002 + 0.03 + 0.012 + electricity)
    assert sum(row["usd"] for row in cost["by_purchase"]) == pytest.approx(cost["total_usd"])


def test_data_that_leaves_its_region() -> None:
    """100 prompt tokens and 11 output tokens; prompts leave at 0.02, answers at 0.09 USD/GB."""
    run = small_run()
    run = edited(run, pools=[replace(run.pools[0], egress_usd_per_gb=((0.02, 0.09),), region="here")])
    egress = (100 * BYTES_PER_PROMPT_TOKEN * 0.02 + 11 * BYTES_PER_OUTPUT_TOKEN * 0.09) / 1e9
    cost = Result(run).summary["cost"]
    assert cost["egress_usd"] == pytest.approx(egress)
    assert cost["total_usd"] == pytest.approx(0.033 + egress)
    assert sum(row["usd"] for row in cost["by_purchase"]) == pytest.approx(cost["total_usd"])


def test_carbon_by_the_hour() -> None:
    """4.5 kJ at 100 g/kWh and 7.5 kJ at 500."""
    run = small_run()
    intensity = StepFunction(np.array([0.0, 10.0]), np.array([100.0, 500.0]))
    run = edited(run, pools=[replace(run.pools[0], carbon=intensity)])
    carbon = Result(run).summary["carbon"]
    assert carbon["operational_kg"] == pytest.approx((4.5e3 * 100 + 7.5e3 * 500) / 3.6e6 / 1e3)
