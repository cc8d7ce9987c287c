"""A run as Prometheus text, as if its end were scraped from vLLM: the metric names and buckets of vLLM V1.

One set of series for each pool, labelled model_name and engine (the pool's name). Gauges hold at the end of the run;
their peaks are in the timeline. Of a run whose requests do not all have a row, histograms, preemptions and prefix hits
are those of the rows, scaled up; the other counters are exact. Names and buckets: vllm/v1/metrics/loggers.py, v0.11.

Not here: other formats (`export.py`).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from infersim.results.run import Run, rows_share

TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
        160.0, 640.0, 2560.0)  # fmt: skip
TPOT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
           1920.0, 7680.0)  # fmt: skip
"""Upper edges of vLLM's histograms [s]."""

HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": ("ttft_s", TTFT),
    "vllm:request_time_per_output_token_seconds": ("tpot_s", TPOT),
    "vllm:e2e_request_latency_seconds": ("e2e_s", LATENCY),
    "vllm:request_queue_time_seconds": ("queued_s", LATENCY),
    "vllm:request_prefill_time_seconds": ("prefill_s", LATENCY),
    "vllm:request_decode_time_seconds": ("decode_s", LATENCY),
}
"""Metric -> column of the requests frame, and its buckets."""

HELP = {
    "vllm:num_requests_running": ("gauge", "Number of requests in model execution batches."),
    "vllm:num_requests_waiting": ("gauge", "Number of requests waiting to be processed."),
    "vllm:kv_cache_usage_perc": ("gauge", "KV-cache usage. 1 means 100 percent usage."),
    "vllm:num_preemptions_total": ("counter", "Cumulative number of preemption from the engine."),
    "vllm:prompt_tokens_total": ("counter", "Number of prefill tokens processed."),
    "vllm:generation_tokens_total": ("counter", "Number of generation tokens processed."),
    "vllm:prefix_cache_hits_total": ("counter", "Prefix cache hits, in terms of number of cached tokens."),
    "vllm:request_success_total": ("counter", "Count of successfully processed requests."),
    **{name: ("histogram", f"Histogram of {column[:-2]} in seconds.") for name, (column, _) in HISTOGRAMS.items()},
}
"""Metric -> its type and what it says."""


def prometheus_text(run: Run) -> str:
    """The metrics at the end of the run, in the text exposition format."""
    lines = []
    series = {name: "".join(_series(run, name)) for name in HELP}
    for name, (kind, words) in HELP.items():
        lines.append(f"# HELP {name} {words}\n# TYPE {name} {kind}\n{series[name]}")
    return "".join(lines)


def _series(run: Run, metric: str) -> Iterator[str]:
    """The samples of one metric, pool by pool."""
    model = run.summary["scenario"]["model"]
    for pool in run.summary["pools"]:
        labels = f'model_name="{_escaped(model)}",engine="{_escaped(pool)}"'
        own = run.requests[run.requests["pool"] == pool]
        done = own[own["status"] == "finished"]
        weight = round(1.0 / rows_share(run.summary))
        if metric in HISTOGRAMS:
            column, buckets = HISTOGRAMS[metric]
            yield from _histogram(metric, labels, done[column].dropna().to_numpy(), buckets, weight)
        elif metric == "vllm:request_success_total":
            yield f'{metric}{{{labels},finished_reason="stop"}} {run.summary["pools"][pool]["requests_finished"]}\n'
        else:
            yield f"{metric}{{{labels}}} {_value(run, metric, pool, own, weight):.17g}\n"


def _value(run: Run, metric: str, pool: str, own: pd.DataFrame, weight: int) -> float:
    """A gauge or a counter of one pool at the end of the run."""
    columns = {
        "vllm:num_requests_running": "running",
        "vllm:num_requests_waiting": "waiting",
        "vllm:kv_cache_usage_perc": "kv_occupancy",
        "vllm:prompt_tokens_total": "prompt_tokens",
        "vllm:generation_tokens_total": "output_tokens",
    }
    if metric == "vllm:num_preemptions_total":
        return float(own["preemptions"].sum()) * weight
    if metric == "vllm:prefix_cache_hits_total":
        return float(own["cached_tokens"].sum()) * weight
    last = run.timeline.loc[run.timeline["pool"] == pool, columns[metric]]
    return float(np.nan_to_num(last.iloc[-1])) if len(last) else 0.0


def _histogram(name: str, labels: str, values: np.ndarray, buckets: tuple[float, ...], weight: int) -> Iterator[str]:
    """A histogram of values that each stand for `weight` requests."""
    counts = weight * np.searchsorted(np.sort(values), buckets, side="right")
    for edge, count in zip(buckets, counts, strict=True):
        yield f'{name}_bucket{{{labels},le="{edge}"}} {count}\n'
    yield f'{name}_bucket{{{labels},le="+Inf"}} {weight * len(values)}\n'
    yield f"{name}_count{{{labels}}} {weight * len(values)}\n"
    yield f"{name}_sum{{{labels}}} {weight * float(values.sum()):.17g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
