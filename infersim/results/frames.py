"""The four data frames of a run: requests, replicas, timeline, events. Columns carry their units.

Not here: what is concluded from them (`metrics.py`, `money.py`, `power.py`). Read `metrics.py` next.
"""

import numpy as np
import pandas as pd

from infersim.controlplane.ledger import EVENT_COLUMNS
from infersim.dataplane.records import ENDINGS, FINISHED
from infersim.results.metrics import meets_own
from infersim.results.money import bill, lease_times, simple, spent_until, usd_per_replica_second
from infersim.results.power import CAUSES, lease_joules
from infersim.results.record import RunRecord
from infersim.spec.zoo import asked_names

SPANS = ("held_s", "handling_s", "queued_s", "prefill_s", "decode_s", "preempted_s", "transfer_s", "away_s")
"""Where a request's time goes; the eight sum to finish_s - arrival_s, with `cascade_s` where there are cascades."""


def requests_frame(run: RunRecord) -> pd.DataFrame:
    """One row for each request that arrived, by id.

    status       finished; rejected: too long for the model or the KV cache; lost with its replica; timed_out: given up by
                 its client; or turned away: queue_full, service_full, rate_limited, overloaded
    pool         that it was routed to; missing if it never was
    replica      serial number of the one that ended it, -1 if none
    output_tokens  of each answer; an image's are its steps
    first_token_s  when the first token left; the end where the answer comes whole
    answers      completions that the client gets (samples); only where that is more than one
    ttft_s, tpot_s, e2e_s   as in `metrics.py`, from the first arrival; NaN unless finished, TPOT also with a single
                 output token
    held_s ... away_s   spans over all attempts that sum to finish_s - arrival_s, whatever the status; away: between
                 attempts, its client waiting to try again
    attempts     how often its client sent it
    wasted_tokens  tokens processed for attempts that did not finish
    adapter      number of the adapter that it names, 0 for none; only where some do
    cascade_step  number of the model of its cascade that answered, from 0; only where there are cascades, and so are
    cascade_s     a span too: the models before it, and judging their answers; the other spans are those of the last
    discarded_tokens  prompt and output tokens of answers that did not stand
    cached_tokens  prompt tokens found in the prefix cache at the first admission
    slo_met      finished within every limit of its class's SLO, or of the scenario's
    network_s    round trip between its region and its pool's, a part of handling_s; only where there are regions
    tenant       its class; only where the workload has classes
    model        that it asks for; only where classes name one
    """
    rows = run.outcomes
    finished = rows["status"] == FINISHED
    answers = np.array([part.answers for part in run.scenario.workload.parts])[rows["tenant"]]
    gaps = np.where(answers > 0, rows["output_tokens"] - 1, 0)
    first_s = np.where(answers > 0, rows["first_token_s"], rows["finish_s"])
    nothing = np.full(len(rows), np.nan)
    decoding = rows["finish_s"] - rows["first_token_s"]
    latencies = {
        "ttft_s": np.where(finished, first_s - rows["arrival_s"], np.nan),
        "tpot_s": np.divide(decoding, gaps, out=nothing, where=finished & (gaps > 0)),
        "e2e_s": np.where(finished, rows["finish_s"] - rows["arrival_s"], np.nan),
    }
    columns = {
        "id": rows["id"],
        "arrival_s": rows["arrival_s"],
        "input_tokens": rows["input_tokens"],
        "output_tokens": rows["output_tokens"],
        "status": pd.Categorical.from_codes(rows["status"], categories=list(ENDINGS)),
        "pool": _pool_names(rows["pool"], run),
        "replica": rows["replica"],
        "first_token_s": np.where(finished, first_s, rows["first_token_s"]),
        "finish_s": rows["finish_s"],
        **latencies,
        **{span: rows[span] for span in SPANS},
        "preemptions": rows["preemptions"],
        "cached_tokens": rows["cached_tokens"],
        "attempts": rows["retries"] + 1,
        "wasted_tokens": rows["wasted_tokens"],
        "slo_met": meets_own(latencies, finished, rows["tenant"], run.scenario),
    }
    if run.questions is not None:
        columns |= {"cascade_step": rows["step"], "cascade_s": rows["cascade_s"]}
        columns["discarded_tokens"] = rows["discarded_tokens"]
    if (answers > 1).any():
        columns["answers"] = answers
    if (rows["adapter"] > 0).any():
        columns["adapter"] = rows["adapter"]
    if any(pool.network_s for pool in run.pools):
        columns["network_s"] = _network_s(rows, run)
    if classes := run.scenario.workload.classes:
        columns["tenant"] = pd.Categorical.from_codes(rows["tenant"], categories=[tenant.name for tenant in classes])
        if any(tenant.model for tenant in classes):
            columns["model"] = pd.Categorical(asked_names(run.scenario))[rows["tenant"]]
    return pd.DataFrame(columns)


def _network_s(rows: np.ndarray, run: RunRecord) -> np.ndarray:
    """Each request's round trip to its pool [s]; NaN if it was never routed."""
    by_pool = np.array([pool.network_s for pool in run.pools] + [(np.nan,) * len(run.pools[0].network_s)])
    return by_pool[rows["pool"], rows["tenant"]]


