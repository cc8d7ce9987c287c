"""The gate: catches what was planted, keeps quiet over seeds, refuses baselines that do not belong, tells it well."""

import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infersim import check
from infersim.spec import catalogue
from infersim.studies.baseline import Baseline, new_baseline, read, write
from infersim.studies.errors import StudyError
from infersim.studies.gate_report import as_annotations, as_junit, as_markdown, as_text
from infersim.studies.regression import compare_with
from infersim.studies.variants import resolved_with
from tests.studies.scenarios import FULL

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario file and its baseline."""
    place = tmp_path_factory.mktemp("gate")
    (place / "full.json").write_text(json.dumps(FULL))
    check([place / "full.json"], baseline=place / "curves", update=True)
    return place


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Baseline:
    return read(folder / "curves" / "full.csv")


def slower_chip(place: Path, factor: float) -> str:
    """An L40S whose arithmetic, bandwidth, links and launches are all slower."""
    chip = catalogue.hardware("l40s").model_dump(mode="json", exclude_none=True)
    chip["name"] = "slow"
    for key in ("capacity_gb", "bandwidth_gb_s"):
        chip["memory"][key]["value"] *= 1.0 if key == "capacity_gb" else 1 / factor
    for peak in chip["peak_tflops"].values():
        peak["value"] /= factor
    chip["efficiency"]["op_floor_us"]["value"] *= factor
    (place / "slow.json").write_text(json.dumps(chip))
    return f"pools.0.hardware={place / 'slow.json'}"


def test_no_change_is_no_move(folder: Path) -> None:
    report = check(baseline=folder / "curves")
    assert report.passed
    assert report.comparisons[0].same_requests
    assert (report.comparisons[0].cells["before"] - report.comparisons[0].cells["after"]).abs().max() < 1e-2
    assert as_text(report) == "same  full"


def test_a_price_that_rises_by_three_percent(folder: Path) -> None:
    usd = catalogue.hardware("l40s").prices[0].usd_per_chip_hour.value
    report = check(baseline=folder / "curves", settings=[f"pools.0.price={{usd_per_chip_hour: {1.03 * usd}}}"])
    assert {move.term for move in report.moves} == {"price", "cost"}
    assert all(move.change == pytest.approx(0.03, rel=1e-3) for move in report.moves)
    assert len(report.moves) == 2 * 4


def test_a_chip_that_is_three_percent_slower(folder: Path, tmp_path: Path) -> None:
    report = check(baseline=folder / "curves", settings=[slower_chip(tmp_path, 1.03)])
    moved = {move.column for move in report.moves}
    assert {"latency.tpot_s.p50", "mean_spans_s.decode_s"} <= moved
    at_rest = [move for move in report.moves if move.load == min(move.load for move in report.moves)]
    assert not any(move.term == "price" for move in at_rest)
    assert "of which decode +" in as_text(report)


def test_silent_over_a_hundred_seeds(baseline: Baseline) -> None:
    """Other requests, no change: a thousandth of the checks may cry wolf, so one of a hundred at the very most."""
    lowest, _, nearly_full, _ = baseline.loads
    two_loads = replace(baseline, cells=baseline.cells[baseline.cells["load"].isin([lowest, nearly_full])])
    resolved = resolved_with(FULL)
    alarms = []
    for seed in range(1000, 1000 + 100 * len(baseline.seeds), len(baseline.seeds)):
        found = compare_with(two_loads, replace(resolved, scenario=resolved.scenario.model_copy(update={"seed": seed})))
        assert not found.same_requests
        alarms += [seed] if found.moves else []
    assert len(alarms) <= 1


def test_what_was_never_seen_has_no_small_tolerance(baseline: Baseline) -> None:
    """No variance is no evidence: where nothing missed in n requests, the rate of misses is known to log(1/p)/n only."""
    cells = baseline.cells.set_index(["load", "column"])
    lowest = baseline.loads[0]
    share = cells.loc[(lowest, "slo.attainment")]
    requests = cells.loc[(lowest, "requests.arrived"), "value"] * len(baseline.seeds)
    assert share["value"] == 1
    assert share["paired"] == pytest.approx(1.01 / requests, rel=1e-6)
    assert share["unpaired"] > 10 / requests
    assert math.isinf(cells.loc[(lowest, "mean_spans_s.preempted_s"), "unpaired"])
    assert math.isfinite(cells.loc[(lowest, "mean_spans_s.preempted_s"), "paired"])


def test_a_large_change_is_seen_on_other_requests_too(baseline: Baseline, tmp_path: Path) -> None:
    resolved = resolved_with(FULL, ["seed=77", slower_chip(tmp_path, 1.3)])
    found = compare_with(baseline, resolved)
    assert not found.same_requests
    assert "each token" in {move.term for move in found.moves}


def test_a_baseline_of_another_scenario_version_or_format(folder: Path, tmp_path: Path) -> None:
    path = folder / "curves" / "full.csv"
    kept = path.read_text()
    (tmp_path / "full.json").write_text(json.dumps(FULL | {"model": "qwen3-8b"}))
    with pytest.raises(StudyError, match="another scenario: model differ"):
        check([tmp_path / "full.json"], baseline=folder / "curves")
    old = tmp_path / "old"
    old.mkdir()
    for text, words in (
        (kept.replace("# version: ", "# version: 0.0."), "made by infersim 0.0."),
        (kept.replace("format 1", "format 9"), "begins with"),
        ("", "an empty file"),
        (kept.replace("load,column", "lode,column"), "is damaged"),
    ):
        (old / "full.csv").write_text(text)
        with pytest.raises(StudyError, match=words):
            check([folder / "full.json"], baseline=old)
    (old / "full.csv").write_text(kept.replace("# version: ", "# version: 0.0."))
    assert check([folder / "full.json"], baseline=old, any_version=True).notes
    with pytest.raises(StudyError, match="there is no baseline"):
        check(["h100_llama70b"], baseline=folder / "curves")
    with pytest.raises(StudyError, match="holds no baseline"):
        check(baseline=tmp_path)


def test_how_it_is_told(folder: Path) -> None:
    report = check(baseline=folder / "curves", settings=["pools.0.price={usd_per_chip_hour: 50}"])
    suite = ElementTree.fromstring(as_junit(report))
    assert suite.get("tests") == suite.get("failures") == "4"
    assert all("usd_per_hour (price)" in (case.findtext("failure") or "") for case in suite)
    lines = as_annotations(report).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("::error title=full at load ") and "%25" in line for line in lines)
    markdown = as_markdown(report)
    assert "| usd_per_hour | price |" in markdown
    assert markdown.count("```mermaid") == 2


def test_a_baseline_reads_back(baseline: Baseline, tmp_path: Path) -> None:
    write(baseline, tmp_path / "again.csv")
    again = read(tmp_path / "again.csv")
    assert again.cells.equals(baseline.cells)
    assert (again.scenario, again.seeds, again.version) == (baseline.scenario, baseline.seeds, baseline.version)


@pytest.mark.usefixtures("baseline")  # numba must be loaded already: pytester forgets what is imported within, once
def test_the_fixture_of_the_pytest_plugin(pytester: pytest.Pytester) -> None:
    (pytester.path / "full.json").write_text(json.dumps(FULL | {"horizon_s": 6}))
    pytester.makepyfile(
        test_cost="""
        import pathlib

        def test_small(cost_curve_regression):
            cost_curve_regression(pathlib.Path(__file__).parent / "full.json")
        """
    )
    plugin = ["-p", "infersim.studies.pytest_plugin", "-p", "no:cacheprovider"]
    first = pytester.runpytest_inprocess(*plugin)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*File not found in data directory, created*"])
    pytester.runpytest_inprocess(*plugin).assert_outcomes(passed=1)
    kept = pytester.path / "test_cost" / "test_small.csv"
    lines = kept.read_text().splitlines(keepends=True)
    number = next(k for k, line in enumerate(lines) if "usd_per_hour" in line)
    load, column, value, *rest = lines[number].split(",")
    lines[number] = ",".join([load, column, str(1.03 * float(value)), *rest])
    kept.write_text("".join(lines))
    moved = pytester.runpytest_inprocess(*plugin)
    moved.assert_outcomes(failed=1)
    moved.stdout.fnmatch_lines(["*usd_per_hour (price)*-2.9%*"])


def test_new_baselines_are_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write(new_baseline(resolved_with(FULL | {"horizon_s": 6}), "small"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
