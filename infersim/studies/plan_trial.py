"""Whether a fleet meets the SLO: one run, or several from which the answer follows with a stated confidence.

The measure is the strain: the greatest of p99 / limit over the SLO's targets; at most 1 is within. Rejecting more than
one request in a hundred is infinite strain, and so is a fleet that the long-run rate would keep busy for more than all
of its time, however short the run is. With replications (seeds one after the other, the same ones for every fleet) the
mean strain must be below 1 with CONFIDENCE by Student's t.

Not here: which fleets are tried (`plan.py`).
"""

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from infersim.simulate import simulate
from infersim.studies.load import unsampled
from infersim.studies.plan_space import Candidate

CONFIDENCE = 0.95
LOST = 0.01
"""Share of requests that may be rejected: a p99 says nothing of the last hundredth."""


@dataclass(frozen=True)
class Run:
    """One run of a fleet."""

    strain: float
    worst: str
    """The target with the greatest strain."""
    ttft_p99_s: float
    tpot_p99_s: float
    watts: float
    attainment: float
    usd: float
    """All that was billed [USD]."""


@dataclass(frozen=True)
class Verdict:
    """Several runs of a fleet."""

    runs: tuple[Run, ...]

    @property
    def strain(self) -> float:
        """Mean strain."""
        return fmean(run.strain for run in self.runs)

    @property
    def spread(self) -> float:
        """Half of the one-sided confidence interval of the mean strain; 0 with a single run."""
        from scipy.stats import t

        count = len(self.runs)
        if count < 2 or not math.isfinite(self.strain):
            return 0.0
        return float(t.ppf(CONFIDENCE, count - 1)) * stdev(run.strain for run in self.runs) / math.sqrt(count)

    @property
    def holds(self) -> bool:
        """Whether the SLO is met, with the stated confidence if there are several runs."""
        return self.strain + self.spread <= 1.0

    def mean(self, name: str) -> float:
        """Mean of a number over the runs."""
        return fmean(getattr(run, name) for run in self.runs)


def try_fleet(candidate: Candidate, replicas: int, seeds: tuple[int, ...], busy: float) -> Verdict:
    """Run so many replicas (of a scaled candidate, at least so many) once for each seed; `busy` is the least number that the rate keeps busy (see `bounds.py`)."""
    most = candidate.pool.replicas.max if candidate.scaled else replicas
    return Verdict(tuple(run_once(candidate, replicas, seed, max(most, replicas) >= busy) for seed in seeds))


def run_once(candidate: Candidate, replicas: int, seed: int, stable: bool = True) -> Run:
    """One run."""
    summary = simulate(unsampled(candidate.with_replicas(replicas)), seed=seed).summary
    targets = {key: target["p99_s"] / target["limit_s"] for key, target in summary["slo"]["targets"].items()}
    targets = {key: share for key, share in targets.items() if not math.isnan(share)}
    worst = max(targets, key=lambda key: targets[key], default="")
    arrived = summary["requests"]["arrived"]
    lost = 1 - summary["requests"]["finished"] / arrived if arrived else 0.0
    finite = stable and lost <= LOST and targets
    return Run(
        strain=targets[worst] if finite else math.inf,
        worst=worst,
        ttft_p99_s=summary["latency"]["ttft_s"]["p99"],
        tpot_p99_s=summary["latency"]["tpot_s"]["p99"],
        watts=summary["energy"]["mean_w"],
        attainment=summary["slo"]["attainment"],
        usd=summary["cost"]["total_usd"],
    )
