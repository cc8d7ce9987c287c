"""Why the bill is what it is: which dollars worked, which waited, when, and what bound the chips while they worked.

Not here: latencies (`why_latency.py`). Read `explain.py` next.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from infersim.results.chapter import Chapter
from infersim.results.power import CAUSES
from infersim.results.run import Run
from infersim.results.units import digits, percent, usd
from infersim.results.windows import label, window_edges, windows

PURPOSES = {
    "busy": "a step was running",
    "idle": "ready, and nothing to do",
    "cold_start": "paid for before it was ready",
}
"""Where dollars go, as in `money.py`, and what that means."""

MEANING = {
    "compute": "arithmetic: a chip with more FLOP/s, or a lower precision, would be faster",
    "memory": "memory bandwidth: larger batches, a lower precision or a chip with more bandwidth would be better",
    "network": "links between the chips of a replica: fewer chips a replica or faster links would help",
    "launch": "launch floors and the host: larger batches, fewer operators or a leaner engine would help",
    "switching": "switches between models: more resident models, more replicas or a router with model_affinity would help",
    "slowed": "replicas that were slower than their chips are: power caps, and chips that throttle or limp",
}
"""What it means that a cause binds."""

LEAST = 0.005
"""Windows with a smaller share of the idle dollars are not worth a row."""


def why_bill(run: Run) -> Chapter:
    """Where the dollars went."""
    cost = run.summary["cost"]
    total = cost["total_usd"]
    if not total:
        return Chapter("The bill", ("Nothing was paid.",))
    idle, cold = cost["idle_usd"] / total, cost["cold_start_usd"] / total
    sentences = [
        f"Of {usd(total)}, {percent(cost['busy_usd'] / total)} paid for steps, {percent(idle)} for replicas with "
        f"nothing to do and {percent(cold)} for replicas that were not ready yet."
    ]
    served, leased = len(run.replicas[run.replicas["requests"] > 0]), len(run.replicas)
    if cold > 0.05:
        sentences.append(
            f"{leased} replicas were leased in all and {served} of them ever ended a request; each was paid for while "
            "it loaded its weights. Longer cool-downs would start fewer of them."
        )
    if cost["wasted_usd"] > 0.01 * total:
        sentences.append(_waste(cost))
    sentences.append(f"Going on like this would cost {usd(cost['usd_per_month'])} a month.")
    if "oracle" in run.summary:
        sentences.append(_foresight(run.summary["oracle"]))
    if idle > 0.3:
        sentences.append("Fewer replicas, or an autoscaler that gives them back sooner, would make it smaller.")
    names = list(run.summary["pools"])
    rows = []
    for part, meaning in PURPOSES.items():
        pools = [run.summary["pools"][name]["cost"][f"{part}_usd"] for name in names]
        split = tuple(usd(x) for x in pools) if len(names) > 1 else ()
        rows.append(
            (part.replace("_", " "), meaning, usd(cost[f"{part}_usd"]), percent(cost[f"{part}_usd"] / total), *split)
        )
    every = tuple(usd(run.summary["pools"][name]["cost"]["total_usd"]) for name in names) if len(names) > 1 else ()
    rows.append(("together", "", usd(total), percent(1.0), *every))
    heads = tuple(f">{name}" for name in names) if len(names) > 1 else ()
    return Chapter("The bill", tuple(sentences), ("dollars", "when", ">cost", ">share", *heads), tuple(rows))


def _foresight(oracle: Mapping[str, Any]) -> str:
    """What an oracle would have paid for the same requests (`regret.py`)."""
    least = "about" if "rows_share" in oracle else "at least"
    told = f"Replicas that come and go at once, with perfect foresight, every {oracle['interval_s']:g} s: {least} {usd(oracle['usd'])}"
    return f"{told}; the work alone, in perfect batches and by the second: {usd(oracle['work_usd'])}."


def _waste(cost: Mapping[str, float]) -> str:
    """What the wasted dollars did, and what would save them."""
    abandoned, again = cost["abandoned_tokens"], cost["recomputed_tokens"]
    parts = [f"{abandoned:,.0f} tokens for attempts that did not finish"] if abandoned else []
    parts += [f"{again:,.0f} prompt tokens again that preempted requests had lost"] if again else []
    advice = "turning requests away earlier" if abandoned > again else "more KV cache or smaller batches"
    return f"{usd(cost['wasted_usd'])} of the busy dollars processed {' and '.join(parts)}; {advice} would save them."


def idle_windows(run: Run, most: int = 5) -> Chapter:
    """The windows of time in which idle replicas cost most."""
    title, idle = "The costliest idle times", run.summary["cost"]["idle_usd"]
    table = _windows(run)
    if not len(table) or not idle:
        return Chapter(title, ("No replica that cost anything was idle.",))
    worst = table.nlargest(most, "idle_usd")
    worst = worst[worst["idle_usd"] > LEAST * idle]
    share = worst["idle_usd"].sum() / idle
    sentence = (
        f"{percent(share)} of the {usd(idle)} for idle replicas was spent in {len(worst)} of "
        f"{table['start_s'].nunique()} windows of time{_of_pools(run)}."
    )
    rows = [
        (
            label(row.start_s, row.end_s),
            str(row.pool),
            usd(row.idle_usd),
            digits(row.ready + row.draining),
            percent(row.busy_s / row.up_s if row.up_s > 0 else float("nan")),
            digits(row.arrived / (row.end_s - row.start_s)),
        )
        for row in worst.itertuples()
    ]
    heads = ("window", "pool", ">idle", ">replicas up", ">busy", ">requests/s")
    return Chapter(title, (sentence,), heads, tuple(rows))


def what_bound(run: Run, most: int = 12) -> Chapter:
    """What bound the busy seconds of each pool, over the run and window by window."""
    title, sentences = "What bound the chips", []
    for name, pool in run.summary["pools"].items():
        shares = {cause: pool["utilisation"]["time_share"][cause] or 0.0 for cause in CAUSES}
        first = max(shares, key=lambda cause: shares[cause])
        if shares[first] > 0:
            sentences.append(
                f"{name}: {percent(shares[first])} of the busy time was bound by {MEANING[first]}. "
                f"MFU {percent(pool['utilisation']['mfu'])}, MBU {percent(pool['utilisation']['mbu'])} while busy."
            )
    table = _windows(run, most)
    table = table[table["busy_s"] > 0] if len(table) else table
    if not sentences or not len(table):
        return Chapter(title, tuple(sentences) or ("No step ran.",))
    causes = [cause for cause in CAUSES if cause != "switching" or table["switching_s"].any()]
    rows = [
        (
            label(row["start_s"], row["end_s"]),
            str(row["pool"]),
            percent(row["busy_s"] / row["up_s"] if row["up_s"] > 0 else float("nan")),
            max(causes, key=lambda cause: row[f"{cause}_s"]),
            *(percent(row[f"{cause}_s"] / row["busy_s"]) for cause in causes),
            digits(row["running"] / max(row["ready"] + row["draining"], 1e-9)),
        )
        for row in table.to_dict("records")
    ]
    heads = ("window", "pool", ">busy", "bound by", *(f">{cause}" for cause in causes), ">batch")
    return Chapter(title, tuple(sentences), heads, tuple(rows))


def _windows(run: Run, most: int = 24) -> pd.DataFrame:
    return windows(run.timeline, window_edges(float(run.summary["run"]["end_s"]), most))


def _of_pools(run: Run) -> str:
    return "" if len(run.summary["pools"]) == 1 else " and pools"
