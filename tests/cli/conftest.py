"""What every test of the command line needs: a way to run a command, and a small scenario to spoil."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from infersim.cli.app import app

SCENARIO = """\
name: small
description: A test.
model: llama-3.1-8b
horizon_s: 20
seed: 1
workload:
  arrivals: {process: poisson, rate_rps: 2}
  input_tokens: {distribution: constant, value: 100}
  output_tokens: {distribution: constant, value: 20}
pools:
  - name: chat
    hardware: h100-sxm
    engine: vllm
    parallelism: {tensor: 1}
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def infersim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `infersim ARGS` in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFERSIM_TRACES", raising=False)

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as end:
            app([str(argument) for argument in arguments], prog_name="infersim")
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Done(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A file with a small scenario that runs."""
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path
