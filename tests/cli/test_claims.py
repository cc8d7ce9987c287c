"""`infersim claims`: what it prints and writes, and how it fails. The claims are in tests/studies/test_claims.py."""

import json
from pathlib import Path

from infersim.studies.claims.flips import read
from tests.cli.conftest import Command

TABLE = Path(__file__).parents[2] / "docs" / "claims.csv"


def test_the_command(infersim: Command, tmp_path: Path) -> None:
    done = infersim("claims", "--only", "6", "--replications", "1", "--out", str(tmp_path / "out"), "--workers", "1")
    assert done.code == 0, done.err
    assert "Ascend 910C against H100: " in done.out
    assert "estimated: ascend-910c" in done.out
    assert {"claims.csv", "checks.csv", "claims.md", "claims.json", "06"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    turned = read(TABLE)
    turned = turned.assign(holds=~turned["holds"].astype(bool), sure=True)
    turned.to_csv(tmp_path / "turned.csv", index=False)
    done = infersim("claims", "--only", "6", "--check", str(tmp_path / "turned.csv"), "--workers", "1")
    assert done.code == 1
    assert "claim 6: " in done.out
    assert infersim("claims", "--only", "21").code == 2


def test_json(infersim: Command, tmp_path: Path) -> None:
    done = infersim("claims", "--only", "6", "--replications", "1", "--out", str(tmp_path), "--json", "--workers", "1")
    assert {"claims", "checks"} == json.loads(done.out).keys()
