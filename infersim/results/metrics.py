"""Latency, throughput and SLO, with the names and definitions of vLLM's serving benchmark (`vllm bench serve`).

    TTFT  first token - arrival: held, in the front end, queued and prefill; the network's round trip where there are regions     [s]
    TPOT  (finish - first token) / (output tokens - 1); a request with one token has none                   [s]
    ITL   time between consecutive tokens of one request, over all pairs of tokens of all requests           [s]
    E2E   finish - arrival                                                                                  [s]
    normalised latency  E2E / output tokens, as in the paper on vLLM (Kwon et al., SOSP 2023)               [s/token]

An embedding or an image comes whole: its TTFT is its E2E, it has no TPOT, and its output tokens count as none. Of several
samples all output tokens count, of a beam search those of the best; TTFT, TPOT and normalised latency are of one.

All are of finished requests. Percentiles interpolate linearly between order statistics (numpy's default). Those of
ITL come from a histogram whose bin edges grow by 1 %; each order statistic is taken as the geometric middle of its
bin, so it is within 0.5 % of the exact one (between 1 us and 1e4 s). Its mean is exact.

Counts, sums and means are those of all requests (`infersim/dataplane/totals.py`). Where a run was too long to keep a row
for each request, percentiles of the other latencies come from histograms too, within 0.4 % of each order statistic.

Not here: the columns themselves (`frames.py`). Read `money.py` next.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infersim.controlplane.phases import Period
from infersim.dataplane.records import ENDINGS
from infersim.dataplane.tally import ITL_GROWTH, Tally, itl_edges
from infersim.dataplane.totals import LATENCIES, LIMITED, Sums, Totals
from infersim.spec.scenario import Scenario, Slo
from infersim.spec.zoo import asked_names

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

PERCENTILES = (50, 90, 95, 99, 99.9)

REPORTED = ("ttft_s", "tpot_s", "itl_s", "e2e_s", "normalised_s")
"""Latencies of the summary, in their order."""

SLO_COLUMNS = {"ttft_p99_s": "ttft_s", "tpot_p99_s": "tpot_s", "e2e_p99_s": "e2e_s"}
"""Key of the scenario's SLO -> the column of the requests frame that it limits."""


