"""The gate for CI: recompute the cost curves of scenarios, compare them with committed ones, say what moved and why.

    report = check(["h100_llama70b"], baseline="baselines")
    report.passed, report.moves

With the seeds of the baseline the requests are the same, so any difference comes from the program and the tolerances
are tight. If the requests differ (another seed, draws in another order), those from the seeds' variance hold.

Not here: the file and where tolerances come from (`baseline.py`), how it is told (`gate_report.py`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infersim import __version__
from infersim.spec.catalogue import scenario_names
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.baseline import LEAST, REQUESTS, TERMS, Baseline, as_written, measured, new_baseline, read, write
from infersim.studies.errors import StudyError
from infersim.studies.tasks import HERE, Machines
from infersim.studies.variants import resolved_with


@dataclass(frozen=True)
class Move:
    """One number that moved by more than its tolerance."""

    scenario: str
    load: float
    """Factor of the scenario's rates."""
    column: str
    before: float
    after: float
    tolerance: float
    """Relative."""

    @property
    def change(self) -> float:
        """Relative to before; infinite if that was 0."""
        return (self.after - self.before) / abs(self.before) if self.before else float("inf") * np.sign(self.after)

    @property
    def term(self) -> str:
        """What of the bill or the latency it is."""
        return TERMS[self.column]

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.column} ({self.term}) {self.before:.4g} -> {self.after:.4g} ({self.change:+.1%}, "
            f"tolerance {self.tolerance:.1%})"
        )


@dataclass(frozen=True)
class Comparison:
    """One scenario's curve before and after."""

    name: str
    baseline: Baseline
    cells: pd.DataFrame
    """load, column, before, after, tolerance, moved."""
    same_requests: bool

    @property
    def moves(self) -> list[Move]:
        """What moved, by load, the greatest multiple of its tolerance first."""
        moved = self.cells[self.cells["moved"]]
        found = [
            Move(self.name, row.load, row.column, row.before, row.after, row.tolerance) for row in moved.itertuples()
        ]
        return sorted(found, key=lambda move: (move.load, -abs(move.change) / move.tolerance))

    def cause(self, load: float) -> str:
        """Which span the mean latency's change at a load went into most, in seconds; empty without one."""
        here = self.cells[self.cells["load"] == load].set_index("column")
        spans = [column for column in here.index if column.startswith("mean_spans_s.")]
        changes = (here["after"] - here["before"])[spans].astype(float)
        if changes.empty or changes.abs().max() < LEAST["mean_spans_s.decode_s"]:
            return ""
        most = str(changes.abs().idxmax())
        total = float(changes.sum())
        return f"mean latency {total:+.4g} s, of which {TERMS[most]} {changes[most]:+.4g} s"


@dataclass(frozen=True)
class Report:
    """What a check found."""

    comparisons: list[Comparison]
    updated: list[Path]
    """Baselines that were written."""
    notes: list[str]

    @property
    def moves(self) -> list[Move]:
        """Everything that moved."""
        return [move for comparison in self.comparisons for move in comparison.moves]

    @property
    def passed(self) -> bool:
        """Whether nothing moved."""
        return not self.moves


def check(
    scenarios: Sequence[str | Path] = (),
    *,
    baseline: str | Path,
    update: bool = False,
    settings: Sequence[str] = (),
    any_version: bool = False,
    workers: int | None = 1,
    cluster: Any = None,
) -> Report:
    """Compare the cost curves of scenarios (of all that have a baseline, if none is named) with a folder of baselines.

    `update` writes the baselines instead, whole curve, tolerances and all. `settings` change every scenario after it
    was matched with its baseline: a planted change. Raises StudyError for a missing or damaged baseline, one of another
    scenario, and, unless `any_version`, one of another version of infersim.
    """
    folder, machines = Path(baseline), Machines(workers, cluster)
    found = {path: named or _source(path) for path, named in _files(scenarios, folder).items()}
    if update:
        for path, source in found.items():
            kept = source if source in scenario_names() else os.path.relpath(source, folder)
            write(new_baseline(resolved_with(source, settings), kept, machines), path)
        return Report([], list(found), [])
    known = {path: read(path) for path in found}
    notes = []
    for path, old in known.items():
        if old.version != __version__:
            words = f"was made by infersim {old.version}, and this is {__version__}"
            if not any_version:
                raise StudyError(f"{words}; look at what moved with --any-version, then --update", str(path))
            notes.append(f"{path.name} {words}")
    comparisons = []
    for path, source in found.items():
        check_scenario(known[path], resolved_with(source), path)
        comparisons.append(compare_with(known[path], resolved_with(source, settings), machines))
    return Report(comparisons, [], notes)


def _files(scenarios: Sequence[str | Path], folder: Path) -> dict[Path, str | None]:
    """Baseline file -> the scenario as it was named, None where the baseline names it."""
    if scenarios:
        return {folder / f"{Path(name).stem}.csv": str(name) for name in scenarios}
    files: dict[Path, str | None] = dict.fromkeys(sorted(folder.glob("*.csv")))
    if not files:
        raise StudyError("holds no baseline; name scenarios and add --update", str(folder))
    return files


def _source(path: Path) -> str:
    """The scenario that a baseline was made from: a shipped name, or a path that is relative to the baseline."""
    source = read(path).source
    return source if source in scenario_names() else str(path.parent / source)


def check_scenario(baseline: Baseline, resolved: ResolvedScenario, path: Path) -> None:
    """Raise StudyError when a baseline belongs to another scenario."""
    before, now = dict(baseline.scenario), as_written(resolved)
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        raise StudyError(
            f"belongs to another scenario: {', '.join(changed)} differ; give the scenario that it was made from, or add"
            " --update",
            str(path),
        )


def compare_with(baseline: Baseline, resolved: ResolvedScenario, machines: Machines = HERE) -> Comparison:
    """Run a scenario at the baseline's loads and seeds, or at seeds from its own when it was given another one."""
    own = resolved.scenario.seed
    seeds = [own + k for k in range(len(baseline.seeds))]
    runs = measured(resolved, baseline.loads, seeds, machines)
    means = runs.drop(columns="seed").groupby("load").mean()
    cells = baseline.cells.rename(columns={"value": "before"})
    cells["after"] = [means.loc[load, column] for load, column in zip(cells["load"], cells["column"], strict=True)]
    counts = cells["column"].isin(REQUESTS)
    same = bool(np.isclose(cells["after"][counts], cells["before"][counts], rtol=1e-6).all())
    cells = cells[~counts].reset_index(drop=True)
    cells["tolerance"] = cells["paired" if same else "unpaired"]
    apart = (cells["after"] - cells["before"]).abs()
    least = cells["column"].map(LEAST)
    allowed = (cells["tolerance"] * cells["before"].abs()).where(np.isfinite(cells["tolerance"]), np.inf)
    within = apart <= np.maximum(least, allowed)
    cells["moved"] = ~within  # a number that vanished (NaN) is not within anything
    columns = ["load", "column", "before", "after", "tolerance", "moved"]
    return Comparison(resolved.scenario.name, baseline, cells[columns], same)
