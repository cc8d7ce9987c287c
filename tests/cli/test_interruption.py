"""Ctrl-C leaves a complete run directory or none, says one line and ends with 130."""

import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infersim.cli import ON_INTERRUPT
from infersim.cli.failure import interruptions
from infersim.results import directory
from infersim.results.directory import read_run
from tests.cli.conftest import Command

ONE_LINE = ON_INTERRUPT + "\n"


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """SIGINT as in a terminal: a shell that starts the tests in the background has it ignored, by children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_while_simulating(infersim: Command, scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("infersim.simulate"), "simulate", interrupted)
    assert infersim("run", scenario, "--out", "here") == (130, "", ONE_LINE)
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_a_library_may_turn_it_into_an_error_of_its_own(
    infersim: Command, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scipy does while it is imported."""

    def garbled(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("expected a message argument") from None

    monkeypatch.setattr(importlib.import_module("infersim.simulate"), "simulate", garbled)
    assert infersim("run", scenario) == (130, "", ONE_LINE)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_waits_while_llvm_would_lose_it() -> None:
    """An exception in a function that LLVM called back is printed and forgotten, so it comes a moment later."""
    llvm = {"__name__": "llvmlite.binding.executionengine", "signal": signal}
    exec("def callback():\n    signal.raise_signal(signal.SIGINT)\n    return 'compiled'", llvm)
    with interruptions() as signals:
        assert llvm["callback"]() == "compiled"  # type: ignore[operator]
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10)
    assert signals == [signal.SIGINT, signal.SIGALRM]


@pytest.mark.parametrize("step", ["write_parquet", "_swap"])
@pytest.mark.parametrize("earlier", [False, True])
def test_while_writing(
    step: str, earlier: bool, infersim: Command, scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before the run, nothing or an earlier run, is there after it."""
    if earlier:
        assert infersim("run", scenario, "--out", "here", "--no-plots", "--seed", "5").code == 0

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(directory, step, interrupted)
    done = infersim("run", scenario, "--out", "here", "--no-plots")
    assert done.code == 130
    assert done.out == ""
    assert done.err.endswith(ONE_LINE)  # the word about compilation may stand before it
    assert sorted(path.name for path in tmp_path.iterdir()) == (["here", "small.yaml"] if earlier else ["small.yaml"])
    if earlier:
        assert read_run(tmp_path / "here").summary["scenario"]["seed"] == 5


@pytest.fixture(scope="module")
def start_up_s() -> float:
    """Time that this machine, as loaded as it is, takes to start infersim [s]."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "infersim", "--version"], check=True, capture_output=True)
    return time.monotonic() - begun


@pytest.mark.parametrize("start_ups", [4, 8, 16])
def test_a_real_signal(start_ups: int, start_up_s: float, scenario: Path, tmp_path: Path) -> None:
    """Wherever a real Ctrl-C falls: importing, simulating or writing."""
    long = ("--set", "horizon_s=2e6", "--no-plots", "--out", "here")
    command = [sys.executable, "-m", "infersim", "run", scenario.name, *long]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.wait(start_ups * start_up_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    left = sorted(path.name for path in tmp_path.iterdir())
    if process.returncode == 0:  # a fast machine had done its work
        read_run(tmp_path / "here")
        assert left == ["here", "small.yaml"]
    else:  # 130, or death by the signal, which a shell calls 130 too: CPython ends so if an `exec` was interrupted
        assert process.returncode in (130, -signal.SIGINT)
        assert left == ["small.yaml"]
    if process.returncode == 130:
        assert err.endswith(ONE_LINE)
        assert "Traceback" not in err