def replicas_frame(run: RunRecord) -> pd.DataFrame:
    """One row for each replica that was ever asked for, by serial number.

    billed_s = cold_start_s + busy_s + idle_s, and cost_usd likewise (see `money.py`). energy_j includes the building's
    share (PUE): idle power over the billed seconds, and the pool's dynamic energy in proportion to busy_s.
    """
    leases, times, dollars = run.leases, lease_times(run), bill(run)
    moments = ("requested_s", "billed_from_s", "ready_s", "draining_s", "closed_s")
    columns = {
        "replica": leases["replica"],
        "pool": _pool_names(leases["pool"], run),
        **{name: leases[name] for name in moments},
        "billed_s": times.billed,
        "cold_start_s": times.cold_start,
        "busy_s": times.busy,
        "idle_s": times.idle,
        "utilisation": np.divide(times.busy, times.up, out=np.full(len(leases), np.nan), where=times.up > 0),
        "steps": leases["steps"],
        "requests": leases["requests"],
        "output_tokens": leases["output_tokens"],
        "cost_usd": dollars.total,
        "busy_usd": dollars.busy,
        "idle_usd": dollars.idle,
        "cold_start_usd": dollars.cold_start,
        "energy_j": lease_joules(run),
    }
    return pd.DataFrame(columns)


def timeline_frame(run: RunRecord) -> pd.DataFrame:
    """One row for each sampled moment and pool, by time then pool; of several samples of one moment the last counts.

    States (starting ... kv_occupancy) hold at time_s; rates (arrivals_rps ... usd_per_hour) are means over the interval
    of interval_s that ends there, NaN when it is empty; counters (arrived ... switching_s) run from the start. mfu and mbu
    are those of the interval's busy seconds; compute_s, memory_s, network_s, launch_s, slowed_s and switching_s split these by cause.
    `held` is that of the whole service, repeated for each pool. Power and energy include the building's share (PUE).
    """
    pieces = []
    for index in range(len(run.pools)):
        rows = run.samples[run.samples["pool"] == index]
        rows = rows[np.diff(rows["time_s"], append=np.inf) > 0]
        pieces.append(pd.DataFrame(_timeline_of_pool(rows, run, index)))
    frame = pd.concat(pieces, ignore_index=True)
    frame.insert(1, "pool", _pool_names(np.repeat(np.arange(len(run.pools)), [len(p) for p in pieces]), run))
    return frame.sort_values(["time_s", "pool"], kind="stable", ignore_index=True)


def _timeline_of_pool(rows: np.ndarray, run: RunRecord, index: int) -> dict[str, np.ndarray]:
    """Columns of one pool's timeline."""
    pool, pue = run.pools[index], run.scenario.facility.pue
    states = ("starting", "ready", "draining", "held", "waiting", "running", "kv_blocks_used", "kv_blocks")
    up, busy, billed = rows["up_s"], rows["busy_s"], rows["billed_s"]
    joules = rows["joules"] * pue
    if simple(pool) and not run.leases["rounding_s"].any():
        price = usd_per_replica_second(pool)
        usd, cold = billed * price, np.maximum(billed - up, 0.0) * price
    else:
        usd, cold = spent_until(run, index, rows["time_s"])
    working = (usd - cold) * np.minimum(np.nan_to_num(_ratio(busy, up)), 1.0)
    interval = _change(rows["time_s"])
    return {
        "time_s": rows["time_s"],
        "interval_s": interval,
        **{name: rows[name] for name in states},
        "kv_occupancy": _ratio(rows["kv_blocks_used"], rows["kv_blocks"]),
        "arrivals_rps": _ratio(_change(rows["arrived"]), interval),
        "endings_rps": _ratio(_change(rows["ended"]), interval),
        "prompt_tokens_per_s": _ratio(_change(rows["prompt_tokens"]), interval),
        "output_tokens_per_s": _ratio(_change(rows["output_tokens"]), interval),
        "utilisation": _ratio(_change(busy), _change(up)),
        "mfu": _ratio(_change(rows["flops"]), _change(busy) * pool.tables.peak_flops),
        "mbu": _ratio(_change(rows["memory_bytes"]), _change(busy) * pool.tables.peak_bytes_s),
        "power_w": _ratio(_change(joules), interval),
        "usd_per_hour": _ratio(_change(usd) * 3600.0, interval),
        "arrived": rows["arrived"],
        "ended": rows["ended"],
        "prompt_tokens": rows["prompt_tokens"],
        "output_tokens": rows["output_tokens"],
        "cost_usd": usd,
        "busy_usd": working,
        "idle_usd": np.maximum(usd - cold - working, 0.0),
        "cold_start_usd": cold,
        "energy_j": joules,
        "up_s": up,
        "busy_s": busy,
        **{f"{cause}_s": rows[f"{cause}_s"] for cause in CAUSES},
    }


def events_frame(run: RunRecord) -> pd.DataFrame:
    """One row for each event of the control plane, and each switch of models, by time: time_s, kind, pool, replica (-1: none), detail."""
    kinds = {"time_s": np.float64, "replica": np.int64}
    columns = {name: [event[k] for event in run.events] for k, name in enumerate(EVENT_COLUMNS)}
    return pd.DataFrame({name: pd.Series(values, dtype=kinds.get(name, "str")) for name, values in columns.items()})


def _pool_names(codes: np.ndarray, run: RunRecord) -> pd.Categorical:
    """Pool indices as names; -1 becomes missing."""
    return pd.Categorical.from_codes(codes, categories=[pool.name for pool in run.pools])


def _change(counter: np.ndarray) -> np.ndarray:
    """Growth of a counter since the row before; the first row's since the start, where it was 0."""
    return np.diff(counter.astype(np.float64), prepend=0.0)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