def distribution(values: Array) -> dict[str, float]:
    """Mean and percentiles of the values that are not NaN; all NaN when there are none."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return dict.fromkeys(("mean", *(f"p{q:g}" for q in PERCENTILES)), float("nan"))
    points = np.percentile(known, PERCENTILES)
    return {"mean": float(known.mean())} | {f"p{q:g}": float(x) for q, x in zip(PERCENTILES, points, strict=True)}


def histogram_distribution(mean: float, total: float, order_statistics: Callable[[Array], Array]) -> dict[str, float]:
    """The same from a histogram of `total` values, which says what has a given rank (from 0)."""
    if total == 0:
        return distribution(np.empty(0))
    ranks = np.array(PERCENTILES) / 100.0 * (total - 1)
    below, above = order_statistics(np.floor(ranks)), order_statistics(np.ceil(ranks))
    points = below + (ranks - np.floor(ranks)) * (above - below)
    return {"mean": mean} | {f"p{q:g}": float(x) for q, x in zip(PERCENTILES, points, strict=True)}


def itl_distribution(tallies: list[Tally]) -> dict[str, float]:
    """Mean and percentiles of the inter-token latency of several pools together [s]; the error stands at the top."""
    counts = np.sum([tally.itl_counts for tally in tallies], axis=0)
    mean = sum(tally.itl_sum_s for tally in tallies) / max(counts.sum(), 1.0)
    edges = itl_edges()
    middles = np.concatenate([[0.0], edges[:-1] * np.sqrt(ITL_GROWTH), edges[-1:]])
    below = np.cumsum(counts)
    return histogram_distribution(
        float(mean), counts.sum(), lambda ranks: middles[np.searchsorted(below, ranks, side="right")]
    )


def latency(sums: Sums, requests: "pd.DataFrame | None", tallies: list[Tally]) -> dict[str, dict[str, float]]:
    """Distributions of `ttft_s`, `tpot_s`, `itl_s`, `e2e_s` and `normalised_s` [s].

    `requests` is the frame of those that `sums` is of, for exact percentiles; None where not every request has a row.
    """
    found = {name: latency_of(sums, requests, name) for name in LATENCIES}
    return {name: itl_distribution(tallies) if name == "itl_s" else found[name] for name in REPORTED}


def latency_of(sums: Sums, requests: "pd.DataFrame | None", name: str) -> dict[str, float]:
    """Distribution of one of LATENCIES [s]."""
    if requests is None:
        place = LATENCIES.index(name)
        total = int(sums.known[place])
        mean = float(sums.latency_s[place]) / max(total, 1)
        return histogram_distribution(mean, total, lambda ranks: sums.order_statistics(name, ranks))
    if name == "normalised_s":
        return distribution(requests["e2e_s"].to_numpy() / np.maximum(requests["output_tokens"].to_numpy(), 1))
    return distribution(requests[name].to_numpy())


def throughput(sums: Sums) -> dict[str, float]:
    """Work of finished requests over the makespan, as vLLM bench reports it; NaN when the makespan is 0.

    The makespan, vLLM bench's benchmark duration, lasts from the first arrival to the last request's end.

    requests_per_s       finished requests / makespan
    input_tokens_per_s   their prompt tokens / makespan
    output_tokens_per_s  their generated tokens / makespan
    total_tokens_per_s   the two together
    """
    seconds = sums.makespan_s or float("nan")
    inputs, outputs = sums.of_finished("input_tokens"), sums.of_finished("output_tokens")
    return {
        "requests_per_s": sums.finished / seconds,
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


def model_report(totals: Totals, requests: "pd.DataFrame | None", scenario: Scenario) -> dict[str, Any]:
    """By model that classes ask for: its requests, tokens, p99 latencies of finished ones, the share within their limits."""
    report = {}
    asked = asked_names(scenario)
    for name in dict.fromkeys(name for name in asked if name is not None):
        sums = totals.of(tenant=[index for index, model in enumerate(asked) if model == name])
        own = None if requests is None else requests[requests["model"] == name]
        report[name] = {
            "requests": sums.arrived,
            "finished": sums.finished,
            "input_tokens": sums.of_finished("input_tokens"),
            "output_tokens": sums.of_finished("output_tokens"),
            "ttft_p99_s": latency_of(sums, own, "ttft_s")["p99"],
            "tpot_p99_s": latency_of(sums, own, "tpot_s")["p99"],
            "attainment": sums.met / sums.arrived if sums.arrived else float("nan"),
        }
    return report


def class_report(totals: Totals, requests: "pd.DataFrame | None", scenario: Scenario) -> dict[str, Any]:
    """By name of each class: its requests, how they ended, p99 latencies of finished ones, the share within its limits."""
    report = {}
    for index, (tenant, slo) in enumerate(zip(scenario.workload.classes or [], scenario.class_slos, strict=False)):
        sums = totals.of(tenant=index)
        own = None if requests is None else requests[requests["tenant"] == tenant.name]
        report[tenant.name] = {
            "requests": sums.arrived,
            **{ending: int(count) for ending, count in zip(ENDINGS, sums.endings, strict=True)},
            "ttft_p99_s": latency_of(sums, own, "ttft_s")["p99"],
            "tpot_p99_s": latency_of(sums, own, "tpot_s")["p99"],
            "attainment": sums.met / sums.arrived if limits(slo) and sums.arrived else float("nan"),
        }
    return report


def slo_report(sums: Sums, scenario: Scenario, latencies: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Goodput, attainment and the p99 targets; goodput and attainment are NaN when nothing gives a limit.

    met_requests    requests that finished within every limit of their class, or of the scenario
    goodput_rps     met_requests / makespan [requests/s]
    attainment      met_requests / all requests that ended; those that did not finish miss
    targets         by key of the SLO: limit_s, p99_s over finished requests, attainment (share of all that ended within
                    this limit), and whether the p99 holds; without a finished request nothing holds
    """
    ended, seconds = max(sums.arrived, 1), sums.makespan_s or float("nan")
    targets = {}
    for key, limit in limits(scenario.slo).items():
        within = int(sums.within[LIMITED.index(SLO_COLUMNS[key])])
        p99 = latencies[SLO_COLUMNS[key]]["p99"]
        holds = sums.finished > 0 and not p99 > limit
        targets[key] = {"limit_s": limit, "p99_s": p99, "attainment": within / ended, "holds": holds}
    judged = any(limits(slo) for slo in scenario.class_slos)
    return {
        "met_requests": sums.met if judged else None,
        "goodput_rps": sums.met / seconds if judged else float("nan"),
        "attainment": sums.met / ended if judged else float("nan"),
        "targets": targets,
    }


def phase_report(requests: "pd.DataFrame", periods: Sequence[Period], weight: int) -> list[dict[str, Any]]:
    """What each outage, power cap and upgrade did to the requests that arrived in it, in order of time.

    requests, share met of the SLO, p99 of TTFT; the same of requests outside all of them is the entry `otherwise`. Each row
    stands for `weight` requests.
    """
    arrival = requests["arrival_s"].to_numpy()
    inside = [(arrival >= period.begin_s) & (arrival < period.end_s) for period in periods]
    entries: list[dict[str, Any]] = [
        {"kind": period.kind, "begin_s": period.begin_s, "end_s": period.end_s, **_within(requests[chosen], weight)}
        for period, chosen in zip(periods, inside, strict=True)
    ]
    outside = ~np.any(inside, axis=0)
    entries.sort(key=lambda entry: float(entry["begin_s"]))
    return [*entries, {"kind": "otherwise", "begin_s": None, "end_s": None, **_within(requests[outside], weight)}]


def _within(requests: "pd.DataFrame", weight: int) -> dict[str, float]:
    """Of some requests: how many, the share that met the SLO, p99 of TTFT [s]."""
    count = len(requests)
    return {
        "requests": count * weight,
        "attainment": float(requests["slo_met"].mean()) if count else float("nan"),
        "ttft_p99_s": float(requests["ttft_s"].quantile(0.99)) if count else float("nan"),
    }
