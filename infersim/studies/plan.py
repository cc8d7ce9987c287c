"""The cheapest fleet that meets the SLO, over chips, layouts, precisions, engines, batching and price tiers.

Branch and bound. Every candidate has a bound of what it costs: the replicas that the load keeps busy whatever the batches
look like, and no fleet at all if a latency cannot be met even alone (`bounds.py`). The cheapest bounds are looked at
first; simulation finds the fewest replicas that meet the SLO, by bisection; replications decide near the edge. A candidate
whose bound exceeds the best fleets known is never simulated.

    found = plan("h100_llama70b", {"hardware": ["h100-sxm", "mi300x"], "tensor": [1, 2, 4, 8]})
    found.ranking    found.losers    found.save("runs/plan")

Fleets are fixed numbers of replicas. Not here: the search (`plan_search.py`), the candidates (`plan_space.py`), the
picture (`plan_plot.py`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infersim.spec.resolve import ResolvedScenario, resolved_yaml
from infersim.studies.demand import Demand, at_load, demand
from infersim.studies.errors import StudyError
from infersim.studies.plan_sample import sample
from infersim.studies.plan_search import (
    QUANTILES,
    Fleet,
    Progress,
    Prospect,
    Search,
    confirm_best,
    look_for_fleets,
    prospect_of,
)
from infersim.studies.plan_space import Candidate, Space, candidates, parse_space
from infersim.studies.plan_trial import run_once
from infersim.studies.tasks import Machines
from infersim.studies.variants import Source, resolved_with

GRAMS_PER_KWH = 412.72
"""Carbon intensity of electricity [g CO2e/kWh]: us-central1 (Iowa), 2024, GoogleCloudPlatform/region-carbon-info."""


@dataclass(frozen=True)
class Plan:
    """What a plan found."""

    ranking: pd.DataFrame
    """The best fleets, cheapest first: candidate, replicas, chips, usd_per_hour, margin and its confidence, latencies,
    energy, carbon; growth and one_lost (headroom) of the winner."""
    losers: pd.DataFrame
    """Every other candidate: its bound, whether it was simulated, and why it lost."""
    frontier: pd.DataFrame
    """Fleets that meet the SLO and that no other beats in cost, latency and carbon at once."""
    fleets: pd.DataFrame
    """All fleets that were found to meet the SLO."""
    perfect: dict[str, float]
    """Lower bound: chips and USD/h of an autoscaler that is always right, on the candidate where that costs least."""
    simulated: int
    """Runs."""
    scenario_yaml: str
    """The winner, ready to run."""

    def save(self, directory: str | Path) -> Path:
        """Write winner.yaml, ranking.csv, losers.csv, fleets.csv and pareto.png."""
        from infersim.studies.plan_plot import draw

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "winner.yaml").write_text(self.scenario_yaml, encoding="utf-8")
        for name in ("ranking", "losers", "fleets"):
            getattr(self, name).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        (folder / "pareto.png").write_bytes(draw(self))
        return folder


def plan(
    scenario: Source,
    space: Space | Sequence[str] = (),
    *,
    settings: Sequence[str] = (),
    replications: int = 3,
    keep: int = 5,
    each_chip: bool = False,
    trials: int | None = None,
    grams_per_kwh: float = GRAMS_PER_KWH,
    workers: int | None = 1,
    cluster: Any = None,
    progress: Progress | None = None,
) -> Plan:
    """Find the cheapest fleets that meet the scenario's SLO under its workload.

    `space` maps keys of `plan_space.KEYS` to lists; the scenario's first pool is the template of the rest. The best `keep`
    are ranked (of every chip with `each_chip`), each confirmed by `replications` runs. With `trials` only so many candidates are looked at, which Optuna
    chooses by what it learns (`plan_sample.py`): for spaces too large to bound every candidate. Raises StudyError when the scenario has no SLO, for a bad space,
    and when no candidate meets the SLO: with how close the best comes.
    """
    resolved = resolved_with(scenario, settings)
    if all(getattr(resolved.scenario.slo, key) is None for key in QUANTILES):
        raise StudyError(f"{resolved.scenario.name} has no SLO to meet; give it one: --set slo.ttft_p99_s=0.5")
    if replications < 1 or keep < 1 or (trials is not None and trials < 1):
        raise StudyError(f"found {replications} replications of the best {keep}, {trials} trials; at least 1 of each")
    asked = demand(resolved)
    choices: Space = space if isinstance(space, Mapping) else parse_space(space)
    seeds = tuple(resolved.scenario.seed + k for k in range(replications))
    search = Search(seeds, keep, Machines(workers, cluster), each_chip)
    if trials is None:
        prospects = [prospect_of(candidate, asked) for candidate in candidates(resolved.scenario, choices)]
    else:
        prospects = sample(search, resolved.scenario, choices, asked, trials, progress)
    look_for_fleets(search, prospects, progress)
    best = confirm_best(search, prospects, progress)
    if not best:
        raise StudyError(_nothing_meets(prospects, search))
    return _report(resolved, asked, search, prospects, best, grams_per_kwh)


def _nothing_meets(prospects: Sequence[Prospect], search: Search) -> str:
    """How close the best candidate comes, and what would help."""
    by_number = {prospect.candidate.number: prospect for prospect in prospects}
    tried = sorted((missed.strain, number) for number, missed in search.missed.items())
    if not tried or not math.isfinite(tried[0][0]):
        reasons = sorted({prospect.why for prospect in prospects if prospect.why})
        return f"none of the {len(prospects)} candidates can meet the SLO: {'; '.join(reasons[:4])}"
    strain, number = tried[0]
    missed = search.missed[number]
    return (
        f"none of the {len(prospects)} candidates meets the SLO; the closest is {by_number[number].candidate.label()} with "
        f"{missed.replicas} replicas, whose {missed.worst} is {strain:.3g} times its limit. What would help: a limit "
        f"{strain:.3g} times as long, more chips a replica (tensor), fewer tokens a step (max_num_batched_tokens), or "
        "a smaller dtype"
    )


def _report(
    resolved: ResolvedScenario, asked: Demand, search: Search, prospects: Sequence[Prospect], best: list[Fleet],
    grams_per_kwh: float,
) -> Plan:  # fmt: skip
    """The plan's tables."""
    ranking = pd.DataFrame([_row(fleet, grams_per_kwh) for fleet in best])
    headroom = _headroom(best[0], asked)
    ranking["growth"] = [headroom["growth"]] + [float("nan")] * (len(best) - 1)
    ranking["strain_one_lost"] = [headroom["strain_one_lost"]] + [float("nan")] * (len(best) - 1)
    fleets = pd.DataFrame([_row(fleet, grams_per_kwh) for fleet in sorted(search.found, key=lambda fleet: fleet.order)])
    chosen = {fleet.prospect.candidate.number for fleet in best}
    losers = pd.DataFrame(
        [_loser(prospect, search, best) for prospect in prospects if prospect.candidate.number not in chosen],
        columns=["candidate", "hardware", "least_usd_per_hour", "simulated", "why"],
    )
    runnable = [prospect for prospect in prospects if not prospect.why]
    ideal = min(runnable, key=lambda prospect: prospect.busy * prospect.candidate.usd_per_hour)
    perfect = {
        "chips": ideal.busy * ideal.candidate.one.chips,
        "usd_per_hour": ideal.busy * ideal.candidate.usd_per_hour,
    }
    winner = best[0].prospect.candidate.with_replicas(best[0].replicas).scenario
    named = winner.model_copy(update={"name": f"{resolved.scenario.name}-plan"})
    return Plan(ranking, losers, _frontier(fleets), fleets, perfect, search.simulated, resolved_yaml(named))


