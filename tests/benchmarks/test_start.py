"""From nothing to a result: in a running Python, in a new process, and in a new installation that has to compile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from infersim.simulate import simulate

SMALL = "h100_llama70b"
"""Ten minutes of 70B chat on one replica, 2,400 requests."""


def process(*arguments: object, **environment: str) -> str:
    """What a new Python prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_simulate(benchmark: BenchmarkFixture) -> None:
    result = benchmark(simulate, SMALL)
    assert (result.record.outcomes["status"] == 0).all()


def test_help(benchmark: BenchmarkFixture) -> None:
    """Budget of the design: 0.3 s."""
    assert "Usage" in benchmark.pedantic(process, ("-m", "infersim", "--help"), rounds=10 if benchmark.enabled else 1)


def test_a_small_scenario(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Start to finish, plots included, with the loop in the cache. Budget of the design: 2 s."""
    rounds, warm = (5, 1) if benchmark.enabled else (1, 0)
    command = ("-m", "infersim", "run", SMALL, "--out", tmp_path / "run")
    assert "run directory" in benchmark.pedantic(process, command, rounds=rounds, warmup_rounds=warm)


@pytest.mark.usefixtures("only_measured")
def test_the_first_compilation(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """A small scenario in a new installation. Budget of the design: 40 s."""
    caches = iter(range(3))
    command = ("-m", "infersim", "run", SMALL, "--no-plots", "--out", tmp_path / "run")

    def fresh() -> str:
        return process(*command, NUMBA_CACHE_DIR=str(tmp_path / f"cache{next(caches)}"))

    assert "run directory" in benchmark.pedantic(fresh, rounds=2)
