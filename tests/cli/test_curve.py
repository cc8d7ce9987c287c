"""`infersim curve`: tables on the screen, files, JSON."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from infersim.cli.curve import point_table
from infersim.studies.curve import Curve
from infersim.studies.curve_plot import draw
from tests.cli.conftest import Command


def test_the_tables_and_the_files(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    done = infersim("curve", scenario, "--loads", "1,3", "--workers", 1, "--set", "horizon_s=60")
    assert done.code == 0, done.err
    for words in ("saturation/s", "knee/s", "$/M output", "as it stands"):
        assert words in done.out
    assert (tmp_path / "runs" / "small-curve" / "curve.png").is_file()


def test_json_and_bad_loads(infersim: Command, scenario: Path) -> None:
    done = infersim("curve", scenario, "--loads", "2", "--workers", 1, "--json", "--out", "here")
    found = json.loads(done.out)
    assert [point["load_rps"] for point in found["points"]] == [2]
    assert found["marks"][0]["saturation_rps"] > 2
    assert infersim("curve", scenario, "--loads", "two").code == 2
    assert infersim("curve", scenario, "--vary", "pools.0.hardware=h100").code == 2


def test_what_has_no_output_tokens_is_paid_by_the_request() -> None:
    """Embeddings and images: neither dollars for output tokens nor a TPOT."""
    nothing = {"cost.usd_per_million_output_tokens": np.nan, "latency.tpot_s.p50": np.nan, "latency.tpot_s.p99": np.nan}
    given = {"variant": "a", "share": 1.0, "slo.attainment": 1.0, "latency.ttft_s.p50": 0.1, "latency.ttft_s.p99": 0.2}
    points = [given | nothing | {"load_rps": load, "cost.usd_per_thousand_requests": 1 / load} for load in (1.0, 2.0)]
    marks = pd.DataFrame([{"variant": "a", "saturation_rps": 2.0, "knee_rps": 1.5}])
    assert draw(Curve(pd.DataFrame(points), marks))
    assert [column.header for column in point_table(points).columns][-1] == "$/1,000"
