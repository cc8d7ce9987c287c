"""How sure are we: one scenario again and again, with other seeds and with profiles drawn from within their spreads.

    found = replicate("chat_burst", 20)
    found.intervals                 # one row for each headline number
    found.slo_probability

Replication k draws its requests with seed + k, and its profiles as `spreads.py` says, by streams that only k and the names of things
decide. So two scenarios that are replicated alike meet the same requests and the same chips (common random numbers),
and their difference has less noise. Not here: intervals of a single run (`infersim/results/steady.py`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infersim.results.steady import LEVEL, t_quantile
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.errors import StudyError
from infersim.studies.spreads import drawn
from infersim.studies.tasks import Machines, all_done

if TYPE_CHECKING:
    import pandas as pd

    from infersim.spec.scenario import Scenario

HEADLINES = (
    "throughput.requests_per_s", "throughput.output_tokens_per_s", "latency.ttft_s.mean", "latency.ttft_s.p50",
    "latency.ttft_s.p99", "latency.tpot_s.mean", "latency.tpot_s.p50", "latency.tpot_s.p99", "latency.e2e_s.p99",
    "slo.attainment", "slo.goodput_rps", "cost.total_usd", "cost.busy_usd", "cost.idle_usd", "cost.cold_start_usd",
    "cost.usd_per_million_output_tokens", "cost.usd_per_million_total_tokens", "cost.usd_per_month", "energy.total_kwh",
    "energy.j_per_output_token",
)  # fmt: skip
"""Keys of the summary that get an interval."""


@dataclass(frozen=True)
class Replications:
    """What many runs of one scenario came to."""

    runs: "pd.DataFrame"
    """One row for each replication: replication, seed, HEADLINES, slo_holds."""
    intervals: "pd.DataFrame"
    """One row for each headline number: number, runs, mean, low and high (interval of the mean at LEVEL, Student's t),
    p5 and p95 (where nine of ten single runs land)."""
    slo_probability: float | None
    """Share of replications in which every p99 kept its limit; None without an SLO."""
    slo_interval: tuple[float, float] | None
    """Wilson's interval of that probability at LEVEL."""

    def in_words(self) -> str:
        """How likely the SLO holds, as a sentence."""
        if self.slo_probability is None or self.slo_interval is None:
            return f"{len(self.runs)} runs; the scenario sets no SLO"
        low, high = self.slo_interval
        return (
            f"the SLO held in {self.slo_probability:.0%} of {len(self.runs)} runs; 95 % sure that its probability lies "
            f"between {low:.0%} and {high:.0%}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Intervals and probability as plain values, for JSON."""
        return {
            "runs": len(self.runs),
            "intervals": self.intervals.to_dict("records"),
            "slo_probability": self.slo_probability,
            "slo_interval": self.slo_interval,
        }


def replicate(
    scenario: "Scenario | ResolvedScenario | str | Path | Mapping[str, Any]",
    replications: int = 20,
    *,
    settings: list[str] | None = None,
    spreads: bool = True,
    workers: int | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Replications:
    """Run a scenario `replications` times, on all cores unless `workers` says otherwise; the answer does not depend on it.

    `spreads=False` varies the seed alone. Raises SpecError and what else `simulate` raises, and StudyError when there
    are fewer than two replications or one of them fails.
    """
    from infersim.spec.load import load_scenario
    from infersim.spec.resolve import resolve
    from infersim.spec.scenario import Scenario as Asked

    if replications < 2:
        raise StudyError(f"an interval needs at least 2 replications, found {replications}")
    if not isinstance(scenario, Asked | ResolvedScenario):
        scenario = load_scenario(scenario, settings or [])
    resolved = scenario if isinstance(scenario, ResolvedScenario) else resolve(scenario)
    tasks = [(resolved, number, spreads) for number in range(replications)]
    rows = all_done(
        _one,
        tasks,
        Machines(workers=workers),
        lambda number, why: StudyError(f"replication {number} failed: {why}"),
        progress,
    )
    return _concluded(rows)


def _one(task: tuple[ResolvedScenario, int, bool]) -> dict[str, Any]:
    """One replication's headline numbers."""
    from infersim.simulate import simulate

    resolved, number, spreads = task
    seed = (resolved.scenario.seed + number) % 2**63
    summary = simulate(varied(resolved, number) if spreads else resolved, seed=seed).summary
    targets = summary["slo"]["targets"].values()
    holds = all(target["holds"] for target in targets) if targets else None
    return {"replication": number, "seed": seed, **{key: _at(summary, key) for key in HEADLINES}, "slo_holds": holds}


def _at(summary: Mapping[str, Any], path: str) -> float:
    value: Any = summary
    for key in path.split("."):
        value = value[key]
    return float(value)


def varied(resolved: ResolvedScenario, number: int) -> ResolvedScenario:
    """The scenario with the profiles of replication `number`; a ratio stays at most 1, so nothing beats physics."""
    pools = []
    for pool in resolved.pools:
        hardware, engine = drawn(pool.hardware, pool.engine, number)
        pools.append(replace(pool, hardware=hardware, engine=engine))
    return replace(resolved, pools=tuple(pools))


def _concluded(rows: list[dict[str, Any]]) -> Replications:
    """Intervals from the rows of all replications."""
    import pandas as pd

    runs = pd.DataFrame(rows)
    intervals = pd.DataFrame([_interval(key, runs[key].dropna().to_numpy(dtype=float)) for key in HEADLINES])
    if runs["slo_holds"].isna().any():
        return Replications(runs, intervals, None, None)
    held = int(runs["slo_holds"].astype(bool).sum())
    return Replications(runs, intervals, held / len(runs), wilson(held, len(runs)))


def _interval(key: str, values: np.ndarray) -> dict[str, Any]:
    count = len(values)
    if count == 0:
        return {"number": key, "runs": 0, **dict.fromkeys(("mean", "low", "high", "p5", "p95"), float("nan"))}
    mean, half = float(values.mean()), float("nan")
    if count > 1:
        half = t_quantile(LEVEL, count - 1) * float(values.std(ddof=1)) / math.sqrt(count)
    p5, p95 = (float(x) for x in np.percentile(values, (5, 95)))
    return {"number": key, "runs": count, "mean": mean, "low": mean - half, "high": mean + half, "p5": p5, "p95": p95}


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a probability at LEVEL (Wilson 1927); honest at 0 and 1, where others are not."""
    z = 1.959963984540054
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2.0) / (1.0 + spread)
    half = math.sqrt(share * (1.0 - share) / trials * z * z + spread * spread / 4.0) / (1.0 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)
