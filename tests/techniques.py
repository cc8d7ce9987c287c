"""Every technique against the others on the same traffic: the cases of README's tables, which `make readme` writes.

A group is one traffic and several ways to serve it; all requests of a group are the same. Not here: the directions that
come of it and why (`tests/oracles/test_techniques.py`).
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from infersim import Result, simulate
from infersim.results.units import digits, seconds
from infersim.spec.load import load_scenario

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"<!-- techniques -->\n.*?<!-- end -->\n", re.DOTALL)


def lognormal(mean: float, p99: float, most: int) -> dict:
    return {"distribution": "lognormal", "mean": mean, "p99": p99, "max": most}


def traffic(rate_rps: float, prompt: dict, answer: dict, **more: object) -> dict:
    arrivals = {"process": "poisson", "rate_rps": rate_rps}
    return {"arrivals": arrivals, "input_tokens": prompt, "output_tokens": answer} | more


SKEWED = traffic(200, {"distribution": "constant", "value": 64}, lognormal(150, 1000, 2000))
LONG = traffic(6, lognormal(3000, 12000, 16000), lognormal(200, 800, 2000))
CHAT = traffic(8, lognormal(1155, 4142, 16000), lognormal(211, 601, 4000))
ALONE = traffic(0.3, lognormal(1155, 4142, 16000), lognormal(211, 601, 4000))
SATURATED = traffic(40, lognormal(1155, 4142, 16000), lognormal(211, 601, 4000))
BEGINNINGS = {"kind": "shared_prompt", "prompts": 200, "prompt_tokens": {"distribution": "constant", "value": 2000}}
ALIKE = traffic(14, lognormal(200, 800, 2000), lognormal(150, 600, 2000), structure=BEGINNINGS)
TENANTS = {
    "input_tokens": lognormal(600, 2000, 8000),
    "output_tokens": lognormal(150, 600, 2000),
    "classes": [
        {"name": "light", "arrivals": {"process": "poisson", "rate_rps": 2}, "priority": 1},
        {"name": "heavy", "arrivals": {"process": "mmpp", "rates_rps": [5, 60], "mean_sojourn_s": [20, 10]}},
    ],
}
LINK = {"gb_s": 50, "latency_ms": 0.1}
FIRST = {"policy": "prefill_first", "max_num_batched_tokens": 16384}
SMALL = {"policy": "chunked_prefill", "max_num_batched_tokens": 512}
SEATS = {"max_num_seqs": 64}
DRAFT = {"method": "draft_model", "model": "llama-3.1-8b", "tokens": 3, "acceptance": 0.7}
LARGE = {
    "parallelism": {"tensor": 4},
    "precision": {"weights": "fp8", "kv_cache": "fp8"},
    "batching": {"max_num_seqs": 256},
}
TIGHT = {"blocks": 1200}

Pools = list[dict[str, Any]]


def one(**pool: Any) -> Pools:
    return [{"name": "h100", "hardware": "h100-sxm"} | pool]


GROUPS: dict[str, tuple[str, dict, float, dict[str, Pools]]] = {
    "Lengths are skewed, and more comes than anybody serves": (
        "llama-3.1-8b", SKEWED, 10,
        {
            "one request at a time": one(batching={"policy": "none"}),
            "static batches of 64": one(batching={"policy": "static"} | SEATS),
            "dynamic batches of 64": one(batching={"policy": "dynamic", "max_queue_delay_s": 0.1} | SEATS),
            "continuous, 64 seats": one(batching={"policy": "chunked_prefill"} | SEATS),
        },
    ),
    "Long prompts": (
        "llama-3.1-8b", LONG, 120,
        {"prompts first, whole": one(batching=FIRST), "in chunks of 512": one(batching=SMALL)},
    ),
    "Long prompts, two chips": (
        "llama-3.1-8b", LONG | {"arrivals": {"process": "poisson", "rate_rps": 9}}, 120,
        {
            "both do everything": one(replicas={"initial": 2}),
            "one for prompts, one for decoding": [
                *one(role="prefill", kv_transfer=LINK, name="prefill"), *one(role="decode", name="decode"),
            ],
        },
    ),
    "200 system prompts, a KV cache of 32,000 tokens": (
        "llama-3.1-8b", ALIKE, 120,
        {
            "every prompt is processed": one(kv_cache={"blocks": 2000}),
            "prefix cache": one(kv_cache={"blocks": 2000, "prefix_caching": True}),
            "prefix cache, and 64 GB of host memory": one(kv_cache={"blocks": 2000, "prefix_caching": True, "host_gb": 64}),
        },
    ),
    "70B on four chips, one user at a time": (
        "llama-3.1-70b", ALONE, 600, {"plain": one(**LARGE), "drafts of an 8B model": one(**LARGE, speculative=DRAFT)},
    ),
    "70B on four chips, saturated": (
        "llama-3.1-70b", SATURATED, 30, {"plain": one(**LARGE), "drafts of an 8B model": one(**LARGE, speculative=DRAFT)},
    ),
    "Too little KV cache": (
        "llama-3.1-8b", CHAT, 120,
        {
            "preempted sequences are computed again": one(kv_cache=TIGHT),
            "they are swapped to the host": one(kv_cache=TIGHT | {"preemption": "swap"}),
        },
    ),
    "400 adapters": (
        "llama-3.1-8b", traffic(15, lognormal(500, 2000, 8000), lognormal(150, 500, 2000), adapters={"count": 400}), 60,
        {
            "16 slots": one(lora={"slots": 16}, batching=SEATS),
            "128 slots": one(lora={"slots": 128}, batching=SEATS),
        },
    ),
}  # fmt: skip
"""Title -> model, traffic, how long it comes [s], and ways to serve it."""

BURSTY = {
    "first come, first served": one(),
    "the light tenant has priority": one(queue={"order": "priority"}),
    "fair share": one(queue={"order": "fair_share"}),
}
"""Ways to serve a light tenant beside one who comes in bursts."""


POPULARITY = {
    "llama-3.1-8b": 0.55, "qwen3-14b": 0.2, "qwen3-8b": 0.12, "mistral-7b-v0.3": 0.07, "mistral-nemo": 0.04, "phi-4": 0.02,
}  # fmt: skip
"""Six models, and which share of the requests asks for each."""
EVEN = dict.fromkeys(POPULARITY, 1 / 6)
APART: Pools = [pool for model in POPULARITY for pool in one(name=model, model=model)]


def in_turns(replicas: int) -> Pools:
    """All six models on each of so many GPUs, two of them in memory."""
    switching = {"resident": 2, "eviction": "cost_aware"}
    return one(models=list(POPULARITY), switching=switching, replicas={"initial": replicas})


ZOO: dict[str, tuple[float, dict[str, float], Pools]] = {
    "0.5 requests/s, skewed: a GPU for each": (0.5, POPULARITY, APART),
    "3 GPUs in turns": (0.5, POPULARITY, in_turns(3)),
    "2 GPUs in turns": (0.5, POPULARITY, in_turns(2)),
    "each model busy, 30 requests/s: a GPU for each": (30.0, EVEN, APART),
    "6 GPUs in turns": (30.0, EVEN, in_turns(6)),
    "5 GPUs in turns": (30.0, EVEN, in_turns(5)),
}
"""Ways to serve six models: requests/s, popularity, and pools."""


@cache
def served(title: str, way: str) -> Result:
    """One way of a group."""
    model, workload, horizon_s, ways = GROUPS[title]
    return _run(model, workload, horizon_s, ways[way])


@cache
def shared(way: str) -> Result:
    """One way to serve two tenants."""
    return _run("llama-3.1-8b", TENANTS, 180, BURSTY[way])


@cache
def zoo(way: str) -> Result:
    """One way to serve six models."""
    rate_rps, popularity, pools = ZOO[way]
    workload = traffic(rate_rps, lognormal(800, 3000, 7000), lognormal(200, 700, 1000))
    workload["classes"] = [{"name": model, "model": model, "share": share} for model, share in popularity.items()]
    horizon_s = 1800 if rate_rps < 1 else 120
    return _run("llama-3.1-8b", workload, horizon_s, pools, router="model_affinity")


@cache
def mooncake(caching: bool) -> Result:
    """The shipped scenario of the Mooncake trace, with its prefix cache or without."""
    scenario = load_scenario(ROOT / "scenarios" / "mooncake_prefix_cache.yaml").model_dump(mode="json")
    for pool in scenario["pools"]:
        pool["kv_cache"]["prefix_caching"] = caching
    return simulate(scenario)


def _run(model: str, workload: dict, horizon_s: float, pools: Pools, router: str = "least_outstanding") -> Result:
    scenario = {"name": "techniques", "model": model, "horizon_s": horizon_s, "seed": 1, "router": {"policy": router}}
    return simulate(scenario | {"workload": workload, "pools": pools})


def has_trace() -> bool:
    """Whether the Mooncake trace can be found."""
    return bool(os.environ.get("INFERSIM_TRACES"))


def _row(way: str, result: Result) -> str:
    summary = result.summary
    p99 = [seconds(summary["latency"][name]["p99"]) for name in ("ttft_s", "tpot_s", "itl_s")]
    cells = [
        way,
        digits(summary["throughput"]["output_tokens_per_s"]),
        seconds(summary["latency"]["ttft_s"]["mean"]),
        *p99,
    ]
    return f"| {' | '.join(cells)} |"


def tables() -> str:
    """README's tables."""
    lines = ["| | output tokens/s | mean TTFT | TTFT p99 | TPOT p99 | ITL p99 |", "|---|---|---|---|---|---|"]
    for title, (_, _, _, ways) in GROUPS.items():
        lines += [f"| **{title}** | | | | | |", *(_row(way, served(title, way)) for way in ways)]
    if has_trace():
        lines.append("| **Mooncake conversation trace, 8 replicas** | | | | | |")
        lines += [_row(way, mooncake(on)) for way, on in (("every prompt is processed", False), ("prefix cache", True))]
    lines += [
        "",
        "| two tenants, one in bursts | TTFT p99, light | TTFT p99, heavy | TPOT p99, light |",
        "|---|---|---|---|",
    ]
    for way in BURSTY:
        of = shared(way).summary["slo"]["classes"]
        p99 = (of["light"]["ttft_p99_s"], of["heavy"]["ttft_p99_s"], of["light"]["tpot_p99_s"])
        lines.append(f"| {way} | {' | '.join(map(seconds, p99))} |")
    lines += [
        "",
        "| six models of 7B to 14B | USD an hour | mean TTFT | TTFT p99 | TPOT p99 | loads an hour |",
        "|---|---|---|---|---|---|",
        *map(_zoo_row, ZOO),
    ]
    return "\n".join(lines) + "\n"


def _zoo_row(way: str) -> str:
    summary, (_, _, pools) = zoo(way).summary, ZOO[way]
    hours = summary["run"]["end_s"] / 3600
    loads = sum(one["loads"] for pool in summary["pools"].values() for one in pool.get("models", {}).values())
    ttft, tpot = summary["latency"]["ttft_s"], summary["latency"]["tpot_s"]
    gpus = sum(pool.get("replicas", {}).get("initial", 1) for pool in pools)
    usd = gpus * next(iter(summary["pools"].values()))["usd_per_chip_hour"]
    cells = [
        way,
        f"{usd:.2f}",
        seconds(ttft["mean"]),
        seconds(ttft["p99"]),
        seconds(tpot["p99"]),
        digits(loads / hours),
    ]
    return f"| {' | '.join(cells)} |"


def renewed(readme: str) -> str:
    """README with its tables as they come out now; as it stands where the trace of one is not to be found."""
    return TABLE.sub(lambda _: f"<!-- techniques -->\n{tables()}<!-- end -->\n", readme) if has_trace() else readme
