"""Decode rates of all seven chips within a factor of 1.5 of published figures, the H100 far closer.

The figures are read from ../shared/measurements (INFERSIM_SHARED moves them). Steps are priced in closed
form: a static batch decodes at its mean context, a server at the concurrency that its own latency and rate imply. What
happens between steps (queues, chunks) is not here; the end-to-end comparison belongs to validation.
"""

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from infersim.cost.tables import CostTables
from infersim.spec import catalogue
from tests.cost.deployments import Case, decode_step_s, prefill_step_s, tensor

SHARED = Path(os.environ.get("INFERSIM_SHARED") or Path(__file__).parents[3] / "shared") / "measurements"
pytestmark = pytest.mark.skipif(
    not (SHARED / "calibration.csv").is_file(), reason=f"no published measurements at {SHARED} (set INFERSIM_SHARED)"
)


@cache
def rows() -> list[dict[str, str]]:
    with open(SHARED / "calibration.csv", newline="") as file:
        return list(csv.DictReader(file))


def selected(**wanted: str) -> list[dict[str, str]]:
    """Rows whose columns hold the wanted texts (a prefix for the engine)."""
    found = [
        row
        for row in rows()
        if all(row[k].startswith(v) if k in ("engine", "parallelism") else row[k] == v for k, v in wanted.items())
    ]
    assert found, f"no measurements with {wanted}"
    return found


def fixed_batch(tables: CostTables, batch: int, prompt: int, output: int) -> float:
    """End-to-end time of a static batch whose prompts are processed one after the other [s]."""
    step = min(prompt, tables.max_num_batched_tokens)
    prefill = batch * sum(prefill_step_s(tables, step, before) for before in range(0, prompt - step + 1, step))
    return prefill + (output - 1) * decode_step_s(tables, batch, prompt + output / 2)


def decode_rate(tables: CostTables, context: float = 1000.0) -> float:
    """Tokens a second of one user alone."""
    return 1.0 / decode_step_s(tables, 1, context)


def within(predicted: float, measured: float, factor: float = 1.5) -> None:
    assert measured / factor <= predicted <= measured * factor, f"{predicted:g} against {measured:g}"


