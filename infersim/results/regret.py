"""Regret: what an autoscaler's bill and service level are worse by than an oracle's, which nobody can buy.

The oracle sees the run's own requests before they come, has replicas at once and gives them back at once, batches
perfectly, and decides every INTERVAL_S, whatever the pool's limits. In each interval it has the fewest replicas, in
whole numbers, that finish in time all the work that is due:

    a prompt              between its arrival and its TTFT limit
    the rest of an answer until then, and one TPOT limit for each further token (or its E2E limit, if that is sooner)

where the work of a request is the replica time that no batch undercuts (`cost/least.py`), and work may be shared out at will.
Work is put off as long as its limit allows and then done together, earliest limit first, so no schedule of whole replicas by
these intervals buys fewer: a lower bound, which real batches and real queues stay well above. Requests that could not meet their
limit on an idle replica miss it here too; that is all that misses.

usd_regret is the bill less the oracle's; below 0, the money was saved by breaking the SLO. slo_regret is the oracle's
attainment less the run's. Prefill and decode pools share the work of a request, models of a pool a replica; they have no oracle.

Not here: an oracle that is simulated (`policies/autoscaling/oracle.py`).
"""

import heapq
import math
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infersim.cost.least import least_tpot, least_ttft, least_work
from infersim.dataplane.records import FINISHED
from infersim.results.money import bill, usd_per_replica_second
from infersim.results.record import RunRecord

Array = NDArray[np.float64]

INTERVAL_S = 15.0
"""How often the oracle decides [s]: the sync period of Kubernetes' HPA."""


def regret(run: RunRecord, attainment: float, slo_met: NDArray[np.bool_]) -> dict[str, Any] | None:
    """The oracle of the pools with an autoscaler, and what they are worse by; None without one, or with pools of roles or of several models.

    `attainment` is the run's share within the SLO, `slo_met` says it of each row; in other pools the rows keep it.

    interval_s, usd          how often it decides [s], and its bill [USD]
    replicas_mean, _peak     its replicas over the run
    attainment               share of all requests that meets its SLO with it; NaN without limits
    usd_regret, usd_ratio    the bill of these pools less the oracle's, and as a multiple of it
    slo_regret               its attainment less the run's
    """
    scaled = [index for index, pool in enumerate(run.scenario.pools) if pool.autoscaler is not None]
    apart = any(pool.role != "both" for pool in run.scenario.pools) or any(pool.tables.models for pool in run.pools)
    if not scaled or apart or run.end_s <= 0:
        return None
    usd, counts, in_time = 0.0, np.zeros(0), 0.0
    for index in scaled:
        replicas, met = _oracle_of(run, index)
        usd += float(replicas.sum()) * INTERVAL_S * usd_per_replica_second(run.pools[index])
        counts = replicas if not len(counts) else counts + replicas
        in_time += met
    paid = float(bill(run).total[np.isin(run.leases["pool"], scaled)].sum())
    others = ~np.isin(run.outcomes["pool"], scaled)
    met_share = (in_time + float((others & slo_met).sum())) / max(len(run.outcomes), 1)
    judged = math.isfinite(attainment)
    return {
        "interval_s": INTERVAL_S,
        "usd": usd,
        "replicas_mean": float(counts.mean()),
        "replicas_peak": int(counts.max()),
        "attainment": met_share if judged else math.nan,
        "usd_regret": paid - usd,
        "usd_ratio": paid / usd if usd > 0 else math.nan,
        "slo_regret": met_share - attainment,
    }


def _oracle_of(run: RunRecord, index: int) -> tuple[Array, float]:
    """Replicas of a pool's oracle, interval by interval, and how many of its requests meet their limits."""
    pool, asked = run.pools[index], run.scenario.pools[index]
    served = (run.outcomes["output_tokens"] > 0) | (run.outcomes["status"] == FINISHED)
    rows = run.outcomes[(run.outcomes["pool"] == index) & served]
    arrival, output = rows["arrival_s"], rows["output_tokens"].astype(np.float64)
    emitted = 1 + (asked.speculative.tokens if asked.speculative else 0)
    prompt, rest = least_work(pool.tables, rows["input_tokens"], output, rows["cached_tokens"], emitted)
    fresh = np.maximum(rows["input_tokens"] - rows["cached_tokens"], 1).astype(np.float64)
    ttft, tpot = least_ttft(pool.tables, fresh), least_tpot(pool.tables, fresh, output) / emitted
    limits = _limits(run)[rows["tenant"]]
    gaps = np.maximum(output - 1, 0)
    with np.errstate(invalid="ignore"):
        whole = np.minimum(limits[:, 2], limits[:, 0] + np.where(gaps > 0, gaps * limits[:, 1], 0.0))
    first_due = arrival + np.maximum(np.minimum(limits[:, 0], limits[:, 2]), ttft)
    last_due = arrival + np.maximum(whole, ttft + gaps * tpot)
    met = (ttft <= limits[:, 0]) & ((tpot <= limits[:, 1]) | (gaps == 0)) & (ttft + gaps * tpot <= limits[:, 2])
    weight = 2.0**run.halvings
    replicas = fewest_replicas(
        np.concatenate([arrival, arrival]), np.concatenate([first_due, last_due]),
        np.concatenate([prompt, rest]) * weight, run.end_s, INTERVAL_S,
    )  # fmt: skip
    return replicas, float((met & (rows["status"] == FINISHED)).sum())


def _limits(run: RunRecord) -> Array:
    """TTFT, TPOT and E2E limit of each class [s]; inf without one."""
    keys = ("ttft_p99_s", "tpot_p99_s", "e2e_p99_s")
    return np.array(
        [
            [math.inf if (limit := getattr(slo, key)) is None else limit for key in keys]
            for slo in run.scenario.class_slos
        ]
    )


def fewest_replicas(from_s: Array, due_s: Array, work_s: Array, end_s: float, interval_s: float) -> Array:
    """The fewest replicas in each interval that do every piece of work between two moments [s], in whole numbers.

    A piece may be done in any of the intervals that it touches, by as many replicas at once as it takes; what is due later
    than the end is due then.
    """
    intervals = max(1, math.ceil(end_s / interval_s - 1e-9))
    first = np.clip((np.asarray(from_s) / interval_s).astype(np.int64), 0, intervals - 1)
    last = np.clip(np.minimum(np.asarray(due_s), end_s) / interval_s, 0, intervals - 1).astype(np.int64)
    pieces, inverse = np.unique(np.stack([first, np.maximum(first, last)]), axis=1, return_inverse=True)
    amounts = np.bincount(inverse.ravel(), weights=work_s, minlength=pieces.shape[1]) if len(first) else np.zeros(0)
    backlog: defaultdict[int, float] = defaultdict(float)
    replicas, order = np.zeros(intervals), list[int]()
    coming = 0
    for interval in range(intervals):
        while coming < len(amounts) and pieces[0, coming] == interval:
            due = int(pieces[1, coming])
            if due not in backlog:
                heapq.heappush(order, due)
            backlog[due] += float(amounts[coming])
            coming += 1
        if not order:
            continue
        must_s = backlog[order[0]] if order[0] <= interval else 0.0
        replicas[interval] = math.ceil(must_s / interval_s - 1e-9)
        left_s = replicas[interval] * interval_s
        while order and (left_s > 0 or backlog[order[0]] <= 0 or order[0] <= interval):
            done = min(left_s, backlog[order[0]])
            backlog[order[0]] -= done
            left_s -= done
            if backlog[order[0]] > 0 and order[0] > interval:
                break
            del backlog[heapq.heappop(order)]
    return replicas
