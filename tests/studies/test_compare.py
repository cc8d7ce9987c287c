"""Two runs explained, tornadoes and break-even points: sums that must close, and answers that are known."""

from pathlib import Path

import pytest

from infersim import breakeven, compare, sensitivity, simulate
from infersim.spec.resolve import resolved_yaml
from infersim.studies.errors import StudyError
from tests.studies.scenarios import SMALL

TWICE = SMALL | {"pools": [SMALL["pools"][0] | {"replicas": {"initial": 2}, "price": {"tier": "spot"}}]}


def test_the_terms_make_up_the_difference() -> None:
    a, b = simulate(SMALL), simulate(TWICE)
    found = compare(a, b)
    e2e = [run.summary["latency"]["e2e_s"]["mean"] for run in (a, b)]
    assert found.latency["difference"].sum() == pytest.approx(e2e[1] - e2e[0], rel=1e-6, abs=1e-12)
    price = [run.summary["cost"]["usd_per_million_output_tokens"] for run in (a, b)]
    assert found.cost["factor"].prod() == pytest.approx(price[1] / price[0])
    assert found.purposes["difference"].sum() == pytest.approx(price[1] - price[0])
    factors = dict(zip(found.cost["term"], found.cost["factor"], strict=True))
    assert factors["output_tokens"] == 1
    assert factors["chip_hours"] == pytest.approx(2, rel=0.01)
    assert set(found.settings["key"]) >= {"pools.0.replicas.initial", "pools.0.price.tier"}
    for words in ("pools.0.price.tier: on_demand -> spot", "mean latency", "chip hours x 2"):
        assert words in str(found)


def test_run_directories(tmp_path: Path) -> None:
    for name, scenario in (("a", SMALL), ("b", TWICE)):
        result = simulate(scenario)
        result.save(tmp_path / name, scenario_yaml=resolved_yaml(result.record.scenario), plots=False)
    assert str(compare(tmp_path / "a", tmp_path / "b")) == str(compare(simulate(SMALL), simulate(TWICE)))
    assert "the scenarios are the same" in str(compare(tmp_path / "a", tmp_path / "a"))
    assert "every span is the same" in str(compare(tmp_path / "a", tmp_path / "a"))


def test_a_tornado() -> None:
    """The price of the only pool acts in proportion; more traffic on a fleet that is paid anyway makes tokens cheaper."""
    found = sensitivity(SMALL)
    rows = found.table.set_index("input")
    price = rows.loc["chat: price"]
    assert price["low"] / found.value == pytest.approx(1 - price["spread"])
    assert price["high"] / found.value == pytest.approx(1 + price["spread"])
    assert rows.loc["traffic", "high"] < found.value < rows.loc["traffic", "low"]
    assert found.table["swing"].is_monotonic_decreasing
    assert any("efficiency" in name for name in rows.index)
    assert found.tornado().startswith(b"\x89PNG")
    faster = sensitivity(SMALL, "latency.tpot_s.p50").table.set_index("input")
    assert faster.loc["chat: efficiency.matmul_memory", "high"] < faster.loc["chat: efficiency.matmul_memory", "low"]
    with pytest.raises(StudyError, match=r"did you mean cost\.total_usd"):
        sensitivity(SMALL, "cost.total_usdd")


def test_break_even_in_price_is_the_ratio_of_costs() -> None:
    """Dollars are hours times price, so variants meet where prices are as their chip-hours for a token are."""
    fixed = ["pools.0.hardware=l40s", "pools.0.price={usd_per_chip_hour: 2.0}"]
    found = breakeven(SMALL, "pools.0.price.usd_per_chip_hour", 0.5, 8.0, b=fixed)
    hours = [
        run.summary["run"]["end_s"]
        for run in (simulate(SMALL), simulate(SMALL | {"pools": [{"name": "chat", "hardware": "l40s"}]}))
    ]
    assert found.value == pytest.approx(2.0 * hours[1] / hours[0], abs=0.01)
    assert found.lower_below == "a"
    with pytest.raises(StudyError, match="do not change places"):
        breakeven(SMALL, "pools.0.price.usd_per_chip_hour", 5.0, 8.0, b=fixed)
    with pytest.raises(StudyError, match="write it upwards"):
        breakeven(SMALL, "load", 2, 1)


def test_break_even_in_load() -> None:
    """Alone, the chip of more bandwidth answers sooner whatever it costs; the two are compared by latency times load."""
    slow_but_two = ["pools.0.hardware=l40s", "pools.0.replicas.initial=6"]
    found = breakeven(
        SMALL, "load", 1, 60, a=[], b=slow_but_two, metric="latency.e2e_s.mean", settings=["horizon_s=10"]
    )
    assert 1 < found.value < 60
    assert found.lower_below == "a"
    assert found.a == pytest.approx(found.b, rel=0.1)
