"""The cost curve: load against dollars for a million tokens, latencies and the SLO, for one fleet or several.

    found = curve("h100_llama70b", vary={"pools.0.precision.weights": ["bf16", "fp8"]})
    found.table      one row for each variant and load          found.marks   one row a variant: what to remember
    found.save("runs/curve")                                     curve.parquet, marks.csv, curve.png

Loads are shares of the saturation rate, which is found first (`load.py`), unless they are given. The knee is the load
of greatest power, throughput over mean latency (Kleinrock 1979; half the capacity in M/M/1). The SLO's load is the
greatest at which every p99 holds.

Not here: one point (`load.py`), pictures (`curve_plot.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infersim.spec.resolve import ResolvedScenario
from infersim.studies.demand import at_load, demand
from infersim.studies.errors import StudyError
from infersim.studies.grid import Grid, Settings, cartesian, parse_grid
from infersim.studies.load import Fleet, capacity_rps, fleet, run_at, saturation_rps
from infersim.studies.rows import Row
from infersim.studies.tasks import Failed, Machines, each, in_order
from infersim.studies.variants import Source, Variant, refuse_faulty, variants

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1)
"""Loads of a curve as shares of the saturation rate."""
SLO_STEPS = 5
"""Bisections between the last load of the curve at which the SLO holds and the first at which it does not."""

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Curve:
    """Cost curves of one fleet or several."""

    table: pd.DataFrame
    """One row for each variant and load: variant, its keys, load_rps, share (of saturation), usd_per_hour,
    least_usd_per_million_output_tokens (no schedule is cheaper), and the summary's numbers under dotted keys."""
    marks: pd.DataFrame
    """One row for each variant: saturation_rps, bound_rps (analytic), knee_rps, slo_rps and
    usd_per_million_output_tokens there; NaN where there is none."""

    def save(self, directory: str | Path) -> Path:
        """Write curve.parquet, marks.csv and curve.png."""
        from infersim.results.directory import write_parquet
        from infersim.studies.curve_plot import draw

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(self.table, folder / "curve.parquet")
        self.marks.to_csv(folder / "marks.csv", index=False, lineterminator="\n")
        (folder / "curve.png").write_bytes(draw(self))
        return folder


@dataclass(frozen=True)
class _Traced:
    """A variant whose saturation is known."""

    fleet: Fleet
    saturation_rps: float
    bound_rps: float
    """Of the requests that come at saturation."""


def curve(
    scenario: Source,
    *,
    vary: Grid | Sequence[str] = (),
    loads_rps: Sequence[float] | None = None,
    settings: Sequence[str] = (),
    skip_invalid: bool = False,
    workers: int | None = 1,
    cluster: Any = None,
    progress: Progress | None = None,
) -> Curve:
    """The cost curve of a scenario's fleet, or of several variants of it (every combination of `vary`).

    `loads_rps` are mean arrivals [requests/s]; shares of each variant's saturation rate when absent. The workload keeps
    its shape: its rates are multiplied. Raises StudyError for bad keys, workloads without a rate, and, unless
    `skip_invalid`, variants that cannot run.
    """
    found = _variants(scenario, vary, settings, skip_invalid)
    if loads_rps is not None and (len(loads_rps) == 0 or min(loads_rps) <= 0):
        raise StudyError(f"found loads {list(loads_rps)}; give at least one, all above 0", "--loads")
    machines = Machines(workers, cluster)
    traced = [_sure(answer) for answer in in_order(_trace, [v.resolved for v in found if v.resolved], machines)]
    tasks = [
        (number, load)
        for number, one in enumerate(traced)
        for load in (loads_rps or [share * one.saturation_rps for share in SHARES])
    ]
    rows: dict[int, Row] = {}
    for task, answer in each(_point, [(traced[number].fleet, load) for number, load in tasks], machines):
        rows[task] = _sure(answer)
        if progress is not None:
            progress(len(rows), len(tasks))
    labels = names([variant.settings for variant in found])
    table = pd.DataFrame(
        {"variant": labels[number], **_cells(found[number]), "share": load / traced[number].saturation_rps} | rows[task]
        for task, (number, load) in enumerate(tasks)
    )
    marked = [(labels[k], traced[k], table[table["variant"] == labels[k]]) for k in range(len(found))]
    marks = [_sure(answer) for answer in in_order(_marks, marked, machines)]
    return Curve(table, pd.DataFrame(marks))


