"""`infersim compare`, `sensitivity`, `breakeven`: what they print, and what they refuse."""

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_compare(infersim: Command, scenario: Path) -> None:
    assert infersim("run", scenario, "--no-plots", "--out", "a").code == 0
    assert infersim("run", scenario, "--no-plots", "--out", "b", "--set", "pools.0.replicas.initial=2").code == 0
    done = infersim("compare", "a", "b")
    assert done.code == 0
    assert "pools.0.replicas.initial: 1 -> 2" in done.out
    assert json.loads(infersim("compare", "a", "b", "--json").out)["cost"][1]["factor"] > 1.9
    missing = infersim("compare", "a", "c")
    assert missing.code == 2
    assert "c is not a directory" in missing.err


def test_sensitivity(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    done = infersim("sensitivity", scenario, "--workers", 1, "--out", "s")
    assert done.code == 0, done.err
    assert "chat: price" in done.out
    assert (tmp_path / "s" / "tornado.png").is_file()


def test_breakeven(infersim: Command, scenario: Path) -> None:
    key, fixed = "pools.0.price.usd_per_chip_hour", "pools.0.price={usd_per_chip_hour: 3}"
    done = infersim("breakeven", scenario, "--key", key, "--between", 1, 8, "--b", fixed)
    assert done.code == 0, done.err
    assert f"{key} 3.0" in done.out
    assert "below it A is lower" in done.out
