"""`infersim curve`: tables on the screen, files, JSON."""

import json
from pathlib import Path

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
