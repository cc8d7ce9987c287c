"""The API reference builds, and has a page for each room and an entry for each public name."""

import subprocess
import sys
from pathlib import Path

import pytest

import infersim

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_reference_builds(tmp_path: Path) -> None:
    call = [sys.executable, str(ROOT / "docs" / "reference.py"), str(tmp_path / "site")]
    done = subprocess.run(call, capture_output=True, text=True, env=None, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr
    first = (tmp_path / "site" / "infersim.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in first for name in infersim.__all__)
    rooms = {path.stem for path in (tmp_path / "site" / "infersim").glob("*.html")}
    assert {
        "simulate",
        "spec",
        "cost",
        "dataplane",
        "workload",
        "policies",
        "controlplane",
        "results",
        "studies",
    } <= rooms
