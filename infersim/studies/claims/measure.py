"""One case at its load: the load is found, then the run that is read off is made, and saved where asked.

The load at which the SLO holds is found as the cost curve finds it (`studies/curve.py`); the horizon is one that holds enough
requests. Replication 0 is the scenario as it stands; number k has other requests and profiles drawn from within
their spreads, as `studies/replications.py` draws them. Not here: what the numbers mean (`verdict.py`).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from infersim.cost.memory import DoesNotFit
from infersim.simulate import simulate
from infersim.spec.errors import SpecError
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.bounds import bound
from infersim.studies.claims.case import At, Case
from infersim.studies.curve import slo_rps
from infersim.studies.demand import at_load
from infersim.studies.load import Fleet, fleet, run_at
from infersim.studies.replications import varied
from infersim.studies.rows import Row, flat
from infersim.studies.variants import resolved_with

REQUESTS, SPAN_S = 1000, 200.0
"""A run is as long as the fleet takes for so many requests at its analytic bound, or this long if that is longer."""
ALONE, IDLE = 40, 50
"""Requests of a lone user, and how many times their length lies between two."""
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.2)
"""Loads, as shares of the analytic bound, up to the first at which the SLO does not hold."""


@dataclass(frozen=True)
class Task:
    """A case to be measured."""

    case: Case
    replication: int
    directory: Path | None
    """Where its run is saved; nowhere when absent."""


@dataclass(frozen=True)
class Measured:
    """A case at its load."""

    row: Row | None
    """The flat summary, `load_rps`, `chips` and `runs`; of a load of 0 nothing else. None when it cannot run."""
    why: str = ""
    """Why it cannot run, or serves nobody."""
    sources: tuple[dict[str, Any], ...] = ()
    """The graded numbers that it started from (`results/provenance.py`)."""
    dtypes: frozenset[str] = frozenset()
    """Dtypes in which its chips compute."""


def measure(task: Task) -> Measured:
    """Find the load and run it."""
    case = task.case
    try:
        resolved = resolved_with(case.scenario, case.settings)
    except SpecError as error:
        return Measured(None, error.problems[0].message)
    except DoesNotFit as error:
        return Measured(None, str(error.__cause__ or error))
    if task.replication:
        seeded = resolved.scenario.model_copy(update={"seed": resolved.scenario.seed + task.replication})
        resolved = replace(varied(resolved, task.replication), scenario=seeded)
    if case.at != "as it stands":
        given = _quiet(resolved) if case.at == "alone" else _long_enough(resolved)
        load = _load(given, case.at)
        if load == 0:
            return Measured({"load_rps": 0.0, "runs": 1.0}, "the SLO holds at no load")
        resolved = at_load(given.resolved, load / given.demand.rate_rps)
    result = simulate(resolved)
    if task.directory is not None:
        result.save(task.directory, plots=False)
    row = flat(result.summary)
    chips = sum(pool.pool.replicas.initial * pool.chips for pool in resolved.pools)
    row |= {"load_rps": row["throughput.requests_per_s"], "chips": chips, "runs": 1.0}
    return Measured(row, "", tuple(result.summary["provenance"]), _dtypes(resolved))


def _load(given: Fleet, at: At) -> float:
    """The load at which the case is measured [requests/s]; 0 when the SLO holds at none."""
    if at == "alone":
        return given.demand.rate_rps
    if at == "saturation":
        return given.capacity_rps
    rows: list[Row] = []
    for share in SHARES:
        rows.append(run_at(given, share * given.capacity_rps))
        if not all(rows[-1][key] for key in rows[-1] if key.startswith("slo.targets.") and key.endswith(".holds")):
            break
    return slo_rps(given, pd.DataFrame(rows))


def _long_enough(resolved: ResolvedScenario) -> Fleet:
    """The fleet, over a horizon in which it could serve REQUESTS."""
    return fleet(_over(resolved, max(REQUESTS / fleet(resolved).capacity_rps, SPAN_S)))


def _quiet(resolved: ResolvedScenario) -> Fleet:
    """The fleet with a lone user."""
    given = fleet(resolved)
    found = [bound(resolved, index, given.demand) for index in range(len(resolved.pools))]
    long_s = sum(float(one.e2e_s.mean()) for one in found if one)
    rate = 1 / (IDLE * long_s)
    return fleet(_over(at_load(resolved, rate / given.demand.rate_rps), ALONE / rate))


def _over(resolved: ResolvedScenario, horizon_s: float) -> ResolvedScenario:
    scenario = resolved.scenario.model_copy(update={"horizon_s": horizon_s})
    return replace(resolved, scenario=scenario)


def _dtypes(resolved: ResolvedScenario) -> frozenset[str]:
    """The dtypes in which the pools' chips compute, 16 bit for attention included."""
    computed = {pool.hardware.compute_dtype(pool.precision.weights) for pool in resolved.pools}
    return frozenset({"bf16", "fp16"} | {dtype for dtype in computed if dtype})
