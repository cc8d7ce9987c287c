"""The machinery of the claims, by hand; and a guard that no verdict turns unnoticed."""

from pathlib import Path

import pandas as pd
import pytest

from infersim.results.directory import read_run, to_json
from infersim.simulate import simulate
from infersim.spec.catalogue import scenario_names
from infersim.studies.claims import CLAIMS, settle
from infersim.studies.claims.case import Case, on
from infersim.studies.claims.claim import Check, Claim, about, at_least, at_most, between
from infersim.studies.claims.evidence import estimated
from infersim.studies.claims.flips import flips, read, table, write
from infersim.studies.claims.measure import Measured, Task, measure
from infersim.studies.claims.reading import Reading, ratio
from infersim.studies.claims.settle import Settled, estimates
from infersim.studies.claims.verdict import judge, shown
from infersim.studies.errors import StudyError

TABLE = Path(__file__).parents[2] / "docs" / "claims.csv"
QUICK = (3, 6, 9)
"""Claims of few cases, settled again in every run of the tests."""


def measured(**numbers: float) -> Measured:
    price = {
        "pool": "main",
        "profile": "price of aws",
        "key": "price.usd_per_chip_hour",
        "grade": "estimated",
        "spread": 0.3,
    }
    chip = {"pool": "main", "profile": "hardware h100-sxm", "key": "power.idle_w", "grade": "estimated", "spread": 0.1}
    row = {"load_rps": 1.0, "runs": 1.0, "chips": 1, **numbers}
    return Measured(row, sources=(chip, price), dtypes=frozenset({"bf16"}))


def claim(*checks: Check) -> Claim:
    return Claim(1, "t", "text", "source", "simulated", "weather", (Case("a", "claims/08_groq"),), checks)


@pytest.mark.parametrize(
    ("claimed", "inside", "outside"),
    [
        (at_least(2), 2, 1.9),
        (at_most(2), 2, 2.1),
        (between(1, 2), 1, 2.5),
        (about(4), 4.9, 5.1),
        (at_least(2), 3, float("nan")),
    ],
)
def test_what_counts_as_claimed(claimed, inside: float, outside: float) -> None:
    assert claimed.holds(inside)
    assert not claimed.holds(outside)


def test_a_verdict_needs_all_of_its_checks_or_none() -> None:
    yes = Check("x", lambda r: r("a", "x"), claimed=at_least(1), when="on Mondays")
    no = Check("y", lambda r: r("a", "y"), claimed=at_least(1), when="on Fridays")
    fact = Check("z", lambda r: r("a", "y"))
    cases = [{"a": measured(x=2.0, y=0.5)}]
    assert judge(claim(yes, fact), cases)[0]["verdict"] == "holds"
    assert judge(claim(no, fact), cases)[0]["verdict"] == "does not hold"
    assert judge(claim(fact), cases)[0]["verdict"] == "answer"
    whole = judge(claim(yes, no), cases)[0]
    assert (whole["verdict"], whole["conditions"], whole["unless"]) == ("holds if", "on Mondays", "on Fridays")


def test_an_answer_that_turns_within_the_spreads_is_not_sure() -> None:
    check = Check("x", lambda r: r("a", "x"), claimed=at_least(1), when="on Mondays")
    whole, (row,) = judge(claim(check), [{"a": measured(x=value)} for value in (2.0, 0.5, 3.0)])
    assert (whole["verdict"], whole["unsure"]) == ("holds", "on Mondays")
    assert (row["value"], row["low"], row["high"], row["sure"]) == (2.0, 0.5, 3.0, False)


def test_a_verdict_names_the_estimated_numbers_that_it_was_read_from() -> None:
    cases = {"a": measured(**{"cost.total_usd": 1.0, "energy.total_j": 1.0, "latency.ttft_s.mean": 1.0})}
    assert estimated([("a", "cost.total_usd")], cases) == ["h100-sxm: price ± 30%"]
    assert estimated([("a", "energy.total_j")], cases) == ["h100-sxm: power ± 10%"]
    assert estimated([("a", "latency.ttft_s.mean")], cases) == []


def test_who_serves_nobody_serves_at_no_price() -> None:
    reading = Reading({"none": Measured({"load_rps": 0.0, "runs": 1.0}, "why"), "cannot": Measured(None, "why")})
    for case in ("none", "cannot"):
        assert reading.usd(case) == float("inf")
        assert reading.speed(case) == reading(case, "load_rps") == 0
    assert reading("none", "runs") == 1
    assert reading("cannot", "runs") == 0
    assert ratio(1.0, reading.usd("none")) == 0
    assert not at_most(1).holds(ratio(reading.usd("none"), reading.usd("cannot")))
    assert shown(reading.usd("none"), "x") == "∞"


def test_the_load_of_a_case_keeps_its_slo_and_more_does_not() -> None:
    """Of 8B on an L40S; at 1.25 times the load that was found a p99 misses."""
    keys = {"weights": "fp8", "kv": "fp8"}
    found = measure(Task(on("l40s", "01_l40s_against_h100", "l40s", **keys), 0, None)).row
    assert found is not None
    assert all(found[key] for key in found if key.startswith("slo.targets.") and key.endswith(".holds"))
    more = on(
        "more",
        "01_l40s_against_h100",
        "l40s",
        **keys,
        at="as it stands",
        workload__arrivals__rate_rps=1.25 * found["load_rps"],
    )
    row = measure(Task(more, 0, None)).row
    assert row is not None
    assert not all(row[key] for key in row if key.startswith("slo.targets.") and key.endswith(".holds"))


