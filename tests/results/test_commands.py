"""`infersim explain`, `report`, `export` and the options of `run` that belong to them, as a person calls them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infersim.cli.app import app
from infersim.results.result import Result
from infersim.spec.scenario import Slo
from tests.results.run_records import large_run

SHORT = ["--set", "horizon_s=10", "--no-plots"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Result(large_run(300, slo=Slo(ttft_p99_s=1.0))).save(tmp_path_factory.mktemp("runs") / "run", plots=False)


def said(*words: object, code: int = 0) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def test_explain(folder: Path) -> None:
    assert "Time to first token" in said("explain", folder)
    assert "What happened" in said("explain", folder, "--request", 7)
    assert "error: there is no request 300; ids go from 0 to 299" in said("explain", folder, "--request", 300, code=2)


def test_report_and_export(folder: Path, tmp_path: Path) -> None:
    assert f"report: {tmp_path / 'page.html'}" in said("report", folder, folder, "--out", tmp_path / "page.html")
    assert "Side by side" in (tmp_path / "page.html").read_text()
    assert "metrics.prom" in said("export", folder, "--format", "prometheus,aiperf", "--out", tmp_path / "out")
    assert "error: unknown export format 'pdf'" in said("export", folder, "--format", "pdf", code=2)


@pytest.mark.parametrize("command", ["explain", "report", "export"])
def test_a_run_that_was_edited(folder: Path, tmp_path: Path, command: str) -> None:
    copy = Result(large_run(30)).save(tmp_path / "run", plots=False)
    (copy / "summary.json").write_text("{}")
    words = ["--format", "csv"] if command == "export" else []
    assert "error: " in (text := said(command, copy, *words, code=2))
    assert "summary.json is truncated" in text
    assert "has no manifest.json" in said(command, tmp_path, *words, code=2)


def test_run_with_everything(tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = said(
        "run", "chat_burst", *SHORT, "--out", out, "--report", "--export", "csv,perfetto", "--replications", 2, "--json"
    )
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert found["replications"]["runs"] == 2
    written = {path.name for path in out.iterdir()}
    assert {"report.html", "trace.json", "requests.csv", "replications.csv"} <= written
    again = said("run", "chat_burst", *SHORT, "--out", out, "--replications", 2)
    assert "95 % interval of the mean" in again
    assert "the SLO held in" in again
    assert "error: unknown export format 'pdf'" in said("run", "chat_burst", "--export", "pdf", code=2)
