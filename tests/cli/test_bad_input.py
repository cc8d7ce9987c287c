"""Bad input gives exit code 2, one message that says what would be right, no traceback and no output."""

import importlib
from pathlib import Path

import pytest

from infersim.cli.failure import MENDABLE
from tests.cli.conftest import SCENARIO, Command, Done


def refused(done: Done, *said: str) -> None:
    """The command ended as bad input must, and its message says all of `said`."""
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for words in said:
        assert words in done.err, done.err


SPOILT = {
    "unknown key": ("engine: vllm", "enginee: vllm", ["small.yaml:13", "pools[0].enginee", "engine"]),
    "duplicate key": ("seed: 1", "seed: 1\nseed: 2", ["small.yaml:6", "duplicate", "line 5"]),
    "unknown chip": ("h100-sxm", "h100-smx", ["small.yaml:12", "pools[0].hardware", "h100-smx", "h100-sxm"]),
    "unknown model": ("llama-3.1-8b", "llama-3.1-9b", ["small.yaml:3", "llama-3.1-9b", "llama-3.1-8b"]),
    "unknown engine": ("vllm", "vlm", ["small.yaml:13", "pools[0].engine", "vllm"]),
    "unknown router": (
        "pools:", "router: {policy: least_outstandin}\npools:", ["router.policy", "least_outstanding"]
    ),
    "unknown dtype": ("{tensor: 1}", "{tensor: 1}\n    precision: {weights: fp9}", ["precision.weights", "fp8"]),
    "negative rate": ("rate_rps: 2", "rate_rps: -2", ["small.yaml:7", "rate_rps", "-2"]),
    "zero tokens": ("value: 20", "value: 0", ["small.yaml:9", "output_tokens", "0"]),
    "not a number": ("rate_rps: 2", "rate_rps: .nan", ["small.yaml:7", "rate_rps", "nan"]),
    "number as text": ("horizon_s: 20", "horizon_s: '20'", ["small.yaml:4", "horizon_s", "20"]),
    "heads not divided": ("tensor: 1", "tensor: 3", ["tensor", "3", "32"]),
    "not YAML": ("workload:", "workload: [", ["small.yaml", "YAML"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_scenario(case: str, infersim: Command, tmp_path: Path) -> None:
    right, wrong, said = SPOILT[case]
    assert right in SCENARIO
    (tmp_path / "small.yaml").write_text(SCENARIO.replace(right, wrong, 1))
    refused(infersim("run", "small.yaml"), *said)
    assert not (tmp_path / "runs").exists()


def test_a_model_that_does_not_fit(infersim: Command, scenario: Path) -> None:
    """Llama-3.1-70B in 16 bit takes 141 GB; one H100 has 80 GiB."""
    refused(infersim("run", scenario, "--set", "model=llama-3.1-70b"), "fit", "GB")


def test_a_scenario_that_is_not_there(infersim: Command) -> None:
    refused(infersim("run", "chat_brust"), "chat_brust", "chat_burst")
    refused(infersim("run", "nowhere/scenario.yaml"), "nowhere/scenario.yaml")


def test_a_setting_without_a_value(infersim: Command, scenario: Path) -> None:
    refused(infersim("run", scenario, "--set", "seed"), "--set seed", "key=value")


def test_a_setting_that_leads_nowhere(infersim: Command, scenario: Path) -> None:
    refused(infersim("run", scenario, "--set", "pools.prefill.replicas.max=4"), "prefill", "chat")


def test_a_negative_seed(infersim: Command, scenario: Path) -> None:
    refused(infersim("run", scenario, "--seed", "-1"), "seed", "-1")


HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
FIRST = "2023-11-16 18:15:46.6805900,374,44\n"
TRACES = {
    "missing column": ("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46.6805900,374\n", ["trace.csv", "column"]),
    "unsorted": (HEADER + FIRST + "2023-11-16 18:15:40.0000000,10,10\n", ["trace.csv", "3"]),
    "negative tokens": (HEADER + FIRST + "2023-11-16 18:15:50.0000000,-5,10\n", ["trace.csv", "3", "-5"]),
    "garbage": (HEADER + FIRST + "%%% what?\n", ["trace.csv", "3"]),
    "empty": ("", ["trace.csv", "empty"]),
    "no requests": (HEADER, ["trace.csv"]),
}


@pytest.mark.parametrize("case", TRACES)
def test_a_spoilt_trace(case: str, infersim: Command, tmp_path: Path) -> None:
    content, said = TRACES[case]
    (tmp_path / "trace.csv").write_text(content)
    refused(infersim("run", "azure_conversation", "--trace", "trace.csv"), *said)
    assert not (tmp_path / "runs").exists()


def test_a_trace_that_is_not_there(infersim: Command) -> None:
    refused(infersim("run", "azure_conversation", "--trace", "nowhere.csv"), "nowhere.csv")


def test_an_output_directory_that_is_someone_elses(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("years of work")
    refused(infersim("run", scenario, "--out", mine), "thesis", "chapter.tex")
    assert [file.read_text() for file in mine.iterdir()] == ["years of work"]


def test_an_output_directory_that_cannot_be(infersim: Command, scenario: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    refused(infersim("run", scenario, "--out", tmp_path / "file"), "file")
    refused(infersim("run", scenario, "--out", tmp_path / "file" / "inside"), "file")


@pytest.mark.parametrize(("kind", "near", "wrong"), [
    ("hardware", "h100-sxm", "h100-smx"), ("model", "mixtral-8x7b", "mixtral-8x7"), ("engine", "sglang", "sglnag"),
])  # fmt: skip
def test_show_something_unknown(kind: str, near: str, wrong: str, infersim: Command) -> None:
    refused(infersim(kind, "show", wrong + "x"), wrong + "x", near)


def test_the_schema_of_something_unknown(infersim: Command) -> None:
    refused(infersim("schema", "scenarios"), "scenario")


@pytest.mark.parametrize("name", sorted(MENDABLE))
def test_errors_that_are_said_in_one_line_exist(name: str) -> None:
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_a_bug_shows_its_traceback(infersim: Command, scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(importlib.import_module("infersim.simulate"), "simulate", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        infersim("run", scenario)