def test_h100_serving_at_every_rate() -> None:
    """vLLM 0.15.1: TPOT of the models of the catalogue; these runs are among those that floors were fitted to."""
    stages: dict[tuple[str, ...], dict[str, float]] = {}
    names = {
        "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b",
        "Qwen/Qwen2.5-7B-Instruct": "qwen2.5-7b",
        "meta-llama/Llama-2-7b-hf": "llama-2-7b",
    }
    with open(SHARED / "vllm_online.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["model"] in names and row["stage"] != "all":
                lengths = (row["system_prompt_tokens"], row["question_tokens"], row["output_tokens"])
                key = (names[row["model"]], row["tp"], row["stage_rate_rps"], row["gpu_kv_blocks"], *lengths)
                stages.setdefault(key, {})[row["metric"]] = float(row["value_ms"]) / 1e3
    errors = []
    for (name, chips, rate, blocks, system, question, output), measured in stages.items():
        tables = Case(name, "h100-sxm", "vllm", tensor(int(chips))).tables(128, 8192, blocks=int(blocks))
        tpot = (measured["e2e_mean"] - measured["ttft_mean"]) / (int(output) - 1)
        running = float(rate) * tpot * (int(output) - 1)
        context = int(system) + int(question) + int(output) / 2
        low, high = int(running), int(running) + 1
        predicted = np.interp(running, [low, high], [decode_step_s(tables, b, context) for b in (low, high)])
        within(predicted, tpot, 1.15)
        errors.append(abs(predicted / tpot - 1))
    assert np.median(errors) < 0.05


def test_h100_left_out() -> None:
    """TPOT of one user of Llama-3.3-70B fp8 on two chips under NVIDIA NIM 1.8.0: nothing was fitted to it."""
    tables = Case("llama-3.3-70b", "h100-sxm", "tensorrt-llm-0", tensor(2), "fp8", "fp8").tables(8, 8192)
    for row in selected(hardware="H100-SXM", engine="NVIDIA NIM", metric="itl_ms", batch_or_concurrency="1"):
        within(
            decode_step_s(tables, 1, int(row["isl_tokens"]) + int(row["osl_tokens"]) / 2),
            float(row["value"]) / 1e3,
            1.12,
        )


def test_l40s() -> None:
    """TensorRT-LLM 0.5, Llama-2-7B fp8 on one card; nothing was fitted to it."""
    for row in selected(hardware="L40S", engine="TensorRT-LLM 0.5", scenario="fixed_batch", metric="output_tok_s"):
        batch, prompt, output = (int(row[k]) for k in ("batch_or_concurrency", "isl_tokens", "osl_tokens"))
        tables = Case("llama-2-7b", "l40s", "tensorrt-llm-0", tensor(1), "fp8", "fp8").tables(max(batch, 8), 8192)
        within(batch * output / fixed_batch(tables, batch, prompt, output), float(row["value"]))


def test_mi300x() -> None:
    """vLLM 0.10.0 on ROCm 6.4.1, Llama-3.1-70B fp8 on 8 chips (fitted), and Llama-3.1-405B fp8 of a year before."""
    for model, engine, layout in (("Llama-3.1-70B", "vLLM 0.10.0", "tp=8"), ("Llama-3.1-405B", "vLLM 2024-11", "tp=8")):
        wanted = {"hardware": "MI300X", "engine": engine, "model": model, "parallelism": layout, "metric": "e2e_ms"}
        for row in selected(scenario="fixed_batch", **wanted):
            batch, prompt, output = (int(row[k]) for k in ("batch_or_concurrency", "isl_tokens", "osl_tokens"))
            if batch > 128 or prompt > 4096:
                continue
            tables = Case(model.lower(), "mi300x", "vllm", tensor(8), "fp8", "fp8").tables(max(batch, 8), 8192)
            within(fixed_batch(tables, batch, prompt, output), float(row["value"]) / 1e3)


def test_inferentia2() -> None:
    """Transformers NeuronX on 12 chips, which AWS counts as 24 cores."""
    for row in selected(hardware="Inferentia2", engine="Transformers NeuronX", metric="tpot_ms"):
        batch, prompt, output = (int(row[k]) for k in ("batch_or_concurrency", "isl_tokens", "osl_tokens"))
        name = row["model"].lower().replace("llama-3-", "llama-3.1-")
        tables = Case(name, "inferentia2", "neuron", tensor(12)).tables(max(batch, 8), 4096)
        within(decode_step_s(tables, batch, prompt + output / 2), float(row["value"]) / 1e3)


def test_tpu_v5e() -> None:
    """JetStream on 8 chips, all slots busy with ShareGPT: prompts and answers of about 220 and 200 tokens."""
    prompt, output = 220, 200
    for model, name in (("Llama-3-8B", "llama-3.1-8b"), ("Llama-2-13B", "llama-2-13b")):
        for row in selected(hardware="TPU-v5e", engine="JetStream", model=model):
            slots, dtype = int(row["batch_or_concurrency"]), row["weight_dtype"]
            tables = Case(name, "tpu-v5e", "jetstream", tensor(8), dtype, dtype).tables(slots, 1024)
            decode = output * decode_step_s(tables, slots, prompt + output / 2)
            seconds = decode + slots * prefill_step_s(tables, prompt)  # for one answer in every slot
            within(slots * output / seconds, float(row["value"]))


def test_groq() -> None:
    """Llama-2-70B on 576 chips: 3.94 ms a token at five users (llmperf), 300 tokens/s (vendor)."""
    tables = Case("llama-2-70b", "groq-lpu", "groq", (("chips", 576),), "int8", "fp16").tables()
    (row,) = selected(id="groq-0011")
    within(decode_step_s(tables, 5, 600), float(row["value"]) / 1e3)
    (row,) = selected(id="groqnews-0002")
    within(decode_rate(tables), float(row["value"]))


def test_cerebras() -> None:
    """Llama-3.1-8B on one wafer; and 70B on four at 450 tokens/s (cerebras.ai, 2024-08)."""
    one = Case("llama-3.1-8b", "cerebras-wse3", "cerebras", (("chips", 1),)).tables()
    for row in selected(hardware="Cerebras-WSE-3", model="Llama-3.1-8B", metric="tok_s_user"):
        within(decode_rate(one), float(row["value"]))
    four = Case("llama-3.1-70b", "cerebras-wse3", "cerebras", (("chips", 4),)).tables()
    within(decode_rate(four), 450.0)


def test_every_chip_of_the_mission_is_here() -> None:
    assert {"h100-sxm", "l40s", "mi300x", "tpu-v5e", "inferentia2", "groq-lpu", "cerebras-wse3"} <= set(
        catalogue.hardware_names()
    )
