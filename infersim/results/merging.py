"""The runs of a scenario's cells as one run: nothing is worked out anew, everything is added up or put side by side.

Replicas are numbered through, cell after cell. Each cell ends by itself: its replicas are billed until its own last
request has ended, and after that its states count as 0 in the timeline, its counters as they stood.

Not here: running cells (`infersim/simulate.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from infersim.controlplane.ledger import SAMPLE
from infersim.controlplane.phases import Period
from infersim.results.gathering import Gathering
from infersim.results.record import PoolRecord, RunRecord
from infersim.spec.scenario import Scenario

STATES = ("starting", "ready", "draining", "held", "waiting", "running", "kv_blocks_used", "kv_blocks")
"""Columns of SAMPLE that hold at a moment; the others count from the start."""


def merged(scenario: Scenario, cells: Sequence[RunRecord]) -> RunRecord:
    """One run of the scenario from those of all its cells, in their order."""
    gathering = Gathering(scenario)
    leases, events, begun = [], [], 0
    for run in cells:
        gathering.merge(run.totals, run.questions, _renumbered(run.outcomes, begun), run.halvings)
        leases.append(_renumbered(run.leases, begun))
        events += [(*event[:3], event[3] + begun if event[3] >= 0 else event[3], *event[4:]) for event in run.events]
        begun += len(run.leases)
    end_s = max(run.end_s for run in cells)
    pools = [_pool([run.pools[index] for run in cells], end_s) for index in range(len(cells[0].pools))]
    return RunRecord(
        scenario=scenario,
        pools=pools,
        outcomes=gathering.rows(),
        leases=np.concatenate(leases),
        samples=_samples([run.samples for run in cells], len(pools)),
        events=sorted(events, key=lambda event: event[0]),
        periods=_periods([period for run in cells for period in run.periods]),
        end_s=end_s,
        warnings=list(dict.fromkeys(warning for run in cells for warning in run.warnings)),
        halvings=gathering.halvings,
        streamed=gathering.totals,
        questions=gathering.calls,
    )


def _pool(cells: list[PoolRecord], end_s: float) -> PoolRecord:
    """One pool of all cells, which differ only in what it did."""
    first = cells[0]
    return replace(
        first,
        usd_per_chip_hour=first.tariffs[0].usd_per_chip_hour.mean(end_s),
        tally=reduce(add, (pool.tally for pool in cells)),
        saved_j=sum(pool.saved_j for pool in cells),
    )


def _periods(cells: list[Period]) -> tuple[Period, ...]:
    """What went on in the cells, each thing once, from its beginning to its end in the last of them."""
    ends: dict[tuple[str, float], float] = {}
    for period in cells:
        key = (period.kind, period.begin_s)
        ends[key] = max(period.end_s, ends.get(key, period.end_s))
    return tuple(Period(*key, end_s) for key, end_s in ends.items())


def _renumbered(rows: np.ndarray, begun: int) -> np.ndarray:
    """Rows whose column `replica` counts on from `begun`."""
    rows = rows.copy()
    rows["replica"] += np.where(rows["replica"] >= 0, begun, 0)
    return rows


def _samples(cells: list[np.ndarray], pools: int) -> np.ndarray:
    """The timeline of all cells: at each moment at which one was sampled, what they had together."""
    times = np.unique(np.concatenate([samples["time_s"] for samples in cells]))
    whole = np.zeros((len(times), pools), SAMPLE)
    whole["time_s"], whole["pool"] = times[:, None], np.arange(pools)
    for samples in cells:
        for pool in range(pools):
            own = samples[samples["pool"] == pool]
            last = np.searchsorted(own["time_s"], times, side="right") - 1
            over = times > own["time_s"][-1]
            for name in samples.dtype.fields or ():
                if name not in ("time_s", "pool"):
                    whole[name][:, pool] += np.where(over & (name in STATES), 0, own[name][last])
    return whole.ravel()
