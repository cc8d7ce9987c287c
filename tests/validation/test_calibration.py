"""A fit finds a knob that was turned on purpose, and says which ones the data do not tell; foreign result files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infersim.spec import catalogue
from infersim.spec.errors import SpecError
from infersim.spec.hardware import Hardware
from infersim.spec.profile import load_yaml_model, profile_yaml
from infersim.studies.bench_files import Deployed, read_bench
from infersim.studies.calibration import calibrate
from infersim.studies.cases import Case, Load, Row
from infersim.studies.outcomes import predicted
from infersim.studies.resimulation import resimulate

CHIP, ENGINE = catalogue.hardware("h100-sxm"), catalogue.engine("vllm")


def turned(share: float) -> Hardware:
    memory = CHIP.efficiency.matmul_memory.model_copy(update={"value": share})
    return CHIP.model_copy(update={"efficiency": CHIP.efficiency.model_copy(update={"matmul_memory": memory})})


def runs(chip: Hardware) -> list[Case]:
    """What a client would measure of one user of seven models on `chip`, small and large: floors and bytes in different shares."""
    found = []
    for name in ("llama-3.1-8b", "llama-2-7b", "llama-2-13b", "llama-3.2-1b", "qwen2.5-7b", "phi-4", "qwen3-32b"):
        load = Load(kind="closed_loop", prompt=200, output=64, users=1, requests=4)
        case = Case(
            name=name, model=catalogue.model(name), hardware=chip, engine=ENGINE, tensor=1, pipeline=1, expert=1,
            attention_data=1, chips=None, replicas=1, weights="bf16", kv_cache="bf16", load=load, rows=(), group=name,
        )  # fmt: skip
        outcome = resimulate(case)
        rows = tuple(Row({}, m, "mean", predicted(case, outcome, m, "mean")) for m in ("tpot_ms", "ttft_ms"))
        found.append(replace(case, hardware=CHIP, rows=rows))
    return found


def test_a_turned_knob_is_found_and_what_was_left_out_gets_better(tmp_path: Path) -> None:
    found = calibrate(runs(turned(0.75)))
    knobs = {knob.name: knob for knob in found.knobs}
    memory = knobs["efficiency.matmul_memory"]
    assert memory.before == CHIP.efficiency.matmul_memory.value
    assert memory.after < 0.5 * (memory.before + 0.75) + 0.02  # the prior holds it back a little
    assert memory.identified
    assert not knobs["efficiency.attention_memory"].identified  # 200 tokens of context say nothing of it
    before, after = found.left_out_error_pct
    assert after < 0.5 * before
    (tmp_path / "mine.yaml").write_text(profile_yaml(found.hardware, "mine"))
    assert load_yaml_model(tmp_path / "mine.yaml", Hardware) == found.hardware
    assert found.hardware.efficiency.matmul_memory.grade == "calibrated"


def test_a_fit_needs_one_chip_and_two_runs() -> None:
    cases = runs(CHIP)
    with pytest.raises(SpecError, match="a fit needs at least 2"):
        calibrate(cases[:1])
    with pytest.raises(SpecError, match="one chip and one engine"):
        calibrate([cases[0], replace(cases[1], hardware=catalogue.hardware("l40s"))])


VLLM_BENCH = {
    "completed": 100, "total_input_tokens": 50_000, "total_output_tokens": 10_000, "max_concurrency": 8,
    "request_rate": "inf", "output_throughput": 900.0, "mean_ttft_ms": 50.0, "median_ttft_ms": 45.0,
    "p99_ttft_ms": 90.0, "mean_tpot_ms": 8.0,
}  # fmt: skip
AIPERF = {
    "input_sequence_length": {"avg": 500}, "output_sequence_length": {"avg": 100}, "request_count": {"avg": 64},
    "input_config": {"loadgen": {"concurrency": 8}}, "time_to_first_token": {"avg": 50.0, "p99": 90.0},
    "inter_token_latency": {"avg": 8.0}, "output_token_throughput": {"avg": 900.0},
}  # fmt: skip
INFERENCE_PERF = {
    "load_summary": {"count": 100, "requested_rate": 5.0},
    "successes": {
        "count": 100, "prompt_len": {"mean": 500}, "output_len": {"mean": 100},
        "latency": {"time_to_first_token": {"mean": 0.05, "p99": 0.09}, "request_latency": {"mean": 0.9}},
        "throughput": {"requests_per_sec": 4.9, "output_tokens_per_sec": 490.0},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "kind", "throughput"),
    [(VLLM_BENCH, "closed_loop", 900.0), (AIPERF, "closed_loop", 900.0), (INFERENCE_PERF, "server", 490.0)],
)
def test_results_of_load_generators(data: dict, kind: str, throughput: float, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(data))
    (case,) = read_bench(tmp_path / "r.json", Deployed(catalogue.model("llama-3.1-8b"), CHIP, ENGINE))
    assert (case.load.kind, case.load.prompt, case.load.output) == (kind, 500, 100)
    measured = {(row.metric, row.statistic): row.actual for row in case.rows}
    assert measured["ttft_ms", "mean"] == 50.0
    assert measured["ttft_ms", "p99"] == 90.0
    assert measured["output_tok_s", "mean"] == throughput


def test_another_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(SpecError, match="is no result of vllm bench serve"):
        read_bench(tmp_path / "r.json", Deployed(catalogue.model("llama-3.1-8b"), CHIP, ENGINE))
