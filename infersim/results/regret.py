"""Regret: what a run's bill and service level are worse by than an oracle's, which nobody can buy.

The oracle sees the run's own requests before they come, has replicas at once and gives them back at once, batches
perfectly, knows no limits of pools, and decides every INTERVAL_S. In each interval it has the fewest replicas, in whole
numbers, that finish in time all the work that is due:

    a prompt              between its arrival and its TTFT limit
    the rest of an answer until then, and one TPOT limit for each further token (or its E2E limit, if that is sooner)

where the work of a request is the replica time that no batch undercuts (`cost/least.py`), and work may be shared out at will.

    one pool       a fleet of its own, with the requests that ended there in the run
    roles          answers are work of the decode pool where they ended, prompts of the prefill pools, which are one fleet
                   of the best of them in work and in price
    several models each request is the least work of its own model; switches and loads are free
    cascades       a question is the call whose answer stands, from when the question came; calls before that are free
    closed loops, agents   the requests that came, when they came: another fleet would have been sent others

Why it is a bound. Whoever keeps the limits has done each piece of work between its two moments, in steps that last at least
as long as `cost/least.py` says, whatever they share them with; what else replicas do (waiting, switching, moving KV, computing again
what was lost) only adds to that. So in any stretch of intervals his replicas have at least the time of the pieces that lie in it. Putting work
off as long as its limit allows, earliest limit first, meets this with the fewest whole replicas from the start to *any* interval: let
interval k be the first by which somebody bought fewer, and m the last before it at whose end nothing was left that is due by
k. Since m all that the oracle had was spent on pieces that came after m and are due by k, and nothing less would do in k; but so must he have done,
and until m he had no fewer. Hence no fleet of whole replicas that changes at these moments has fewer replica-seconds, and
with prices that change none pays less than if each replica were bought at the least price so far, as is done here. The last interval
ends with the run, and there replicas are had by the fraction. `tests/results/test_regret.py` tries all schedules of small cases.

Where it is loose: real batches and queues, everything that is called free above, the requests of several prefill pools,
prices of several sources (the least counts), requests that did not finish (only what they got is work, and they miss). A fleet that changes
between these moments can pay less than `usd`, by no more than what rounding its own leases outwards to whole intervals adds, but
nobody pays less than `work_usd`. Where not every request has a row (`halvings`), both are estimates from the rows, and no bounds.

usd_regret is the bill less the oracle's; below 0, the money was saved by breaking the SLO (or between the moments). slo_regret is the
oracle's attainment less the run's. Requests that could not meet their limits on an idle replica miss them here too, and
are done when it suits; that is all that misses.

Not here: an oracle that is simulated (`policies/autoscaling/oracle.py`).
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.cost.least import least_tpot, least_ttft, least_work
from infersim.cost.tables import CostTables
from infersim.dataplane.records import FINISHED
from infersim.results.money import bill
from infersim.results.record import PoolRecord, RunRecord
from infersim.spec.zoo import asked_by_lane

Array = NDArray[np.float64]
Rows = dict[str, NDArray[Any]]
"""Columns of OUTCOME."""

INTERVAL_S = 15.0
"""How often the oracle decides [s]: the sync period of Kubernetes' HPA."""


@dataclass
class Fleet:
    """Replicas that stand for one another, and the pieces of work that they are there for."""

    pools: list[PoolRecord]
    """The best of these in price."""
    from_s: list[Array] = field(default_factory=list)
    due_s: list[Array] = field(default_factory=list)
    work_s: list[Array] = field(default_factory=list)

    def ask(self, from_s: Array, due_s: Array, work_s: Array) -> None:
        """Pieces of work, each between two moments [s]."""
        for kept, more in ((self.from_s, from_s), (self.due_s, due_s), (self.work_s, work_s)):
            kept.append(more)

    @property
    def pieces(self) -> tuple[Array, Array, Array]:
        """All of them: from when, until when, how much [s]."""
        from_s, due_s, work_s = (
            np.concatenate(kept or [np.zeros(0)]) for kept in (self.from_s, self.due_s, self.work_s)
        )
        return from_s, due_s, work_s


