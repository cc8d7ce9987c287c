"""`infersim run`: what it prints where, and where the run directory lies."""

import json
from pathlib import Path

import pytest

from infersim.results.directory import read_run
from tests.cli.conftest import Command

TRACE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
"""


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_table_and_where_things_lie(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    done = infersim("run", scenario, "--out", "first")
    assert done.code == 0
    for words in ("small", "TTFT", "TPOT", "per million output tokens", "run directory: first", "plot: first/plots/"):
        assert words in done.out
    assert "\x1b" not in done.out
    saved = read_run(tmp_path / "first")
    assert saved.summary["scenario"]["seed"] == 1
    assert len(entries(tmp_path / "first" / "plots")) == 4


def test_json_is_all_that_is_on_stdout(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    done = infersim("run", scenario, "--json", "--no-plots", "--out", "first")
    assert done.code == 0
    assert json.loads(done.out) == read_run(tmp_path / "first").summary
    assert "run directory: first" in done.err
    assert not (tmp_path / "first" / "plots").exists()


def test_the_directory_follows_from_what_runs(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    for arguments in ([], [], ["--seed", "1"], ["--seed", "2"], ["--set", "horizon_s=10"]):
        assert infersim("run", scenario, "--no-plots", *arguments).code == 0
    runs = entries(tmp_path / "runs")
    assert len(runs) == 3
    assert all(name.startswith("small-") for name in runs)
    assert sorted(read_run(tmp_path / "runs" / name).summary["scenario"]["seed"] for name in runs) == [1, 1, 2]


def test_the_seed_option_is_the_scenarios_seed(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    assert infersim("run", scenario, "--no-plots", "--seed", "7", "--out", "a").code == 0
    assert infersim("run", scenario, "--no-plots", "--set", "seed=7", "--out", "b").code == 0
    same = [(tmp_path / name / "requests.parquet").read_bytes() for name in "ab"]
    assert same[0] == same[1]


def test_a_second_run_replaces_the_first(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        assert infersim("run", scenario, "--no-plots", "--out", "again", "--seed", seed).code == 0
    assert read_run(tmp_path / "again").summary["scenario"]["seed"] == 2
    assert entries(tmp_path) == ["again", "small.yaml"]


def test_the_trace_of_the_command_line(infersim: Command, tmp_path: Path) -> None:
    (tmp_path / "my trace.csv").write_text(TRACE)
    done = infersim("run", "azure_conversation", "--trace", "my trace.csv", "--no-plots", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["requests"]["arrived"] == 3


def test_the_trace_of_the_environment(infersim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    (traces / "AzureLLMInferenceTrace_conv.csv").write_text(TRACE)
    monkeypatch.setenv("INFERSIM_TRACES", str(traces))
    done = infersim("run", "azure_conversation", "--no-plots", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["requests"]["arrived"] == 3
