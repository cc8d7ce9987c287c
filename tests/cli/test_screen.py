"""Start-up, the progress bar and the word about compilation: what a person sees beside the result."""

import io
import subprocess
import sys

import pytest

from infersim import __version__
from infersim.cli import screen
from tests.cli.conftest import Command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "infersim", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("run", "scenarios", "hardware", "model", "engine", "schema"):
        assert command in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported & {"numpy", "numba", "pandas", "matplotlib", "pyarrow", "simpy", "pydantic", "yaml"} == set()


def test_version(infersim: Command) -> None:
    assert infersim("--version") == (0, f"infersim {__version__}\n", "")


def test_no_command_shows_the_help(infersim: Command) -> None:
    done = infersim()
    assert "Usage" in done.out + done.err


def test_a_short_run_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with screen.progress_bar("small") as draw:
        assert draw is not None
        draw(1.0, 10.0)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_long_run_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(screen, "PATIENCE_S", 0.0)
    with screen.progress_bar("small") as draw:
        assert draw is not None
        draw(5.0, 10.0)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "small" in shown
    assert "50%" in shown


def test_a_pipe_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with screen.progress_bar("small") as draw:
        assert draw is None


def test_compilation_is_announced_once_and_only_when_it_happens(capsys: pytest.CaptureFixture[str]) -> None:
    numba = pytest.importorskip("numba")
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled with NUMBA_DISABLE_JIT=1")
    loops = [numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2), numba.njit(lambda x: x + 3)]
    for loop in loops[:2]:
        loop.py_func.__module__ = "infersim.dataplane.loop"
    with screen.compilation_announced():
        assert loops[2](1) == 4
        assert capsys.readouterr().err == ""
        assert [loop(1) for loop in loops[:2]] == [2, 3]
    assert capsys.readouterr().err.count("compiling the simulation loop") == 1
    with screen.compilation_announced():
        assert loops[0](1) == 2
    assert capsys.readouterr().err == ""
