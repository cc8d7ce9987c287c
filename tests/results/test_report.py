"""The report: one file, no network, the summary's numbers, names as text, and alive in a real browser."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infersim.results.directory import OutputError, RunDirectoryError
from infersim.results.heat import heat
from infersim.results.provenance import RESTS_ON, Source, weakest
from infersim.results.report import report, write_report
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.browser import browse, needs_chromium
from tests.results.run_records import edited, large_run, pool_record, small_run

EVIL = "<script>window.evil=1</script>$$x$$@{a}"
SLO = Slo(ttft_p99_s=1.0, tpot_p99_s=0.05)


def evil_run() -> Result:
    """A run whose every name tries to be markup."""
    run = large_run(800, slo=SLO)
    sources = (Source(EVIL, "power.tdp_w", 700.0, "datasheet", 0.1, EVIL),)
    pools = [
        pool_record(EVIL, tally=run.pools[0].tally, hardware=EVIL, price_source=EVIL, sources=sources),
        run.pools[1],
    ]
    given = run.scenario.model_copy(update={"description": EVIL, "model": EVIL})
    return Result(edited(run, pools=pools, scenario=given, warnings=[EVIL], events=[(1.0, "scale", EVIL, 0, EVIL)]))


def own_part(page: str) -> str:
    """The page without BokehJS."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_one_file_without_network() -> None:
    page = report(Result(large_run(300)))
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", own_part(page))
    assert "@import" not in own_part(page)
    assert "url(" not in own_part(page)


def test_shows_the_numbers_of_the_summary() -> None:
    result = Result(small_run(SLO))
    page = own_part(report(result))
    for piece in ("4</dd>", "of 5 that arrived", "$0.0330", "$0.00800", "$0.0190", "$0.00600", "1.46 Wh", "60.0 %",
                  "0:00:04", "1 to 2: 3 in flight", "1 request was rejected"):  # fmt: skip
        assert piece in page, piece


def test_sums_agree_to_the_cent_between_summary_parquet_and_report(tmp_path: Path) -> None:
    result = Result(large_run(1000))
    page = report(result.save(tmp_path / "run", plots=False))
    (inside,) = json.loads(re.search(r'id="summaries">(.*?)</script>', page, re.DOTALL)[1])
    assert inside["cost"] == result.summary["cost"]
    assert result.replicas["cost_usd"].sum() == pytest.approx(inside["cost"]["total_usd"], abs=0.005)
    waterfall = re.search(r"busy \$([\d,.]+), idle \$([\d,.]+), cold start \$([\d,.]+), together \$([\d,.]+)\.<", page)
    shown = [float(amount.replace(",", "")) for amount in waterfall.groups()]
    for name, amount in zip(("busy", "idle", "cold_start", "total"), shown, strict=True):
        assert amount == pytest.approx(inside["cost"][f"{name}_usd"], abs=0.0051), name


def test_same_run_same_bytes_from_result_and_directory(tmp_path: Path) -> None:
    folder = Result(large_run(300, slo=SLO)).save(tmp_path / "run", plots=False, report=True)
    assert report(folder) == report(Result(large_run(300, slo=SLO))) == (folder / "report.html").read_text()


def test_names_are_text_and_never_markup() -> None:
    page = own_part(report(evil_run(), Result(small_run())))
    assert "<script>window" not in page
    assert "&lt;script&gt;window.evil=1" in page


@pytest.mark.parametrize(
    "changes", [{"requests": 0}, {"requests": slice(3, 4)}, {"samples": 0}, {"requests": 0, "leases": 0, "samples": 1}]
)
@pytest.mark.filterwarnings("error")
def test_runs_with_little_to_show(changes: dict) -> None:
    page = own_part(report(Result(edited(small_run(), **changes))))
    assert ">nan" not in page
    assert "None" not in page


