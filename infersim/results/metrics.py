"""Latency, throughput and SLO, with the names and definitions of vLLM's serving benchmark (`vllm bench serve`).

    TTFT  first token - arrival: held, in the front end, queued and prefill; the network is not in it       [s]
    TPOT  (finish - first token) / (output tokens - 1); a request with one token has none                   [s]
    ITL   time between consecutive tokens of one request, over all pairs of tokens of all requests           [s]
    E2E   finish - arrival                                                                                  [s]
    normalised latency  E2E / output tokens, as in the paper on vLLM (Kwon et al., SOSP 2023)               [s/token]

All are of finished requests. Percentiles interpolate linearly between order statistics (numpy's default). Those of
ITL come from a histogram whose bin edges grow by 1 %; each order statistic is taken as the geometric middle of its
bin, so it is within 0.5 % of the exact one (between 1 us and 1e4 s). Its mean is exact.

Not here: the columns themselves (`frames.py`). Read `money.py` next.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infersim.dataplane.tally import ITL_GROWTH, Tally, itl_edges
from infersim.spec.scenario import Scenario, Slo

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

PERCENTILES = (50, 90, 95, 99, 99.9)

SLO_COLUMNS = {"ttft_p99_s": "ttft_s", "tpot_p99_s": "tpot_s", "e2e_p99_s": "e2e_s"}
"""Key of the scenario's SLO -> the column of the requests frame that it limits."""


