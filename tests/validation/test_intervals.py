"""Intervals of predictions: where they lie, and that they hold as many published measurements as they say."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from infersim.cli.app import app
from infersim.studies.cases import Case
from infersim.studies.measurements import read_measurements
from infersim.studies.outcomes import predict
from infersim.studies.validation import OWN, likely, served, validate
from tests.validation.test_reading import table

EVERY = 30
"""Cases of infersim's own table from one that is drawn to the next."""


def test_a_prediction_lies_in_its_interval_and_a_wrong_measurement_does_not(tmp_path: Path) -> None:
    file = table(tmp_path / "mine.csv", value="1")  # tokens/s, of 8 H100
    found = validate(file, intervals=True)
    row = found.table.iloc[0]
    assert row["low"] < row["predicted"] < row["high"]
    within = found.within("metric").iloc[0]
    assert (within["rows"], within["inside_pct"]) == (1, 0.0)
    honest = validate(table(tmp_path / "honest.csv", value=str(row["predicted"] / 8)), intervals=True)
    assert honest.within("metric").iloc[0]["inside_pct"] == 100.0


def test_the_command_prints_and_writes_them(tmp_path: Path) -> None:
    file, out = table(tmp_path / "mine.csv"), tmp_path / "out.json"
    told = CliRunner().invoke(app, ["validate", str(file), "--intervals", "--workers", "1", "--json", str(out)])
    assert told.exit_code == 0, told.output
    assert "Measured values where nine in ten predictions lie" in told.output
    record = json.loads(out.read_text())[0]
    assert record["low"] < record["predicted"] < record["high"]


def test_nine_in_ten_hold_about_as_many_published_measurements() -> None:
    """Throughput, TPOT and E2E, servers apart: at least eight in ten, and intervals are not so wide that this says nothing."""
    inside, widths = [], []
    for case in [c for c in read_measurements(OWN).cases if c.load.kind != "server"][::EVERY]:
        for share, width in _places(case):
            inside.append(share)
            widths.append(width)
    assert len(inside) > 20
    assert np.mean(inside) >= 0.8
    assert np.median(widths) < 0.3


def _places(case: Case) -> list[tuple[bool, float]]:
    """Whether each measured value is in its interval, and that interval's relative half width."""
    outcome, ranges = served(case), likely(case)
    if isinstance(outcome, str) or not ranges:
        return []
    rows = zip(case.rows, ranges, strict=True)
    return [
        (low <= row.actual <= high, (high - low) / 2 / predict(case, outcome, row))
        for row, (low, high) in rows
        if row.metric != "ttft_ms"
    ]
