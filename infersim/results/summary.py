"""The summary of a run: one nested dictionary of plain numbers with units in its keys, the content of `summary.json`.

Keys are stable: a key keeps its meaning and its unit, new ones may come. A number that does not exist is NaN here and
null in the file. Not here: formulas (`metrics.py`, `money.py`, `power.py`). Read `directory.py` next.
"""

from typing import Any

import numpy as np
import pandas as pd

from infersim import __version__
from infersim.dataplane.records import ENDINGS
from infersim.dataplane.tally import Tally
from infersim.dataplane.totals import LATENCY_ERROR, Sums
from infersim.results.cascade_report import cascade_report, discarded
from infersim.results.economics import by_purchase, projection, wasted
from infersim.results.expenses import expenses
from infersim.results.frames import SPANS
from infersim.results.metrics import class_report, latency, limits, model_report, phase_report, slo_report, throughput
from infersim.results.money import bill, per, unit_costs
from infersim.results.power import carbon_report, energy_report, utilisation_report, water_report
from infersim.results.record import PoolRecord, RunRecord
from infersim.results.regret import regret
from infersim.results.slo import slo_over_time, slo_windows
from infersim.results.steady import steady_state

Summary = dict[str, Any]


def summarise(run: RunRecord, requests: pd.DataFrame, timeline: pd.DataFrame) -> Summary:
    """Everything that a run comes down to, as nested dictionaries."""
    sums, rows = run.totals.of(), requests if run.halvings == 0 else None
    latencies = latency(sums, rows, [pool.tally for pool in run.pools])
    dollars = _dollars(run, list(range(len(run.pools))))
    by_pool = [_dollars(run, [index])["total_usd"] for index in range(len(run.pools))] if run.questions else []
    energy = energy_report(run, range(len(run.pools)), sums)
    slo = slo_report(sums, run.scenario, latencies)
    if slo["targets"]:
        slo["over_time"] = slo_over_time(slo_windows(run.totals, float(run.end_s)))
    if run.scenario.workload.classes:
        slo["classes"] = class_report(run.totals, rows, run.scenario)
        if any(tenant.model for tenant in run.scenario.workload.classes):
            slo["models"] = model_report(run.totals, rows, run.scenario)
    cascades = cascade_report(run, rows, by_pool)
    return {
        "infersim": __version__,
        "scenario": _scenario(run),
        "run": {"end_s": float(run.end_s), "makespan_s": sums.makespan_s},
        "requests": _requests(sums, run),
        "throughput": throughput(sums),
        "latency": latencies,
        "mean_spans_s": _mean_spans(run, sums),
        "steady_state": steady_state(requests),
        "slo": slo,
        "cost": dollars
        | unit_costs(dollars["total_usd"], sums)
        | wasted(run, dollars["busy_usd"])
        | discarded(run, by_pool)
        | projection(dollars["total_usd"], float(run.end_s))
        | {"by_purchase": by_purchase(run)},
        **({"cascades": cascades} if cascades else {}),
        **({"oracle": oracle} if (oracle := regret(run, slo["attainment"])) else {}),
        "energy": energy,
        "carbon": carbon_report(run, energy["total_j"], sums),
        "water": water_report(run, energy, sums),
        "pools": {pool.name: _pool(run, index, rows, timeline) for index, pool in enumerate(run.pools)},
        **({"phases": phase_report(requests, run.periods, 2**run.halvings)} if run.periods else {}),
        "warnings": list(run.warnings),
        "provenance": [{"pool": pool.name, **vars(source)} for pool in run.pools for source in pool.sources],
    }


def _dollars(run: RunRecord, pools: list[int]) -> dict[str, float]:
    """What some pools cost [USD]: total_usd, its leases by purpose, and electricity_usd and egress_usd where paid."""
    dollars = bill(run).sums(np.isin(run.leases["pool"], pools))
    others = expenses(run, pools)
    return dollars | others | {"total_usd": dollars["total_usd"] + sum(others.values())}


def _scenario(run: RunRecord) -> Summary:
    """What ran."""
    scenario = run.scenario
    keys = ("name", "description", "model", "seed", "horizon_s")
    return {key: getattr(scenario, key) for key in keys}