def test_several_runs_side_by_side() -> None:
    dear = Result(edited(small_run(), pools=[pool_record(usd_per_chip_hour=3.60)]))
    page = own_part(report(Result(small_run()), dear))
    assert "$0.0660 (+100 %)" in page
    assert "(same)" in page
    assert page.count("<section") == 2


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    folder = Result(small_run()).save(tmp_path / "run", plots=False)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", folder)
    (folder / "timeline.parquet").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match="truncated"):
        report(folder)
    with pytest.raises(ValueError, match="at least one run"):
        report()


def test_a_million_requests(tmp_path: Path) -> None:
    """Under 10 s and 5 MB; the tenth of it here, with room for a slow machine."""
    result = Result(large_run(100_000, slo=SLO))
    result.summary  # noqa: B018  # worked out before, as after any run
    begun = time.perf_counter()
    page = report(result)
    assert time.perf_counter() - begun < 10.0
    assert len(page.encode()) < 5e6


def test_heat_is_mean_requests_in_flight() -> None:
    """By hand: replica 0 holds requests over 1 to 2.5, 2.2 to 3.4 and 3 to 3.2 s; replica 1 over 8 to 11 s."""
    result = Result(small_run())
    found = heat(result.requests, result.replicas, np.array([0.0, 2.0, 4.0, 20.0]))
    assert found.replicas.tolist() == [0, 1]
    np.testing.assert_allclose(found.in_flight[0], [0.5, (0.5 + 1.2 + 0.2) / 2, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.in_flight[1], [np.nan, np.nan, 3.0 / 16])


def test_provenance_finds_the_weakest_grade() -> None:
    assert weakest(["datasheet", "estimated", "measured"]) == "estimated"
    page = own_part(report(evil_run()))
    joules = page[page.index("joules and grams") :]
    assert joules[: joules.index("</tr>")].count("datasheet") == 2
    assert set(RESTS_ON) == {name for name in RESTS_ON if name.replace("&", "&amp;") in page}


@needs_chromium
class TestInABrowser:
    """Headless Chromium with no network at all."""

    def test_draws_everything_and_runs_nothing_that_names_bring(self, tmp_path: Path) -> None:
        path = write_report(tmp_path / "report.html", evil_run(), Result(small_run(SLO)))
        path.write_text(path.read_text() + "<script>" + WATCH + "</script>")
        dom, console = browse(path, "--dump-dom")
        assert 'data-drawn="yes"' in dom
        assert "Uncaught" not in console
        assert "ERR_" not in console
        seen = json.loads(re.search(r'id="seen">(.*?)</script>', dom)[1])
        assert seen["evil"] is None
        assert seen["charts"] == seen["drawn"] > 10
        assert seen["end"] < seen["full"], "the key + zooms in"
        assert seen["again"] == seen["full"], "the key 0 shows everything"

    def test_light_and_dark(self, tmp_path: Path) -> None:
        path = write_report(tmp_path / "report.html", Result(large_run(500, slo=SLO)))
        shades = []
        for option in ("--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"):
            shot = tmp_path / "shot.png"
            browse(path, f"--screenshot={shot}", "--window-size=1200,5000", option)
            pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
            shades.append(float(np.median(pixels)))
            blue = np.abs(pixels.astype(int) - (0, 114, 178)).sum(axis=1) < 12
            assert blue.sum() > 500, "the charts are there"
        assert shades[0] > 200
        assert shades[1] < 60


WATCH = """
const wait = setInterval(() => {
  if (document.documentElement.dataset.drawn !== "yes") return;
  clearInterval(wait);
  const chart = document.getElementById("chart1"), places = [...document.querySelectorAll(".plot")];
  const range = Bokeh.documents[0].roots()[1].x_range, full = range.end;
  const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  press("+");
  const end = range.end;
  press("0");
  const out = document.createElement("script");
  out.type = "application/json";
  out.id = "seen";
  out.textContent = JSON.stringify({evil: window.evil ?? null, charts: places.length,
    drawn: places.filter((place) => place.children.length > 0).length, full, end, again: range.end});
  document.body.append(out);
}, 50);
"""
