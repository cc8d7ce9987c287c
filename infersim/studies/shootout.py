"""Every autoscaler on the same traffic: what each paid, how much of the SLO it kept, and how much worse that is than an oracle.

    found = shootout(["autoscaler_shootout", "azure_code"])
    found.table[["scenario", "contestant", "cost.total_usd", "slo.attainment", "oracle.usd_regret", "oracle.slo_regret"]]

All see the same requests. The bound is that of `infersim/results/regret.py`: perfect foresight and replicas at once.

Not here: who takes part and with which parameters (`contestants.py`), the picture (`shootout_plot.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from infersim.results.directory import write_parquet
from infersim.simulate import cost_tables, simulate
from infersim.spec.resolve import ResolvedScenario
from infersim.studies.contestants import contestants, fixed, fixed_sizes, in_hindsight
from infersim.studies.errors import StudyError
from infersim.studies.grid import Settings
from infersim.studies.sweep import prepared, run_points
from infersim.studies.tasks import Failed, Machines
from infersim.studies.variants import Source, Variant, resolved_with, variants

TABLE, PLOT = "shootout.parquet", "shootout.png"

Progress = Callable[[float, float], None]
"""Called with runs done and runs to do."""


@dataclass(frozen=True)
class Shootout:
    """What came of it."""

    table: pd.DataFrame
    """One row a scenario and contestant: scenario, contestant, status (done, failed, invalid), why, and every headline
    number of the summary under its dotted key; `oracle.usd` and `oracle.attainment` are the bound."""
    reused: int
    """Runs that an earlier shootout into the same directory had finished."""

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that failed or could not begin, and why."""
        return self.table[self.table["status"] != "done"]

    def save(self, directory: str | Path) -> None:
        """Write shootout.parquet and shootout.png."""
        from infersim.studies.shootout_plot import draw

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(self.table, folder / TABLE)
        (folder / PLOT).write_bytes(draw(self.table))


def shootout(
    scenarios: Sequence[Source],
    *,
    target: float | None = None,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Shootout:
    """Run every autoscaler on the traffic and the pool of each scenario.

    A scenario has one pool with an autoscaler; its `replicas.min`, `max` and `initial` hold for all. `target` is how many
    requests in flight a replica should have; the `target` of the scenario's own autoscaler when absent. `settings` hold
    for every run. With `out`, finished runs are kept there, and not repeated.

    Raises StudyError for a scenario without exactly one such pool, or without a target.
    """
    if not scenarios:
        raise StudyError("no scenario is given; name at least one, such as autoscaler_shootout")
    directory = None if out is None else prepared(Path(out))
    names, labels, found = list[str](), list[str](), list[Variant]()
    for scenario in scenarios:
        resolved = resolved_with(scenario, settings)
        everybody = dict(_everybody(scenario, settings, resolved, target))
        labels += everybody
        names += [resolved.scenario.name] * len(everybody)
        found += variants(scenario, settings, list(everybody.values()))
    rows, reused = run_points(found, directory, Machines(workers), progress)
    lines = []
    for name, label, variant, row in zip(names, labels, found, rows, strict=True):
        line = {"scenario": name, "contestant": label, "status": "done", "why": ""}
        if row is None:
            line |= {"status": "invalid", "why": variant.why}
        elif isinstance(row, Failed):
            line |= {"status": "failed", "why": row.why}
        else:
            line |= row
        lines.append(line)
    return Shootout(pd.DataFrame(lines), reused)


def _everybody(
    source: Source, settings: Sequence[str], resolved: ResolvedScenario, target: float | None
) -> Iterator[tuple[str, Settings]]:
    """Who takes part on one scenario."""
    pool = _scaled_pool(resolved)
    asked = resolved.scenario.pools[pool]
    per_replica = _target(resolved, pool) if target is None else target
    if not 0 < per_replica < float("inf"):
        raise StudyError(
            f"found {per_replica:g} requests in flight for each replica; give a number above 0", "--target"
        )
    (largest,) = variants(source, settings, [fixed(pool, fixed_sizes(asked)[-1])])
    if largest.resolved is None:
        raise StudyError(largest.why)
    tables = cost_tables(resolved, pool)
    timeline = simulate(largest.resolved).timeline
    cold_start_s = tables.provision_s + tables.load_s + tables.initialise_s
    rules = in_hindsight(timeline[timeline["pool"] == asked.name], per_replica, cold_start_s, asked.replicas)
    return contestants(pool, asked, per_replica, rules)


def _scaled_pool(resolved: ResolvedScenario) -> int:
    scaled = [number for number, pool in enumerate(resolved.scenario.pools) if pool.autoscaler is not None]
    if len(scaled) == 1:
        return scaled[0]
    found = "no pool has an autoscaler" if not scaled else f"{len(scaled)} pools have an autoscaler"
    raise StudyError(f"{resolved.scenario.name}: {found}; a shootout is about one: give one to a single pool")


def _target(resolved: ResolvedScenario, pool: int) -> float:
    target = getattr(resolved.scenario.pools[pool].autoscaler, "target", None)
    if isinstance(target, int | float):
        return float(target)
    raise StudyError(
        f"{resolved.scenario.name}: its autoscaler has no target, so say how many requests in flight a replica should "
        "have, for example --target 32",
        "--target",
    )