def test_a_lone_user_waits_for_nobody() -> None:
    """TPOT of 70B in 16 bit on four wafers is the launch figure, 1/450 s (cerebras.ai, 2024-08), to a few percent."""
    case = on("alone", "09_cerebras_wafers", "cerebras-wse3", engine="cerebras", weights="bf16", at="alone")
    row = measure(Task(case, 0, None)).row
    assert row is not None
    assert row["latency.tpot_s.mean"] == pytest.approx(1 / 450, rel=0.05)
    assert row["mean_spans_s.queued_s"] < 0.01 * row["latency.e2e_s.mean"]


def test_every_claim_has_its_scenarios_and_every_scenario_its_claim() -> None:
    assert [claim.number for claim in CLAIMS] == list(range(1, 21))
    used = {case.scenario for claim in CLAIMS for case in claim.cases}
    assert used == {name for name in scenario_names() if name.startswith("claims/")}
    for each in CLAIMS:
        names = [case.name for case in each.cases]
        assert len(set(names)) == len(names)
        assert all(check.when for check in each.checks if check.claimed), (
            f"claim {each.number}: a condition for `holds if`"
        )


def test_the_committed_table_is_of_these_claims() -> None:
    committed = read(TABLE)
    asked = {(claim.number, check.when, check.what) for claim in CLAIMS for check in claim.checks if check.claimed}
    assert set(committed[["claim", "when", "what"]].itertuples(index=False, name=None)) == asked


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settled, Path]:
    out = tmp_path_factory.mktemp("claims")
    return settle(QUICK, replications=1, out=out), out


def test_no_verdict_turns_unnoticed(quick: tuple[Settled, Path]) -> None:
    assert flips(quick[0], read(TABLE)) == []


@pytest.mark.validation
def test_no_verdict_of_all_turns_unnoticed(request: pytest.FixtureRequest) -> None:
    if "validation" not in request.config.option.markexpr:
        pytest.skip("runs all claims, in minutes; ask for it with -m validation (`make claims` does)")
    assert flips(settle(replications=1, workers=None), read(TABLE)) == []


def test_every_number_traces_to_a_run(quick: tuple[Settled, Path]) -> None:
    settled, out = quick
    for row in settled.checks.to_dict("records"):
        for case in row["cases"].split("; "):
            place = out / f"{row['claim']:02d}" / case.replace(" ", "-")
            cannot = settled.claims.set_index("claim").loc[row["claim"], "cannot"]
            assert f"{case}: " in cannot or read_run(place).summary["provenance"]


def test_intervals_trace_to_runs_too(tmp_path: Path) -> None:
    settled = settle([3], replications=2, out=tmp_path)
    row = settled.checks[settled.checks["when"].str.startswith("10 tokens/s")].iloc[0]
    place = tmp_path / "03" / row["cases"].replace(" ", "-")
    summaries = [read_run(place.with_name(f"{place.name}{end}")).summary for end in ("", "~1")]
    graded = [[entry["value"] for entry in summary["provenance"]] for summary in summaries]
    assert graded[0] != graded[1]
    rates = [1 / summary["latency"]["tpot_s"]["mean"] for summary in summaries]
    assert row["low"] <= min(rates) * 1.05
    assert max(rates) <= row["high"] * 1.05
    assert row["low"] < row["high"]


def test_the_scenario_of_a_run_directory_gives_its_numbers_again(quick: tuple[Settled, Path]) -> None:
    """Those of links that take no time included: what was changed stands in the scenario."""
    places = [place for place in sorted((quick[1] / "09").iterdir()) if place.name.startswith("70B")]
    assert len(places) == 2
    for place in places:
        again = simulate(place / "scenario.yaml").summary
        assert to_json(again) == (place / "summary.json").read_text()


def test_what_is_estimated_is_told_by_grades_alone() -> None:
    for each in CLAIMS:
        assert "estimat" not in each.hinges + each.short, f"claim {each.number} types what grades say"
        assert all(f"{{{number}}}" not in each.short for number in range(len(each.checks), 99))


def test_what_a_verdict_rests_on_in_short() -> None:
    row = {"estimated": "h100-sxm: price ± 30%, power; vllm: price", "unsure": ""}
    assert estimates(row) == "power, price"
    assert estimates(row | {"unsure": "on Mondays"}) == "power, price; may turn it"
    assert estimates({"estimated": "", "unsure": ""}) == "none"


def test_a_turned_verdict_is_noticed(quick: tuple[Settled, Path], tmp_path: Path) -> None:
    settled, _ = quick
    write(settled, tmp_path / "claims.csv")
    committed = read(tmp_path / "claims.csv")
    pd.testing.assert_frame_equal(committed, table(settled), check_dtype=False)
    assert flips(settled, committed) == []
    turned = committed.assign(holds=~committed["holds"].astype(bool))
    assert len(flips(settled, turned)) == len(committed)
    assert flips(settled, turned.assign(sure=False)) == []
    assert len(flips(settled, committed.iloc[1:])) == 1
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match="--update"):
        read(tmp_path / "other.csv")
