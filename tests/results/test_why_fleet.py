"""What is said of a fleet that suffered: losses, an outage, and who sold the machines; by hand where it is numbers."""

from dataclasses import replace

import pytest

from infersim import Result, simulate
from infersim.cost.price import Tariff
from infersim.cost.series import constant
from infersim.results.chapter import Chapter
from infersim.results.why_fleet import why_fleet
from tests.results.run_records import edited, small_run


def chapters(result: Result) -> dict[str, Chapter]:
    return {chapter.title: chapter for chapter in why_fleet(result)}


def test_nothing_is_said_of_a_fleet_to_which_nothing_happened() -> None:
    assert chapters(Result(small_run())) == {}


def test_what_spot_saved() -> None:
    """66 of 3,600 chip-hours: 10 s of two chips on demand at 36 USD, 23 s of two at 3.6: 0.2 + 0.046 of 0.66."""
    run = small_run()
    tariffs = (Tariff("spot", "aws", constant(3.6), ""), Tariff("on_demand", "aws", constant(36.0), ""))
    leases = run.leases.copy()
    leases["source"] = (0, 1, 0)
    run = edited(run, leases=leases, pools=[replace(run.pools[0], purchases=tariffs)])
    told = chapters(Result(run))["Who sold the machines"]
    assert "cost $0.660" in told.sentences[0]
    assert f"{1 - 0.246 / 0.66:.1%}".replace("%", " %") in told.sentences[0]
    assert [row[1] for row in told.rows] == ["on_demand", "spot"]


@pytest.fixture(scope="module")
def outage() -> Result:
    """Two replicas in two zones; one is lost in the middle of answers, and found again 30 s later."""
    return simulate(
        {
            "name": "outage",
            "model": "llama-3.1-8b",
            "horizon_s": 120,
            "workload": {
                "arrivals": {"process": "constant", "rate_rps": 4},
                "input_tokens": {"distribution": "constant", "value": 200},
                "output_tokens": {"distribution": "constant", "value": 200},
            },
            "pools": [
                {
                    "name": "p",
                    "hardware": "h100-sxm",
                    "replicas": {"initial": 2},
                    "placement": {"zones": ["a", "b"]},
                    "cold_start": {"provision_s": 20, "initialise_s": 5},
                }
            ],
            "phases": [{"kind": "outage", "zone": "b", "at_s": 60, "for_s": 30}],
            "slo": {"ttft_p99_s": 0.2},
        }
    )


def test_an_outage_is_told(outage: Result) -> None:
    told = chapters(outage)
    losses = told["What happened to the fleet"]
    again = int((outage.requests["wasted_tokens"] > 0).sum())
    assert again > 0
    assert losses.sentences[0].startswith(f"{again} requests were begun and lost")
    assert ("failed", "replicas failed, with what they held", "1") in losses.rows
    phases = told["Outages, power caps and upgrades"].rows
    assert phases[0][:3] == ("outage of b", "0:01:00", "0:01:30")
    assert phases[1][0] == "otherwise"


def test_the_time_at_a_replica_that_was_lost_is_no_preemption(outage: Result) -> None:
    """What these requests had got before the outage is counted as an earlier try, for nobody was put back for want of blocks."""
    from infersim.results.why_latency import ttft_parts

    parts = ttft_parts(outage.requests)
    assert outage.requests["preemptions"].sum() == 0
    assert parts["preempted"].abs().max() < 1e-9
    lost = outage.requests["wasted_tokens"] > 0
    assert (parts.loc[lost[lost].index, "away"] > 0).any()
    assert parts.sum(axis=1).tolist() == pytest.approx(outage.requests["ttft_s"].tolist())
