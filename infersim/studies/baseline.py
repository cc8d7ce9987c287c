"""A cost curve to compare with: measured, kept as one small CSV file, read back.

    # infersim baseline, format 1
    # version: 0.1.0
    # source: h100_llama70b           # scenario: {...}            # seeds: 1 2 3 4
    load,column,value,paired,unpaired
    1.25,latency.ttft_s.p99,0.378,0.002,0.21

A load multiplies the scenario's rates. A value is the mean over the seeds. Its two tolerances are relative and
measured, not chosen:

paired    for the same requests. Every arrival time is shifted by a millionth and the curve is run again; what moves
          is the chaos of scheduling. Six times that, at least FLOOR.
unpaired  for other requests (another seed, another order of draws). Student's interval for the difference of two means,
          from the variance over VARIANCE_SEEDS seeds, so wide that FALSE_ALARM of the checks would cry wolf if the runs'
          numbers were normal; tests measure how many do. A variance says nothing of events that were too rare to be
          seen, so the share within the SLO has the bounds of counts, and a span that was zero in any of those runs
          (preemption, waiting for a replica) is not compared on other requests: inf.

Not here: comparing (`regression.py`).
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infersim import __version__
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.demand import at_load
from infersim.studies.errors import StudyError
from infersim.studies.load import fleet, run_loaded, saturation_rps
from infersim.studies.tasks import HERE, Machines, all_done

FORMAT = "# infersim baseline, format 1"
SHARES = (0.25, 0.6, 0.85, 1.3)
"""Loads as shares of the saturation rate: alone, busy, nearly full, and too much, where throughput is capacity."""
SEEDS = 4
"""Runs whose mean is compared: the scenario's seed and those after it."""
VARIANCE_SEEDS = 12
"""Runs that the variance comes from."""
FALSE_ALARM = 1e-3
"""Chance that a whole check without any change, on other requests, finds something."""
SHIFT = 1e-6
"""Relative shift of arrival times that shows how chaotic a number is."""
FLOOR = 0.002
"""Least tolerance: compilers and processors round differently, and a step more or less moves a percentile by that."""

REQUESTS = ("requests.arrived", "requests.input_tokens", "requests.output_tokens")
"""Columns that are equal when the requests are the same ones."""

TERMS = {
    "usd_per_hour": "price",
    "cost.usd_per_million_output_tokens": "cost",
    "energy.j_per_output_token": "energy",
    "throughput.output_tokens_per_s": "throughput",
    "slo.attainment": "SLO",
    "latency.ttft_s.p50": "first token",
    "latency.ttft_s.p99": "first token",
    "latency.tpot_s.p50": "each token",
    "latency.tpot_s.p99": "each token",
    "latency.e2e_s.mean": "latency",
    "mean_spans_s.held_s": "waiting for a replica",
    "mean_spans_s.handling_s": "front end",
    "mean_spans_s.queued_s": "queue",
    "mean_spans_s.prefill_s": "prefill",
    "mean_spans_s.decode_s": "decode",
    "mean_spans_s.preempted_s": "preemption",
}
"""Columns that are compared, and the term of the bill or of the latency that each stands for."""
LEAST = {column: 1e-4 if column.startswith(("latency.", "mean_spans_s.")) else 0.0 for column in TERMS}
"""Absolute differences that are nothing, whatever they are relative to: a tenth of a millisecond."""


@dataclass(frozen=True)
class Baseline:
    """A measured curve."""

    source: str
    """What was asked for: the name of a shipped scenario, or a path relative to the baseline."""
    scenario: Mapping[str, Any]
    """The scenario as it was written."""
    version: str
    seeds: tuple[int, ...]
    cells: pd.DataFrame
    """load, column, value, paired, unpaired; for REQUESTS only load, column, value."""

    @property
    def loads(self) -> list[float]:
        """Factors of the scenario's rates, in order."""
        return [float(load) for load in self.cells["load"].unique()]


def measured(
    resolved: ResolvedScenario, loads: Sequence[float], seeds: Sequence[int], machines: Machines = HERE
) -> pd.DataFrame:
    """One row for each load and seed: load, seed and the columns compared. Raises StudyError when a run fails."""
    tasks = [(resolved, load, seed) for load in loads for seed in seeds]
    name = resolved.scenario.name
    return pd.DataFrame(all_done(_run, tasks, machines, lambda _, why: StudyError(f"{name} does not run: {why}")))


def _run(task: tuple[ResolvedScenario, float, int]) -> dict[str, float]:
    resolved, load, seed = task
    seeded = replace(resolved, scenario=resolved.scenario.model_copy(update={"seed": seed}))
    row = run_loaded(at_load(seeded, load))
    numbers = {key: float("nan") if row.get(key) is None else float(row[key]) for key in (*TERMS, *REQUESTS)}
    return {"load": load, "seed": seed, **numbers}


