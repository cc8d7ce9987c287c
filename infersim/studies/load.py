"""One fleet at one load, and the load that is too much for it: what a cost curve is made of.

Saturation is where the service stops keeping up: in the second half of the run fewer requests finish than arrive. The
search begins at the analytic bound, which no fleet exceeds, and bisects; the rate is the one delivered at the lowest
load that was too much, which for a single server is its service rate.

Not here: bounds (`bounds.py`), the curve (`curve.py`).
"""

from dataclasses import dataclass, replace

import numpy as np

from infersim.cost.price import choose_price
from infersim.results.run import rows_share
from infersim.simulate import simulate
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.bounds import bound
from infersim.studies.demand import Demand, at_load, demand
from infersim.studies.errors import StudyError
from infersim.studies.rows import Row, flat

KEEPS_UP = 0.98
"""Share of the arrivals of the second half that must finish in it."""
PRECISION = 1.03
"""The search ends when the lowest load that is too much is within this factor of the highest that is not."""
MOST_PROBES = 16
NEVER_S = 1e9
"""Longer than any run [s]."""


@dataclass(frozen=True)
class Fleet:
    """A scenario's fleet against the demand of its workload."""

    resolved: ResolvedScenario
    demand: Demand
    capacity_rps: float
    """No fleet of this size serves more [requests/s]."""


@dataclass(frozen=True)
class Probe:
    """What became of one load."""

    load_rps: float
    delivered_rps: float
    """Finished in the second half [requests/s]."""
    keeps_up: bool


def fleet(resolved: ResolvedScenario) -> Fleet:
    """The scenario with its demand and bound. Raises StudyError when no request can be served."""
    asked = demand(resolved)
    capacity = capacity_rps(resolved, asked)
    if capacity == 0:
        raise StudyError("every request is longer than the context or the KV cache of every pool; shorten them")
    return Fleet(resolved, asked, capacity)


def capacity_rps(resolved: ResolvedScenario, asked: Demand) -> float:
    """The most of such requests that the fleet's replicas, as many as there may be, could serve [requests/s]."""
    by_role = {"prefill": 0.0, "decode": 0.0, "both": 0.0}
    for index, pool in enumerate(resolved.pools):
        limit = bound(resolved, index, asked)
        replicas = pool.pool.replicas.max if pool.pool.autoscaler else pool.pool.replicas.initial
        by_role[pool.pool.role] += replicas * limit.capacity_rps if limit else 0.0
    return by_role["both"] + min(by_role["prefill"], by_role["decode"])


def run_at(given: Fleet, load_rps: float) -> Row:
    """One point of the curve: the flat summary and its load; see `run_loaded`."""
    return {"load_rps": load_rps} | run_loaded(_loaded(given, load_rps))


def run_loaded(resolved: ResolvedScenario) -> Row:
    """The flat summary of a run, with the price of an hour and the bound of what a token costs."""
    result = simulate(unsampled(resolved))
    row = flat(result.summary)
    served = result.requests[result.requests["status"] == "finished"]
    inputs, outputs = (served[name].to_numpy(np.float64) for name in ("input_tokens", "output_tokens"))
    least = least_usd(resolved, Demand(inputs, outputs, row["run.end_s"])) / rows_share(result.summary)
    return {
        "usd_per_hour": row["cost.total_usd"] / row["run.end_s"] * 3600,
        "least_usd_per_million_output_tokens": 1e6 * least / max(row["requests.output_tokens"], 1),
        **row,
    }


def least_usd(resolved: ResolvedScenario, served: Demand) -> float:
    """No fleet of these replicas serves these requests for less [USD]."""
    prices: dict[str, list[float]] = {"prefill": [], "decode": [], "both": []}
    for index, pool in enumerate(resolved.pools):
        limit = bound(resolved, index, served) if len(served.input_tokens) else None
        if limit is not None:
            usd_per_hour = choose_price(pool.hardware, pool.pool.price)[0] * pool.chips
            prices[pool.pool.role].append(limit.request_s * usd_per_hour / 3600)
    split = [min(prices["prefill"]) + min(prices["decode"])] if prices["prefill"] and prices["decode"] else []
    return min(prices["both"] + split, default=0.0) * len(served.input_tokens)


def _loaded(given: Fleet, load_rps: float) -> ResolvedScenario:
    return at_load(given.resolved, load_rps / given.demand.rate_rps)


def unsampled(resolved: ResolvedScenario) -> ResolvedScenario:
    """The same run without a timeline, at which nobody would look: half of the time of a small run."""
    return replace(resolved, scenario=resolved.scenario.model_copy(update={"sample_interval_s": NEVER_S}))


def probe(given: Fleet, load_rps: float) -> Probe:
    """Whether the fleet keeps up with a load."""
    requests = simulate(unsampled(_loaded(given, load_rps))).requests
    kept = requests[requests["status"] != "rejected"]  # who is turned away or gives up has not been kept up with
    served = requests[requests["status"] == "finished"]
    end_s = float(requests["arrival_s"].max()) if len(requests) else 0.0
    half = end_s / 2
    arrived = int((kept["arrival_s"] > half).sum())
    ended = int(((served["finish_s"] > half) & (served["finish_s"] <= end_s)).sum())
    if arrived == 0:
        raise StudyError(f"nothing arrives in the second half of a run at {load_rps:g} requests/s; lengthen horizon_s")
    return Probe(load_rps, ended / (end_s - half), ended >= KEEPS_UP * arrived)


def saturation_rps(given: Fleet) -> float:
    """The most that the fleet delivers for long [requests/s]. Raises StudyError when no load is too much."""
    enough, too_much = _first_too_much(given)
    for _ in range(MOST_PROBES):
        if min(too_much.load_rps, too_much.delivered_rps) <= PRECISION * enough:
            break
        found = probe(given, _next_load(enough, too_much))
        if found.keeps_up:
            enough = found.load_rps
        else:
            too_much = found
    return max(too_much.delivered_rps, KEEPS_UP * enough)


def _first_too_much(given: Fleet) -> tuple[float, Probe]:
    """A load that the fleet keeps up with (or 0), and one that is too much, from the bound upwards."""
    enough, load = 0.0, given.capacity_rps
    for _ in range(MOST_PROBES):
        found = probe(given, load)
        if not found.keeps_up:
            return enough, found
        enough, load = load, load * 1.2
    raise StudyError(
        f"the fleet keeps up with {load:.3g} requests/s, more than it can serve for long; lengthen horizon_s"
    )


def _next_load(enough: float, too_much: Probe) -> float:
    """A little below what was delivered when overloaded, where it should keep up; else the middle."""
    guess = KEEPS_UP * too_much.delivered_rps
    return guess if guess > enough else (enough + too_much.load_rps) / 2