def _variants(
    scenario: Source, vary: Grid | Sequence[str], settings: Sequence[str], skip_invalid: bool
) -> list[Variant]:
    grid: Grid = vary if isinstance(vary, Mapping) else parse_grid(vary)
    found = variants(scenario, settings, cartesian(grid) if grid else [{}])
    if not skip_invalid:
        refuse_faulty(found)
    able = [variant for variant in found if variant.resolved is not None]
    if not able:
        raise StudyError(f"none of the {len(found)} variants can run; the first: {found[0].why}")
    return able


def _trace(resolved: ResolvedScenario) -> _Traced:
    given = fleet(resolved)
    most = saturation_rps(given)
    asked = demand(at_load(resolved, most / given.demand.rate_rps))
    return _Traced(given, most, capacity_rps(resolved, asked))


def _point(task: tuple[Fleet, float]) -> Row:
    return run_at(*task)


def _sure(answer: Any) -> Any:
    """The answer; a point of a curve that fails leaves no curve."""
    if isinstance(answer, Failed):
        raise StudyError(answer.why)
    return answer


def names(points: Sequence[Settings]) -> list[str]:
    """Short names that tell variants apart: the values of their keys, or the name or hardware of a block."""
    labels = [" ".join(_word(value) for value in point.values()) or "as it stands" for point in points]
    unique = len(set(labels)) == len(labels)
    return labels if unique else [f"{k + 1}: {label}" for k, label in enumerate(labels)]


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or value.get("hardware") or " ".join(map(_word, value.values())))
    return "none" if value is None else str(value)


def _cells(variant: Variant) -> Row:
    return {key: _word(value) if isinstance(value, dict | list) else value for key, value in variant.settings.items()}


def _marks(task: tuple[str, _Traced, pd.DataFrame]) -> Row:
    """What to remember of one curve."""
    label, traced, table = task
    cost = table.set_index("load_rps")["cost.usd_per_million_output_tokens"].astype(float)
    knee, slo = knee_rps(table), slo_rps(traced.fleet, table)
    return {
        "variant": label,
        "saturation_rps": traced.saturation_rps,
        "bound_rps": traced.bound_rps,
        "knee_rps": knee,
        "knee_usd_per_million_output_tokens": float(np.interp(knee, cost.index, cost)),
        "slo_rps": slo,
        "slo_usd_per_million_output_tokens": float(np.interp(slo, cost.index, cost)) if slo > 0 else float("nan"),
    }


def knee_rps(table: pd.DataFrame) -> float:
    """The load of greatest throughput over mean latency: the top of a parabola through the best point and its sides."""
    load = table["load_rps"].to_numpy(float)
    power = load / table["latency.e2e_s.mean"].to_numpy(float)
    best = int(np.nanargmax(power))
    if best in (0, len(load) - 1):
        return float(load[best])
    a, b, _ = np.polyfit(load[best - 1 : best + 2], power[best - 1 : best + 2], 2)
    return float(-b / (2 * a)) if a < 0 else float(load[best])


def slo_rps(given: Fleet, table: pd.DataFrame) -> float:
    """The greatest load at which every p99 of the SLO holds, to 3 % of a step; 0 if at none, NaN without an SLO."""
    holding = [key for key in table.columns if key.startswith("slo.targets.") and key.endswith(".holds")]
    if not holding:
        return float("nan")
    holds = table[holding].astype(bool).all(axis=1).to_numpy()
    loads = table["load_rps"].to_numpy(float)
    if holds.all():
        return float(loads[-1])
    first_miss = int(np.argmin(holds))
    low, high = float(loads[first_miss - 1]) if first_miss else 0.0, float(loads[first_miss])
    for _ in range(SLO_STEPS if first_miss else 0):
        middle = (low + high) / 2
        row = run_at(given, middle)
        low, high = (middle, high) if all(row[key] for key in holding) else (low, middle)
    return low
