"""A run in the formats that other tools read; each format is one or more files by name.

    csv         the four frames                         json        the requests, one object a line
    perfetto    trace.json for ui.perfetto.dev          prometheus  metrics.prom with vLLM's metric names
    vllm-bench  what `vllm bench serve --save-result` writes
    aiperf      what `aiperf profile` writes as profile_export_aiperf.json

Not here: the trace (`perfetto.py`) and the metrics (`prometheus.py`).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from infersim.results.directory import FRAMES, OutputError, opened, to_json
from infersim.results.perfetto import perfetto_trace
from infersim.results.prometheus import prometheus_text
from infersim.results.run import Run


def exported(run: Run | str | Path, formats: Iterable[str]) -> dict[str, bytes]:
    """The files of these formats (names in FORMATS) by name; OutputError lists them if one is unknown."""
    run = opened(run)
    wanted = list(formats)
    check_formats(wanted)
    return {name: data for wish in wanted for name, data in FORMATS[wish](run).items()}


def check_formats(formats: Iterable[str]) -> None:
    """Raise OutputError when one of the formats is unknown."""
    for name in formats:
        if name not in FORMATS:
            raise OutputError(f"unknown export format {name!r}; known: {', '.join(FORMATS)}")


def write_exports(directory: str | Path, run: Run | str | Path, formats: Iterable[str]) -> list[Path]:
    """Write the files of these formats into a directory; their paths. Raises OutputError and RunDirectoryError."""
    folder, files = Path(directory), exported(run, formats)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; name another directory") from None
    return [folder / name for name in files]


def _csv(run: Run) -> dict[str, bytes]:
    return {f"{name}.csv": getattr(run, name).to_csv(index=False, lineterminator="\n").encode() for name in FRAMES}


def _json(run: Run) -> dict[str, bytes]:
    return {"requests.jsonl": run.requests.to_json(orient="records", lines=True, double_precision=12).encode()}


def vllm_bench(run: Run) -> dict[str, Any]:
    """The result of `vllm bench serve` (vLLM 0.11, benchmarks/serve.py); times in ms. Without its date and host."""
    summary, requests = run.summary, run.requests
    rates = summary["throughput"]
    report: dict[str, Any] = {
        "backend": "infersim",
        "model_id": summary["scenario"]["model"],
        "tokenizer_id": summary["scenario"]["model"],
        "num_prompts": summary["requests"]["arrived"],
        "duration": summary["run"]["makespan_s"],
        "completed": summary["requests"]["finished"],
        "total_input_tokens": summary["requests"]["input_tokens"],
        "total_output_tokens": summary["requests"]["output_tokens"],
        "request_throughput": rates["requests_per_s"],
        "request_goodput": summary["slo"]["goodput_rps"] if summary["slo"]["targets"] else None,
        "output_throughput": rates["output_tokens_per_s"],
        "total_token_throughput": rates["total_tokens_per_s"],
    }
    for name, column in (("ttft", "ttft_s"), ("tpot", "tpot_s"), ("itl", "itl_s"), ("e2el", "e2e_s")):
        found = summary["latency"][column]
        report[f"mean_{name}_ms"], report[f"median_{name}_ms"] = _ms(found["mean"]), _ms(found["p50"])
        if column in requests:
            report[f"std_{name}_ms"] = _ms(float(requests[column].std(ddof=0)))
        for p in ("p90", "p95", "p99", "p99.9"):
            report[f"{p}_{name}_ms"] = _ms(found[p])
    return report


def aiperf(run: Run) -> dict[str, Any]:
    """The aggregate export of AIPerf: for each metric its unit, mean, extremes and percentiles.

    Of a run whose requests do not all have a row, the spreads are those of the rows.
    AIPerf's inter token latency is a request's mean time between tokens, which is our TPOT.
    """
    summary, done = run.summary, run.requests[run.requests["status"] == "finished"]
    rates = summary["throughput"]
    tokens = done[["input_tokens", "output_tokens"]].astype(float)
    return {
        "request_throughput": {"unit": "requests/sec", "avg": rates["requests_per_s"]},
        "output_token_throughput": {"unit": "tokens/sec", "avg": rates["output_tokens_per_s"]},
        "request_count": {"unit": "requests", "avg": float(summary["requests"]["finished"])},
        "time_to_first_token": _spread(done["ttft_s"].to_numpy() * 1e3, "ms"),
        "inter_token_latency": _spread(done["tpot_s"].to_numpy() * 1e3, "ms"),
        "request_latency": _spread(done["e2e_s"].to_numpy() * 1e3, "ms"),
        "input_sequence_length": _spread(tokens["input_tokens"].to_numpy(), "tokens"),
        "output_sequence_length": _spread(tokens["output_tokens"].to_numpy(), "tokens"),
        "goodput": {"unit": "requests/sec", "avg": summary["slo"]["goodput_rps"]},
        "benchmark_duration": {"unit": "sec", "avg": summary["run"]["makespan_s"]},
    }


def _spread(values: np.ndarray, unit: str) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"unit": unit}
    points = (1, 5, 10, 25, 50, 75, 90, 95, 99)
    named = {f"p{q}": float(x) for q, x in zip(points, np.percentile(known, points), strict=True)}
    ends = {"avg": float(known.mean()), "min": float(known.min()), "max": float(known.max()), "std": float(known.std())}
    return {"unit": unit, **ends, **named}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


FORMATS: dict[str, Callable[[Run], dict[str, bytes]]] = {
    "csv": _csv,
    "json": _json,
    "perfetto": lambda run: {"trace.json": perfetto_trace(run)},
    "prometheus": lambda run: {"metrics.prom": prometheus_text(run).encode()},
    "vllm-bench": lambda run: {"vllm_bench.json": to_json(vllm_bench(run)).encode()},
    "aiperf": lambda run: {"profile_export_aiperf.json": to_json(aiperf(run)).encode()},
}
"""Name of a format -> the files that it makes of a run."""
