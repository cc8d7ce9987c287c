"""Why latencies are what they are: where the slowest requests spent their time, when they came, what ran beside them.

A time to first token is the sum of what came before that token: away (earlier attempts that failed while they were
served, and pauses before the next), cascade (models whose answers did not stand), held (no replica was ready), handling (the engine's
front end), queued (in a replica's queue), prefill, and preempted (put back before the first token came; the
second prefill counts as prefill as far as it is not known apart).

Not here: money and bounds (`why_cost.py`). Read `explain.py` next.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import digits, percent, seconds
from infersim.results.windows import label, window_edges, windows

PARTS = {
    "away": ("earlier tries that failed, or were lost with a replica", "whatever made them fail"),
    "cascade": ("models before the one that answered, and judging them", "fewer escalations, or faster first models"),
    "held": ("no replica was ready", "replicas that are ready sooner, or a larger minimum"),
    "handling": ("in the engine's front end: HTTP, tokenisation", "a faster front end or shorter prompts"),
    "queued": ("in a replica's queue, not yet admitted", "more replicas, scaling up earlier, or a larger batch"),
    "prefill": (
        "its prompt, or the steps of its image, ran",
        "faster chips, more tensor parallelism or shorter prompts",
    ),
    "preempted": ("put back for want of KV blocks", "more KV cache, or fewer sequences in a batch"),
}
"""Part of a TTFT -> what happens in it, and what makes it smaller."""

SLOWEST = 0.01
"""Share of the requests that the explanations call the slowest."""


def ttft_parts(requests: pd.DataFrame) -> pd.DataFrame:
    """Columns of PARTS [s], `cascade` only where there are any, of finished requests; they sum to ttft_s."""
    done = requests[requests["status"] == "finished"]
    waits = ("away", "cascade", "held", "handling", "queued")
    known = {part: done[f"{part}_s"] for part in waits if f"{part}_s" in done}
    rest = (done["ttft_s"] - sum(known.values())).clip(lower=0.0)
    steps = done["decode_s"].where(comes_whole(done), 0.0)  # of an image
    prefill = np.minimum(done["prefill_s"] + steps, rest)
    again = (done["attempts"] > 1) | (done["preempted_s"] == 0)  # else a replica was lost with it
    known["away"] = known["away"] + (rest - prefill).where(again, 0.0)
    return pd.DataFrame(known | {"prefill": prefill, "preempted": (rest - prefill).mask(again, 0.0)})


def comes_whole(requests: pd.DataFrame | pd.Series) -> pd.Series:
    """Whether answers came whole (embeddings and images): with the first token, which is not the only one."""
    return (requests["first_token_s"] == requests["finish_s"]) & (requests["output_tokens"] != 1)


def slowest(values: pd.Series) -> pd.Index:
    """Index of the slowest 1 % (at least one) of the values that exist."""
    known = values.dropna()
    return known.nlargest(max(1, int(np.ceil(SLOWEST * len(known))))).index if len(known) else known.index


def middling(values: pd.Series) -> pd.Index:
    """Index of the tenth of the values around the median, at least one: who a typical request is."""
    order = values.dropna().sort_values(kind="stable").index
    return order[int(0.45 * len(order)) : max(int(np.ceil(0.55 * len(order))), 1)]


def why_ttft(run: Run) -> Chapter:
    """What made the slowest first tokens late."""
    title, requests = "Time to first token", run.requests
    slow, typical = slowest(requests["ttft_s"]), middling(requests["ttft_s"])
    if not len(slow):
        return Chapter(title, ("No request has a first token.",))
    parts = ttft_parts(requests)
    late, usual = parts.loc[slow].mean(), parts.loc[typical].mean()
    more = late - usual
    gap = float(more.sum())
    sentences = [
        f"The slowest {_many(len(slow))} waited {seconds(late.sum())} for the first token on average, a typical one "
        f"{seconds(usual.sum())}; the p99 is {seconds(run.summary['latency']['ttft_s']['p99'])}."
    ]
    if gap > 0.05 * usual.sum():
        main = str(more.idxmax())
        meaning, remedy = PARTS[main]
        sentences.append(
            f"{percent(more[main] / gap)} of the {seconds(gap)} between them is time {_word(main)} ({meaning}). "
            f"What would make it smaller: {remedy}."
        )
        sentences += _when(run, requests.loc[slow, "arrival_s"].to_numpy())
    else:
        sentences.append("That is nearly the same: nothing in particular made the slowest ones slow.")
    rows = [
        (
            _word(part),
            PARTS[part][0],
            seconds(usual[part]),
            seconds(late[part]),
            percent(late[part] / late.sum() if late.sum() > 0 else 0.0),
        )
        for part in parts
    ]
    rows.append(("together", "", seconds(usual.sum()), seconds(late.sum()), percent(1.0)))
    return Chapter(title, tuple(sentences), ("part", "what happens", ">typical", ">slowest 1 %", ">share"), tuple(rows))


def _word(part: str) -> str:
    """The part as people say it."""
    return {
        "queued": "in queue",
        "held": "held",
        "preempted": "preempted",
        "away": "away",
        "cascade": "in models before",
    }.get(part, f"in {part}")


def _many(count: int) -> str:
    """`1 % (255 requests)`, or the one."""
    return f"{SLOWEST:.0%} ({count:,} requests)".replace("%", " %") if count > 1 else "request"


def _when(run: Run, times: NDArray[np.float64]) -> list[str]:
    """When requests that came at these times came, and what the service looked like then."""
    edges = window_edges(float(run.summary["run"]["end_s"]))
    counts = np.histogram(times, edges)[0]
    if len(edges) < 3 or not len(run.timeline):
        return []
    order = np.argsort(-counts, kind="stable")
    few = np.sort(order[: 1 + int(np.searchsorted(np.cumsum(counts[order]), 0.8 * counts.sum()))])
    names = ", ".join(label(edges[w], edges[w + 1]) for w in few[:4]) + (" ..." if len(few) > 4 else "")
    table = windows(run.timeline, edges).drop(columns="pool")
    held = table.groupby("start_s")["held"].max()
    states = table.groupby("start_s").sum().assign(held=held).iloc[few].mean()
    waiting = states["waiting"] + states["held"]
    return [
        f"{percent(counts[few].sum() / counts.sum())} of them arrived within {len(few)} of {len(counts)} windows of "
        f"time ({names}), when on average {digits(states['ready'])} replicas were ready, {digits(states['starting'])} "
        f"starting, {digits(states['running'])} requests running and {digits(waiting)} waiting."
    ]


def why_tpot(run: Run) -> Chapter:
    """What made the slowest token streams slow."""
    title, requests = "Time per output token", run.requests
    slow, typical = slowest(requests["tpot_s"]), middling(requests["tpot_s"])
    if not len(slow):
        return Chapter(title, ("No request has a second token.",))
    late, usual = requests.loc[slow], requests.loc[typical]
    stalled = _stalled_share(late)
    sentences = [
        f"The slowest {_many(len(slow))} got a token every {seconds(late['tpot_s'].mean())}, a typical one every "
        f"{seconds(usual['tpot_s'].mean())}; the p99 is {seconds(run.summary['latency']['tpot_s']['p99'])}."
    ]
    if stalled > 0.05:
        sentences.append(
            f"{percent(stalled)} of the time after their first token they were preempted, for want of KV blocks."
        )
    rows = []
    if len(run.timeline) > 1:
        then, ever = _company(run.timeline, late), _company(run.timeline, requests[requests["tpot_s"].notna()])
        typically = _company(run.timeline, usual)
        if then["batch"] > 1.2 * typically["batch"] or then["prompt"] > 1.2 * typically["prompt"]:
            sentences.append(
                f"While they decoded, a replica ran {digits(then['batch'])} requests at once and processed "
                f"{digits(then['prompt'])} prompt tokens a second beside them; a typical request saw "
                f"{digits(typically['batch'])} and {digits(typically['prompt'])}. Smaller batches "
                "(max_num_seqs) and smaller steps (max_num_batched_tokens) make tokens faster and throughput less."
            )
        rows = [
            (what, *(digits(seen[key]) for seen in (typically, then, ever)))
            for what, key in (
                ("requests at once in a replica", "batch"),
                ("prompt tokens/s of a replica", "prompt"),
                ("output tokens/s of a replica", "output"),
            )
        ]
    return Chapter(title, tuple(sentences), ("what ran beside it", ">typical", ">slowest 1 %", ">all"), tuple(rows))


def _stalled_share(requests: pd.DataFrame) -> float:
    """Share of the time after the first token that was not decoding."""
    after = (requests["finish_s"] - requests["first_token_s"]).sum()
    return float(1.0 - min(requests["decode_s"].sum() / after, 1.0)) if after > 0 else 0.0


def _company(timeline: pd.DataFrame, requests: pd.DataFrame) -> dict[str, float]:
    """What a replica did, on average, at the middle of these requests' decoding."""
    totals = timeline.drop(columns="pool").groupby("time_s").sum()
    up = (totals["ready"] + totals["draining"]).clip(lower=1.0)
    middle = (requests["first_token_s"] + requests["finish_s"]) / 2.0
    at = np.clip(np.searchsorted(totals.index.to_numpy(), middle.to_numpy()), 0, len(totals) - 1)
    columns = {"batch": "running", "prompt": "prompt_tokens_per_s", "output": "output_tokens_per_s"}
    return {key: float((totals[name] / up).fillna(0.0).to_numpy()[at].mean()) for key, name in columns.items()}
