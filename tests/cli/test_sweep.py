"""`infersim sweep`: the table on the screen, JSON, where things lie, and clear errors."""

import json
from pathlib import Path

import pandas as pd

from tests.cli.conftest import Command


def test_the_table_and_where_it_lies(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    done = infersim("sweep", scenario, "--grid", "workload.arrivals.rate_rps=1,2,3", "--workers", 1)
    assert done.code == 0, done.err
    assert "TTFT p99" in done.out
    assert "3 of 3 points done, 0 of them before; table: runs/small-sweep/sweep.parquet" in done.err
    assert len(pd.read_parquet(tmp_path / "runs" / "small-sweep" / "sweep.parquet")) == 3
    again = infersim("sweep", scenario, "--grid", "workload.arrivals.rate_rps=1,2,3", "--workers", 1, "--json")
    assert "3 of them before" in again.err
    assert [row["workload.arrivals.rate_rps"] for row in json.loads(again.out)] == [1, 2, 3]


def test_bad_grids_are_input_errors(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    for grid, words in (
        ("horizon=1,2", "unknown key"),
        ("horizon_s=", "has no values"),
        ("horizon_s=1..9", "--sample"),
    ):
        done = infersim("sweep", scenario, "--grid", grid, "--workers", 1)
        assert done.code == 2
        assert words in done.err
        assert "Traceback" not in done.err