def distribution(values: Array) -> dict[str, float]:
    """Mean and percentiles of the values that are not NaN; all NaN when there are none."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return dict.fromkeys(("mean", *(f"p{q:g}" for q in PERCENTILES)), float("nan"))
    points = np.percentile(known, PERCENTILES)
    return {"mean": float(known.mean())} | {f"p{q:g}": float(x) for q, x in zip(PERCENTILES, points, strict=True)}


def itl_distribution(tallies: list[Tally]) -> dict[str, float]:
    """Mean and percentiles of the inter-token latency of several pools together [s]; the error stands at the top."""
    counts = np.sum([tally.itl_counts for tally in tallies], axis=0)
    total = counts.sum()
    if total == 0:
        return distribution(np.empty(0))
    ranks = np.array(PERCENTILES) / 100.0 * (total - 1)
    below, above = _order_statistics(counts, np.floor(ranks)), _order_statistics(counts, np.ceil(ranks))
    points = below + (ranks - np.floor(ranks)) * (above - below)
    mean = sum(tally.itl_sum_s for tally in tallies) / total
    return {"mean": float(mean)} | {f"p{q:g}": float(x) for q, x in zip(PERCENTILES, points, strict=True)}


def _order_statistics(counts: Array, ranks: Array) -> Array:
    """The values with these ranks (from 0) as the middles of their bins [s]; 0 in the first bin, 1e4 in the last."""
    edges = itl_edges()
    middles = np.concatenate([[0.0], edges[:-1] * np.sqrt(ITL_GROWTH), edges[-1:]])
    return middles[np.searchsorted(np.cumsum(counts), ranks, side="right")]


def latency(requests: "pd.DataFrame", tallies: list[Tally]) -> dict[str, dict[str, float]]:
    """Distributions of `ttft_s`, `tpot_s`, `itl_s`, `e2e_s` and `normalised_s` [s]."""
    exact = {name: distribution(requests[name].to_numpy()) for name in ("ttft_s", "tpot_s", "e2e_s")}
    normalised = requests["e2e_s"].to_numpy() / np.maximum(requests["output_tokens"].to_numpy(), 1)
    return {
        "ttft_s": exact["ttft_s"],
        "tpot_s": exact["tpot_s"],
        "itl_s": itl_distribution(tallies),
        "e2e_s": exact["e2e_s"],
        "normalised_s": distribution(normalised),
    }


def makespan_s(requests: "pd.DataFrame") -> float:
    """From the first arrival to the last request's end [s], vLLM bench's benchmark duration; 0 without requests."""
    if len(requests) == 0:
        return 0.0
    return float(requests["finish_s"].max() - requests["arrival_s"].min())


def throughput(requests: "pd.DataFrame") -> dict[str, float]:
    """Work of finished requests over the makespan, as vLLM bench reports it; NaN when the makespan is 0.

    requests_per_s       finished requests / makespan
    input_tokens_per_s   their prompt tokens / makespan
    output_tokens_per_s  their generated tokens / makespan
    total_tokens_per_s   the two together
    """
    finished = requests[requests["status"] == "finished"]
    seconds = makespan_s(requests) or float("nan")
    inputs, outputs = float(finished["input_tokens"].sum()), float(finished["output_tokens"].sum())
    return {
        "requests_per_s": len(finished) / seconds,
        "input_tokens_per_s": inputs / seconds,
        "output_tokens_per_s": outputs / seconds,
        "total_tokens_per_s": (inputs + outputs) / seconds,
    }


def limits(slo: Slo) -> dict[str, float]:
    """The limits that the scenario gives, by key of its `slo` [s]."""
    return {key: limit for key in SLO_COLUMNS if (limit := getattr(slo, key)) is not None}


def meets(columns: Mapping[str, Any], finished: NDArray[np.bool_], slo: Slo) -> NDArray[np.bool_]:
    """Whether each request finished within every limit; no TPOT (NaN: one token) is within any."""
    met = finished.copy()
    for key, limit in limits(slo).items():
        met &= ~(np.asarray(columns[SLO_COLUMNS[key]]) > limit)
    return met


def meets_own(
    columns: Mapping[str, Any], finished: NDArray[np.bool_], tenant: NDArray[np.int64], scenario: Scenario
) -> NDArray[np.bool_]:
    """Whether each request finished within every limit of its class."""
    met = np.zeros(len(finished), np.bool_)
    for index, slo in enumerate(scenario.class_slos):
        own = tenant == index
        met[own] = meets({name: np.asarray(values)[own] for name, values in columns.items()}, finished[own], slo)
    return met


def class_report(requests: "pd.DataFrame", scenario: Scenario) -> dict[str, Any]:
    """By name of each class: its requests, its p99 latencies over finished requests, and the share within its limits."""
    report = {}
    for tenant, slo in zip(scenario.workload.classes or [], scenario.class_slos, strict=False):
        own = requests[requests["tenant"] == tenant.name]
        report[tenant.name] = {
            "requests": len(own),
            "ttft_p99_s": distribution(own["ttft_s"].to_numpy())["p99"],
            "tpot_p99_s": distribution(own["tpot_s"].to_numpy())["p99"],
            "attainment": float(own["slo_met"].mean()) if limits(slo) and len(own) else float("nan"),
        }
    return report


def slo_report(requests: "pd.DataFrame", scenario: Scenario, latencies: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Goodput, attainment and the p99 targets; goodput and attainment are NaN when nothing gives a limit.

    met_requests    requests that finished within every limit of their class, or of the scenario
    goodput_rps     met_requests / makespan [requests/s]
    attainment      met_requests / all requests that ended; rejected ones miss
    targets         by key of the SLO: limit_s, p99_s over finished requests, attainment (share of all that ended within
                    this limit), and whether the p99 holds; without a finished request nothing holds
    """
    finished = (requests["status"] == "finished").to_numpy()
    ended, seconds = max(len(requests), 1), makespan_s(requests) or float("nan")
    targets = {}
    for key, limit in limits(scenario.slo).items():
        within = meets(requests, finished, Slo(**{key: limit}))
        p99 = latencies[SLO_COLUMNS[key]]["p99"]
        holds = bool(finished.any()) and not p99 > limit
        targets[key] = {"limit_s": limit, "p99_s": p99, "attainment": float(within.sum() / ended), "holds": holds}
    met, judged = int(requests["slo_met"].sum()), any(limits(slo) for slo in scenario.class_slos)
    return {
        "met_requests": met if judged else None,
        "goodput_rps": met / seconds if judged else float("nan"),
        "attainment": met / ended if judged else float("nan"),
        "targets": targets,
    }