def new_baseline(resolved: ResolvedScenario, source: str, machines: Machines = HERE) -> Baseline:
    """Measure a scenario's curve and its tolerances."""
    given = fleet(resolved)
    factor = saturation_rps(given) / given.demand.rate_rps
    loads = [float(f"{share * factor:.4g}") for share in SHARES]
    first = resolved.scenario.seed
    runs = measured(resolved, loads, range(first, first + VARIANCE_SEEDS), machines)
    seeds = tuple(range(first, first + SEEDS))
    shifted = measured(resolved, [load * (1 + SHIFT) for load in loads], seeds, machines)
    cells = pd.concat(
        [
            _cells(load, runs[runs["load"] == load], shifted[shifted["load"] == load * (1 + SHIFT)], len(loads))
            for load in loads
        ],
        ignore_index=True,
    )
    return Baseline(source, as_written(resolved), __version__, seeds, cells)


def _cells(load: float, runs: pd.DataFrame, shifted: pd.DataFrame, loads: int) -> pd.DataFrame:
    """The columns of one load with their tolerances."""
    from scipy.stats import t

    alarm = FALSE_ALARM / (2 * loads * len(TERMS))
    width = float(t.ppf(1 - alarm, VARIANCE_SEEDS - 1)) * np.sqrt(2 / SEEDS)
    rows = []
    for column in TERMS:
        value = float(runs[column].iloc[:SEEDS].mean())
        if np.isnan(value):
            continue
        scale = abs(value) if value else 1.0
        chaos = abs(float(shifted[column].mean()) - value) / scale
        noise = float(runs[column].std()) / scale
        paired, unpaired = max(FLOOR, 6 * chaos), width * noise
        if column == "slo.attainment":
            one, rare = _rare_misses(runs, alarm)
            paired, unpaired = max(paired, one / scale), max(unpaired, rare / scale)
        elif column.startswith("mean_spans_s.") and (runs[column] == 0).any():
            unpaired = np.inf
        rows.append((load, column, value, paired, max(paired, unpaired)))
    rows += [(load, column, float(runs[column].iloc[:SEEDS].mean()), np.nan, np.nan) for column in REQUESTS]
    return pd.DataFrame(rows, columns=["load", "column", "value", "paired", "unpaired"])


def _rare_misses(runs: pd.DataFrame, alarm: float) -> tuple[float, float]:
    """Absolute tolerances of a share: one request more or less, and what the counts of misses allow.

    The rate of misses is at most the upper limit of a Poisson rate (Garwood 1936) given those seen in all runs; so many
    as its upper quantile may come in the runs that are compared.
    """
    from scipy.stats import gamma, poisson

    requests = float(runs["requests.arrived"].sum())
    compared = float(runs["requests.arrived"].iloc[:SEEDS].sum())
    if not requests or not compared:
        return 0.0, 0.0
    misses = float(((1 - runs["slo.attainment"]) * runs["requests.arrived"]).sum())
    rate = float(gamma.ppf(1 - alarm, misses + 1)) / requests
    return 1.01 / compared, float(poisson.ppf(1 - alarm, rate * compared)) / compared


def as_written(resolved: ResolvedScenario) -> dict[str, Any]:
    """The scenario as it was asked for, without defaults and prose: what a baseline belongs to."""
    written = (resolved.scenario.origin.data if resolved.scenario.origin else None) or resolved.scenario.model_dump(
        exclude_defaults=True
    )
    return {key: value for key, value in written.items() if key not in ("description", "seed")}


def write(baseline: Baseline, path: Path) -> None:
    """Keep a baseline; numbers have seven digits, so that the file changes only when they do."""
    head = [
        FORMAT,
        f"# version: {baseline.version}",
        f"# source: {baseline.source}",
        f"# scenario: {json.dumps(baseline.scenario, ensure_ascii=False)}",
        f"# seeds: {' '.join(map(str, baseline.seeds))}",
    ]
    table = baseline.cells.to_csv(index=False, float_format="%.7g", lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(head) + "\n" + table, encoding="utf-8")


def read(path: Path) -> Baseline:
    """A kept baseline. Raises StudyError when there is none, or the file is not one of this format."""
    again = "make it anew with `infersim check SCENARIO --baseline DIR --update`"
    if not path.is_file():
        raise StudyError(f"there is no baseline; {again}", str(path))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or lines[0].strip() != FORMAT:
        found = lines[0].strip()[:60] if lines else "an empty file"
        raise StudyError(f"begins with {found!r} and not with {FORMAT!r}; {again}", str(path))
    head = dict(line[2:].rstrip("\n").split(": ", 1) for line in lines[1:] if line.startswith("# ") and ": " in line)
    body = "".join(line for line in lines if not line.startswith("#"))
    try:
        cells = pd.read_csv(io.StringIO(body))[["load", "column", "value", "paired", "unpaired"]]
        seeds = tuple(int(seed) for seed in head["seeds"].split())
        return Baseline(head["source"], json.loads(head["scenario"]), head["version"], seeds, cells)
    except (KeyError, ValueError) as error:
        raise StudyError(f"is damaged ({error}); {again}", str(path)) from None
