"""The JSON files of load generators as cases: vllm bench serve, AIPerf, GuideLLM and inference-perf.

Such a file says what was sent and what was measured, and not on what; the deployment comes from the caller. Means and
percentiles are read; single requests are not. Not here: our own tables (`measurements.py`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infersim.spec.engine import Engine
from infersim.spec.errors import Problem, SpecError
from infersim.spec.hardware import Hardware
from infersim.spec.model import Model
from infersim.studies.cases import Case, Load, Row

Found = tuple[dict[str, float], dict[tuple[str, str], float]]
"""What was sent (prompt, output, requests, users, rate_rps) and what was measured, by metric and statistic."""


@dataclass(frozen=True)
class Deployed:
    """What the load ran against."""

    model: Model
    hardware: Hardware
    engine: Engine
    tensor: int = 1
    pipeline: int = 1
    replicas: int = 1
    weights: str = "bf16"
    kv_cache: str = "bf16"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None


def read_bench(path: Path, deployed: Deployed) -> list[Case]:
    """The runs in a load generator's JSON; SpecError for a file of another kind."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(Problem(f"is no JSON that can be read: {error}", source=str(path))) from error
    for keys, reader in _READERS:
        if isinstance(data, dict) and keys <= data.keys():
            try:
                return [_case(f"{path.stem}-{i}", found, deployed) for i, found in enumerate(reader(data))]
            except (KeyError, TypeError, IndexError) as error:
                raise SpecError(Problem(f"lacks {error}", source=str(path))) from error
    raise SpecError(
        Problem("is no result of vllm bench serve, AIPerf, GuideLLM or inference-perf that is known", source=str(path))
    )


def _case(name: str, found: Found, d: Deployed) -> Case:
    sent, measured = found
    users, rate = int(sent.get("users") or 0), float(sent.get("rate_rps") or 0.0)
    kind = "closed_loop" if users else "server" if rate and rate != float("inf") else "offline_throughput"
    load = Load(
        kind=kind, prompt=sent["prompt"], output=sent["output"], requests=int(sent.get("requests") or 0),
        users=users, rate_rps=rate if kind == "server" else 0.0,
    )  # fmt: skip
    rows = tuple(Row({"run": name}, *key, value) for key, value in measured.items() if value and value > 0)
    return Case(
        name=name, model=d.model, hardware=d.hardware, engine=d.engine, tensor=d.tensor, pipeline=d.pipeline, expert=1,
        attention_data=1, chips=None, replicas=d.replicas, weights=d.weights, kv_cache=d.kv_cache, load=load,
        rows=rows, group=f"{name}", max_num_seqs=d.max_num_seqs, max_num_batched_tokens=d.max_num_batched_tokens,
    )  # fmt: skip


def _vllm_bench(data: dict[str, Any]) -> list[Found]:
    """`vllm bench serve --save-result`."""
    done = data["completed"]
    sent = {
        "prompt": data["total_input_tokens"] / done,
        "output": data["total_output_tokens"] / done,
        "requests": done,
        "users": data.get("max_concurrency") or 0,
        "rate_rps": 0.0 if data.get("request_rate") in (None, "inf") else float(data["request_rate"]),
    }
    names = {"mean": "mean", "median": "p50", "p90": "p90", "p99": "p99"}
    measured = {
        (f"{metric}_ms".replace("e2el", "e2e"), ours): float(data[f"{theirs}_{metric}_ms"])
        for metric in ("ttft", "tpot", "e2el")
        for theirs, ours in names.items()
        if f"{theirs}_{metric}_ms" in data
    }
    measured["output_tok_s", "mean"] = float(data["output_throughput"])
    return [(sent, measured)]


def _aiperf(data: dict[str, Any]) -> list[Found]:
    """AIPerf (and GenAI-Perf): profile_export_aiperf.json."""
    load = data.get("input_config", {}).get("loadgen", {})
    sent = {
        "prompt": data["input_sequence_length"]["avg"],
        "output": data["output_sequence_length"]["avg"],
        "requests": data.get("request_count", {}).get("avg", 0),
        "users": load.get("concurrency") or 0,
        "rate_rps": load.get("request_rate") or 0.0,
    }
    metrics = {"time_to_first_token": "ttft_ms", "inter_token_latency": "itl_ms", "request_latency": "e2e_ms"}
    measured = {
        (ours, "mean" if key == "avg" else key): float(data[theirs][key])
        for theirs, ours in metrics.items()
        for key in ("avg", "p50", "p90", "p99")
        if key in data.get(theirs, {})
    }
    measured["output_tok_s", "mean"] = float(data["output_token_throughput"]["avg"])
    return [(sent, measured)]


def _guidellm(data: dict[str, Any]) -> list[Found]:
    """GuideLLM: one entry of `benchmarks` for each rate."""
    return [_guidellm_one(benchmark) for benchmark in data["benchmarks"]]


def _guidellm_one(benchmark: dict[str, Any]) -> Found:
    metrics = benchmark["metrics"]
    strategy = benchmark.get("args", benchmark.get("config", {})).get("strategy", {})
    sent = {
        "prompt": metrics["prompt_token_count"]["successful"]["mean"],
        "output": metrics["output_token_count"]["successful"]["mean"],
        "requests": metrics["prompt_token_count"]["successful"].get("count", 0),
        "users": strategy.get("streams") or (1 if strategy.get("type_") == "synchronous" else 0),
        "rate_rps": strategy.get("rate") or 0.0,
    }
    names = {"time_to_first_token_ms": "ttft_ms", "inter_token_latency_ms": "itl_ms"}
    measured: dict[tuple[str, str], float] = {}
    for theirs, ours in names.items():
        found = metrics[theirs]["successful"]
        measured[ours, "mean"] = float(found["mean"])
        measured |= {(ours, key): float(v) for key, v in found.get("percentiles", {}).items() if key in ("p50", "p99")}
    measured["output_tok_s", "mean"] = float(metrics["output_tokens_per_second"]["successful"]["mean"])
    return sent, measured


def _inference_perf(data: dict[str, Any]) -> list[Found]:
    """inference-perf: summary_lifecycle_metrics.json or one stage's."""
    done, latency = data["successes"], data["successes"]["latency"]
    sent = {
        "prompt": done["prompt_len"]["mean"],
        "output": done["output_len"]["mean"],
        "requests": done["count"],
        "rate_rps": data["load_summary"].get("requested_rate") or done["throughput"]["requests_per_sec"],
    }
    names = {"request_latency": "e2e_ms", "time_to_first_token": "ttft_ms", "inter_token_latency": "itl_ms"}
    measured = {
        (ours, ours_key): 1e3 * float(latency[theirs][key])
        for theirs, ours in names.items()
        for key, ours_key in (("mean", "mean"), ("median", "p50"), ("p90", "p90"), ("p99", "p99"))
        if key in (latency.get(theirs) or {})
    }
    measured["output_tok_s", "mean"] = float(done["throughput"]["output_tokens_per_sec"])
    return [(sent, measured)]


_READERS = (
    ({"total_input_tokens", "completed"}, _vllm_bench),
    ({"input_sequence_length", "time_to_first_token"}, _aiperf),
    ({"benchmarks"}, _guidellm),
    ({"load_summary", "successes"}, _inference_perf),
)
"""Keys by which a file is known, and who reads it."""
