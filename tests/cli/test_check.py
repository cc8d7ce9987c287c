"""`infersim check`: exit codes, reports, annotations."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_the_gate(infersim: Command, scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ("check", scenario, "--baseline", "curves", "--workers", 1)
    missing = infersim(*gate)
    assert (missing.code, missing.out) == (2, "")
    assert "there is no baseline" in missing.err
    assert infersim(*gate, "--update").code == 0
    assert infersim(*gate).code == 0
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    dearer = "pools.0.price={usd_per_chip_hour: 50}"
    moved = infersim(*gate, "--set", dearer, "--junit", "a.xml", "--markdown", "a.md")
    assert moved.code == 1
    assert "MOVED  small" in moved.out
    assert "::error title=small at load" in moved.out
    assert "<failure" in (tmp_path / "a.xml").read_text()
    assert (tmp_path / "a.md").read_text() == (tmp_path / "summary.md").read_text()
