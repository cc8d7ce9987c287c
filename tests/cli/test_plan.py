"""`infersim plan`: the ranking, the reasons, and a winner that runs."""

from pathlib import Path

from tests.cli.conftest import Command


def test_the_ranking_and_a_winner_that_runs(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    choice = ("--space", "hardware=h100-sxm,l40s", "--space", "tensor=1", "--workers", 1, "--out", "plan")
    without = infersim("plan", scenario, *choice)
    assert (without.code, without.out) == (2, "")
    assert "has no SLO to meet" in without.err
    done = infersim("plan", scenario, *choice, "--set", "slo.ttft_p99_s=1", "--keep", 1)
    assert done.code == 0, done.err
    for words in ("margin", "why it lost", "headroom: the load may grow by", "a perfect system would use"):
        assert words in done.out
    assert infersim("run", tmp_path / "plan" / "winner.yaml", "--no-plots").code == 0