def regret(run: RunRecord, attainment: float) -> dict[str, Any] | None:
    """The oracle of a run, and what the run is worse by; None for one that ended as it began.

    `attainment` is the run's share within the SLO.

    interval_s, usd          how often it decides [s], and its bill [USD]
    work_usd                 what the work alone costs at the least price, by the second [USD]
    replicas_mean, _peak     its replicas over the run
    attainment               share of all requests that meets its SLO with it; NaN without limits
    usd_regret, usd_ratio    the bill of all leases less the oracle's, and as a multiple of it
    slo_regret               its attainment less the run's
    rows_share               where not every request has a row: the share of them that this is estimated from
    """
    if run.end_s <= 0:
        return None
    fleets, in_time = _demands(run)
    lengths = interval_lengths(run.end_s, INTERVAL_S)
    usd, least_usd, counts, weight = 0.0, 0.0, np.zeros(len(lengths)), 2.0**run.halvings
    for fleet in fleets:
        from_s, due_s, work_s = fleet.pieces
        replicas = fewest_replicas(from_s, due_s, work_s * weight, run.end_s, INTERVAL_S)
        usd += float((replicas * lengths * _least_so_far(fleet.pools, lengths)).sum())
        least_usd += float(work_s.sum()) * weight * _least_price(fleet.pools, run.end_s)
        counts += replicas
    paid, met_share = float(bill(run).total.sum()), in_time / max(len(run.outcomes), 1)
    return {
        "interval_s": INTERVAL_S,
        "usd": usd,
        "work_usd": least_usd,
        "replicas_mean": float((counts * lengths).sum() / run.end_s),
        "replicas_peak": math.ceil(counts.max()),
        "attainment": met_share if math.isfinite(attainment) else math.nan,
        "usd_regret": paid - usd,
        "usd_ratio": paid / usd if usd > 0 else math.nan,
        "slo_regret": met_share - attainment,
        **({"rows_share": 1 / weight} if run.halvings else {}),
    }


def _demands(run: RunRecord) -> tuple[list[Fleet], int]:
    """What each fleet has to do, and how many requests can meet their limits."""
    limits, in_time = _limits(run), 0
    roles = [pool.role for pool in run.scenario.pools]
    prefill = [pool for pool, role in zip(run.pools, roles, strict=True) if role == "prefill"]
    prompts = Fleet(prefill)
    fleets = [prompts] if prefill else []
    for index, pool in enumerate(run.pools):
        answers = prompts if roles[index] == "prefill" else Fleet([pool])
        fleets += [answers] if answers is not prompts else []
        speculative = run.scenario.pools[index].speculative
        emitted = 1 + (speculative.tokens if speculative else 0)
        before = [one.tables for one in prefill] if roles[index] == "decode" else []
        for tables, rows in _by_model(run, index):
            least = _least(rows, before, tables, emitted)
            first_due, last_due, met = _due(rows, limits[rows["tenant"]], least)
            (prompts if before else answers).ask(rows["arrival_s"], first_due, least.prompt_s)
            answers.ask(rows["arrival_s"], last_due, least.rest_s)
            in_time += int((met & (rows["status"] == FINISHED)).sum())
    return fleets, in_time


COLUMNS = (
    "arrival_s", "input_tokens", "output_tokens", "cached_tokens", "forks", "tenant", "step", "status",
)  # fmt: skip


def _by_model(run: RunRecord, index: int) -> Iterator[tuple[CostTables, Rows]]:
    """The tables of each model of a pool, and what they served there: columns of requests with a token or an end."""
    table, tables = run.outcomes, run.pools[index].tables
    at = np.flatnonzero((table["pool"] == index) & ((table["output_tokens"] > 0) | (table["status"] == FINISHED)))
    rows = {name: table[name][at] for name in COLUMNS}
    if not tables.models:
        yield tables, rows
        return
    lanes = {(lane.tenant, lane.step): number for number, lane in enumerate(run.scenario.workload.lanes)}
    models = asked_by_lane(run.scenario)
    asked = np.array([models[lanes[key]] for key in zip(rows["tenant"].tolist(), rows["step"].tolist(), strict=True)])
    for model in tables.models:
        yield model.tables, {name: column[asked == model.number] for name, column in rows.items()}


@dataclass(frozen=True)
class Least:
    """The least of each request [s]."""

    prompt_s: Array
    """Replica time of its prompt,"""
    rest_s: Array
    """and of the rest of its answers."""
    ttft_s: Array
    tpot_s: Array


def _least(rows: Rows, before: list[CostTables], tables: CostTables, emitted: int) -> Least:
    """The least of requests; one of `before`, if there are any, computes their prompts."""
    prompt, cached, output = (
        rows[name].astype(np.float64) for name in ("input_tokens", "cached_tokens", "output_tokens")
    )
    if before:
        prompt_s = np.min([least_work(one, prompt, np.ones(len(prompt)), cached)[0] for one in before], axis=0)
        rest_s = least_work(tables, prompt, output, prompt, emitted)[1]
    else:
        prompt_s, rest_s = least_work(tables, prompt, output, cached, emitted)
    fresh = np.maximum(prompt - cached, 1.0)
    return Least(
        prompt_s,
        rest_s * (1 + rows["forks"]),
        np.min([least_ttft(one, fresh) for one in before or [tables]], axis=0),
        least_tpot(tables, fresh, output) / emitted,
    )