def _row(fleet: Fleet, grams_per_kwh: float) -> dict[str, Any]:
    """A fleet as a row."""
    candidate, verdict = fleet.prospect.candidate, fleet.verdict
    pool = candidate.one.pool
    watts = verdict.mean("watts")
    return {
        "candidate": candidate.label(),
        "hardware": pool.hardware,
        "replicas": fleet.replicas,
        "scaled": candidate.scaled,
        "chips": fleet.replicas * candidate.one.chips,
        "usd_per_hour": fleet.usd_per_hour,
        "margin": 1 - verdict.strain,
        "margin_confidence": verdict.spread,
        "runs": len(verdict.runs),
        "ttft_p99_s": verdict.mean("ttft_p99_s"),
        "tpot_p99_s": verdict.mean("tpot_p99_s"),
        "attainment": verdict.mean("attainment"),
        "utilisation_bound": fleet.prospect.busy / fleet.replicas,
        "kwh_per_hour": watts / 1e3,
        "kg_co2_per_hour": watts / 1e3 * grams_per_kwh / 1e3,
    }


def _loser(prospect: Prospect, search: Search, best: list[Fleet]) -> dict[str, Any]:
    """Why a candidate is not among the best."""
    number = prospect.candidate.number
    fleet = next((fleet for fleet in search.found if fleet.prospect.candidate.number == number), None)
    missed, rivals = search.missed.get(number), [one for one in best if search.rivals(one.prospect, prospect)]
    if prospect.why:
        why = prospect.why
    elif fleet is not None:
        why = f"meets the SLO with {fleet.replicas} replicas, for ${fleet.usd_per_hour:.2f}/h"
    elif missed is None:
        why = f"needs at least {prospect.needed} replicas to carry the load: ${prospect.cost(prospect.least):.2f}/h"
    elif missed.worst.startswith("fails"):
        why = missed.worst
    elif missed.hopeless:
        why = f"misses {missed.worst} by {missed.strain:.3g} times even with {missed.replicas} replicas"
    else:
        more = missed.replicas + 1
        why = f"{missed.replicas} replicas miss {missed.worst} ({missed.strain:.3g} x); {more} cost "
        why += f"${prospect.cost(more):.2f}/h, {rivals[-1].prospect.candidate.label()} ${rivals[-1].usd_per_hour:.2f}/h"
    least = float("nan") if prospect.candidate.resolved is None else prospect.cost(prospect.least)
    return {
        "candidate": prospect.candidate.label(),
        "hardware": prospect.candidate.pool.hardware,
        "least_usd_per_hour": least,
        "simulated": fleet is not None or missed is not None,
        "why": why,
    }


