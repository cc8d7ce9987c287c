"""Small scenarios for studies, and one whose theory is known: a single slot."""

from typing import Any

SMALL: dict[str, Any] = {
    "name": "small",
    "model": "llama-3.1-8b",
    "horizon_s": 20,
    "seed": 1,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 4},
        "input_tokens": {"distribution": "lognormal", "mean": 300, "p99": 1000},
        "output_tokens": {"distribution": "lognormal", "mean": 40, "p99": 100},
    },
    "pools": [{"name": "chat", "hardware": "h100-sxm"}],
    "slo": {"ttft_p99_s": 0.5, "tpot_p99_s": 0.05},
}
"""Twenty seconds of short chat on one chip."""


FULL: dict[str, Any] = SMALL | {
    "name": "full",
    "horizon_s": 15,
    "workload": {
        "arrivals": {"process": "poisson", "rate_rps": 4},
        "input_tokens": {"distribution": "lognormal", "mean": 1000, "p99": 3000},
        "output_tokens": {"distribution": "lognormal", "mean": 60, "p99": 150},
    },
    "pools": [{"name": "chat", "hardware": "l40s", "batching": {"max_num_batched_tokens": 8192}}],
}
"""A smaller chip with longer prompts, each in one step, which a dozen requests a second fill."""


def single_slot(horizon_s: float, rate_rps: float = 1.0) -> dict[str, Any]:
    """One sequence at a time and constant lengths: an M/D/1 queue, whose service time is that of a lone request."""
    return SMALL | {
        "name": "single-slot",
        "horizon_s": horizon_s,
        "workload": {
            "arrivals": {"process": "poisson", "rate_rps": rate_rps},
            "input_tokens": {"distribution": "constant", "value": 200},
            "output_tokens": {"distribution": "constant", "value": 20},
        },
        "pools": [{"name": "one", "hardware": "h100-sxm", "engine": "tensorrt-llm", "batching": {"max_num_seqs": 1}}],
    }