def _due(rows: Rows, limits: Array, least: Least) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Until when each prompt and each answer is wanted [s], and whether they can be; what cannot is wanted whenever."""
    ttft, tpot, e2e = limits.T
    gaps = np.maximum(rows["output_tokens"] - 1.0, 0.0)
    with np.errstate(invalid="ignore"):
        paced = ttft + np.where(gaps > 0, gaps * tpot, 0.0)
    shortest = least.ttft_s + gaps * least.tpot_s
    met = (least.ttft_s <= ttft) & ((least.tpot_s <= tpot) | (gaps == 0)) & (shortest <= e2e)
    first_due = np.where(met, np.minimum(ttft, e2e), math.inf)
    last_due = np.where(met, np.minimum(paced, e2e), math.inf)
    return rows["arrival_s"] + first_due, rows["arrival_s"] + last_due, met


def _limits(run: RunRecord) -> Array:
    """TTFT, TPOT and E2E limit of each class [s]; inf without one."""
    keys = ("ttft_p99_s", "tpot_p99_s", "e2e_p99_s")
    return np.array(
        [
            [math.inf if (limit := getattr(slo, key)) is None else limit for key in keys]
            for slo in run.scenario.class_slos
        ]
    )


def _least_so_far(pools: list[PoolRecord], lengths: Array) -> Array:
    """The least that a replica cost in any interval up to each [USD/s]."""
    edges = np.concatenate([[0.0], np.cumsum(lengths)])
    asked = [
        np.diff(tariff.usd_per_chip_hour.integral(edges)) / lengths * pool.chips / 3600.0
        for pool in pools
        for tariff in pool.tariffs
    ]
    least: Array = np.minimum.accumulate(np.min(asked, axis=0))
    return least


def _least_price(pools: list[PoolRecord], end_s: float) -> float:
    """The least that a replica cost at any moment of the run [USD/s]."""
    prices = ((pool.chips, tariff.usd_per_chip_hour) for pool in pools for tariff in pool.tariffs)
    return min(float(price.values[price.at_s < end_s].min()) * chips / 3600.0 for chips, price in prices)


def interval_lengths(end_s: float, interval_s: float) -> Array:
    """Lengths of the intervals of a run [s]: the last ends with it."""
    intervals = max(1, math.ceil(end_s / interval_s - 1e-9))
    lengths = np.full(intervals, interval_s)
    lengths[-1] = end_s - (intervals - 1) * interval_s
    return lengths


def fewest_replicas(from_s: Array, due_s: Array, work_s: Array, end_s: float, interval_s: float) -> Array:
    """The fewest replicas in each interval that do every piece of work between two moments [s]; whole numbers but for the last.

    A piece may be done in any of the intervals that it touches, by as many replicas at once as it takes; what is due later
    than the end is due then.
    """
    lengths = interval_lengths(end_s, interval_s)
    intervals = len(lengths)
    first = np.clip(np.asarray(from_s) / interval_s, 0, intervals - 1).astype(np.int64)
    last = np.clip(np.minimum(np.asarray(due_s), end_s) / interval_s, 0, intervals - 1).astype(np.int64)
    pieces, inverse = np.unique(first * intervals + np.maximum(first, last), return_inverse=True)
    amounts = np.bincount(inverse, weights=work_s, minlength=len(pieces))
    coming = list(zip((pieces // intervals).tolist(), (pieces % intervals).tolist(), amounts.tolist(), strict=True))[
        ::-1
    ]
    backlog: defaultdict[int, float] = defaultdict(float)
    replicas, order = np.zeros(intervals), list[int]()
    for interval in range(intervals):
        while coming and coming[-1][0] == interval:
            _, due, amount = coming.pop()
            if due not in backlog:
                heapq.heappush(order, due)
            backlog[due] += amount
        if not order:
            continue
        must = (backlog[order[0]] if order[0] <= interval else 0.0) / float(lengths[interval])
        replicas[interval] = must if interval == intervals - 1 and lengths[-1] < interval_s else math.ceil(must - 1e-9)
        left_s = replicas[interval] * float(lengths[interval])
        while order and (left_s > 0 or backlog[order[0]] <= 0 or order[0] <= interval):
            done = min(left_s, backlog[order[0]])
            backlog[order[0]] -= done
            left_s -= done
            if backlog[order[0]] > 0 and order[0] > interval:
                break
            del backlog[heapq.heappop(order)]
    return replicas