def _requests(sums: Sums, run: RunRecord) -> Summary:
    """How many requests came and how they ended; tokens are those of finished ones.

    retries: attempts beyond the first of each request. wasted_tokens: processed for attempts that did not finish.
    prefix_hit_ratio, where a prefix cache had hits: their cached prompt tokens / their prompt tokens.
    rows, rows_share, percentile_error, where not every request has a row: how many do, their share (they were chosen by
    the hash of their id), and the largest relative error of percentiles, which then come from histograms.
    """
    cached = sums.of_finished("cached_tokens")
    hits = {"prefix_hit_ratio": cached / sums.of_finished("input_tokens")} if cached else {}
    sample = {"rows": len(run.outcomes), "rows_share": 0.5**run.halvings, "percentile_error": LATENCY_ERROR}
    return {
        "arrived": sums.arrived,
        **{status: int(count) for status, count in zip(ENDINGS, sums.endings, strict=True)},
        "input_tokens": sums.of_finished("input_tokens"),
        "output_tokens": sums.of_finished("output_tokens"),
        "preemptions": sums.of_all("preemptions"),
        "retries": sums.of_all("retries"),
        "wasted_tokens": sums.of_all("wasted_tokens"),
        **hits,
        **(sample if run.halvings else {}),
    }


def _mean_spans(run: RunRecord, sums: Sums) -> Summary:
    """Where the mean latency of finished requests went [s]; sums to the mean of E2E."""
    spans = SPANS if run.questions is None else (*SPANS, "cascade_s")
    return {span: per(sums.span_s(span), sums.finished) for span in spans}


def _pool(run: RunRecord, index: int, requests: pd.DataFrame | None, timeline: pd.DataFrame) -> Summary:
    """One pool: what it is, what it did, what that cost; of a cascade its requests are calls."""
    pool, sums = run.pools[index], run.calls.of(pool=index)
    own = None if requests is None or run.questions else requests[requests["pool"] == pool.name]
    dollars = _dollars(run, [index])
    return {
        "hardware": pool.hardware,
        "engine": pool.engine,
        "chips_per_replica": pool.chips,
        "usd_per_chip_hour": pool.usd_per_chip_hour,
        "price_source": pool.price_source,
        "replicas": _replicas(run, index, timeline[timeline["pool"] == pool.name]),
        "requests_finished": sums.finished,
        "input_tokens": sums.of_finished("input_tokens"),
        "output_tokens": sums.of_finished("output_tokens"),
        "latency": latency(sums, own, [pool.tally]),
        "slo_attainment": per(sums.met, sums.arrived) if limits(run.scenario.slo) else float("nan"),
        "cost": dollars | unit_costs(dollars["total_usd"], sums),
        "energy": energy_report(run, [index], sums),
        "utilisation": utilisation_report(run, index),
        **({"adapters": _adapters(pool.tally)} if pool.tally.adapter_admissions else {}),
        **({"models": _models(pool)} if pool.tables.models else {}),
        "notes": list(pool.tables.notes),
    }


def _models(pool: PoolRecord) -> Summary:
    """By model of a pool with several: switches to it, loads of its weights, evictions, seconds of switching, tokens, KV blocks."""
    return {
        model.name: {
            "switches": own.switches,
            "loads": own.loads,
            "evictions": own.evictions,
            "switching_s": own.switching_s,
            "prompt_tokens": int(own.prompt_tokens),
            "output_tokens": own.output_tokens,
            "load_s": model.load_s,
            "kv_blocks": model.tables.memory.blocks,
        }
        for model, own in zip(pool.tables.models, pool.tally.by_model, strict=True)
    }


def _adapters(tally: Tally) -> Summary:
    """Admissions of sequences with an adapter, how many of them had to wait for it to be loaded, and the others' share."""
    admitted, loads = tally.adapter_admissions, tally.adapter_loads
    return {"admissions": int(admitted), "loads": int(loads), "hit_ratio": 1.0 - loads / admitted}


def _replicas(run: RunRecord, index: int, timeline: pd.DataFrame) -> Summary:
    """How many replicas a pool had: ever leased, most ready at a sample, mean number up (ready or draining)."""
    leases = run.leases[run.leases["pool"] == index]
    ready = ~np.isnan(leases["ready_s"])
    up_s = float((leases["closed_s"] - leases["ready_s"])[ready].sum())
    peak = int(timeline["ready"].max()) if len(timeline) else 0
    return {"leased": len(leases), "served": int(ready.sum()), "peak_ready": peak, "mean_up": per(up_s, run.end_s)}