def _frontier(fleets: pd.DataFrame) -> pd.DataFrame:
    """Fleets that no other equals or beats in cost, latency and carbon at once."""
    keys = fleets[["usd_per_hour", "ttft_p99_s", "kg_co2_per_hour"]].to_numpy(float)
    beaten = [
        any((other <= own).all() and (other < own).any() for k, other in enumerate(keys) if k != j)
        for j, own in enumerate(keys)
    ]
    return fleets[~np.array(beaten)].reset_index(drop=True)


def _headroom(fleet: Fleet, asked: Demand) -> dict[str, float]:
    """How much the winner's load may grow within the SLO (a factor, to 2 %), and its strain with one replica fewer."""
    candidate, seed = fleet.prospect.candidate, candidate_seed(fleet)
    one_lost = math.nan if candidate.scaled else math.inf
    if fleet.replicas > 1 and not candidate.scaled:
        one_lost = run_once(candidate, fleet.replicas - 1, seed).strain
    most = candidate.pool.replicas.max if candidate.scaled else fleet.replicas
    low, high = 1.0, max(1.0, most / max(fleet.prospect.busy, 1e-9))
    while high - low > 0.02 * low:
        middle = (low + high) / 2
        assert candidate.resolved is not None
        grown = Candidate(candidate.number, candidate.pool, at_load(candidate.resolved, middle))
        low, high = (middle, high) if run_once(grown, fleet.replicas, seed).strain <= 1 else (low, middle)
    return {"growth": low, "strain_one_lost": one_lost}


def candidate_seed(fleet: Fleet) -> int:
    """The scenario's own seed."""
    assert fleet.prospect.candidate.resolved is not None
    return fleet.prospect.candidate.resolved.scenario.seed
