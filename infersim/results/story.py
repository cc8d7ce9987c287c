"""One request's story: what happened to it, when, and how that compares with the others.

Not here: what made the run as a whole slow (`why_latency.py`).
"""

import pandas as pd

from infersim.results.chapter import Chapter
from infersim.results.metrics import SLO_COLUMNS
from infersim.results.run import Run, rows_share
from infersim.results.units import moment, percent, seconds
from infersim.results.why_latency import comes_whole, ttft_parts

NAMES = {"ttft_s": "first token (TTFT)", "tpot_s": "each further token (TPOT)", "e2e_s": "the whole request (E2E)"}


ENDED = {
    "rejected": "is rejected: it would never fit",
    "lost": "is lost with its replica",
    "timed_out": "is given up by its client",
    "queue_full": "is turned away: the queue of its replica is full",
    "service_full": "is turned away: too many requests wait in the whole service",
    "rate_limited": "is turned away: its class has used up its rate limit",
    "overloaded": "is turned away: it would wait, or has waited, too long",
}
"""How a request ended that did not finish."""


class UnknownRequest(ValueError):
    """There is no request with this id; the message says which there are."""


def story(run: Run, request: int) -> tuple[Chapter, ...]:
    """What happened to one request; raises UnknownRequest."""
    found = run.requests.index[run.requests["id"] == request]
    if not len(found):
        ids = run.requests["id"]
        known = f"ids go from {ids.min()} to {ids.max()}" if len(ids) else "no request arrived"
        if (share := rows_share(run.summary)) < 1:
            known = f"only {percent(share)} of the requests have a row ({known}); raise keep_requests to keep more"
        raise UnknownRequest(f"there is no request {request}; {known}")
    row = run.requests.loc[found[0]]
    chapters = (_life(run, row, found), _beside_others(run, row))
    return chapters if row["status"] == "finished" else chapters[:1]


def _life(run: Run, row: pd.Series, found: pd.Index) -> Chapter:
    """What happened, in order."""
    whole = bool(comes_whole(row))
    got = f"got {row['output_tokens']:,} output tokens"
    if whole:
        got = "its answer came whole" + (f", after {row['output_tokens']:,} steps" if row["output_tokens"] else "")
    sentence = f"It brought {row['input_tokens']:,} prompt tokens and {got}."
    if row["cached_tokens"]:
        sentence += f" {row['cached_tokens']:,} prompt tokens were found in the prefix cache."
    clock = float(row["arrival_s"])
    steps: list[tuple[float, str]] = [(clock, f"arrives{_state(run, clock)}")]
    if row["attempts"] > 1:
        sentence += f" Its client sent it {row['attempts']} times; what follows adds up over all attempts."
        clock += row["away_s"]
        steps.append((clock, f"has waited {seconds(row['away_s'])} between attempts"))
    if "cascade_s" in row and row["cascade_s"] > 0:
        clock += row["cascade_s"]
        steps.append((clock, f"goes on to {row['pool']}: the answer before it did not stand, or did not come"))
        sentence += f" {row['discarded_tokens']:,} tokens went into answers that did not stand."
    if row["held_s"] > 0:
        clock += row["held_s"]
        steps.append((clock, f"was held for {seconds(row['held_s'])} until a replica was ready"))
    if row["wasted_tokens"]:
        sentence += f" {row['wasted_tokens']:,} tokens were processed in vain."
    if row["status"] != "finished":
        steps.append((float(row["finish_s"]), ENDED[row["status"]]))
        return Chapter("What happened", (sentence,), (">time", "it"), _rows(steps))
    parts = ttft_parts(run.requests.loc[found]).iloc[0]
    clock += parts["handling"]
    steps.append((clock, f"leaves the front end for the queue of replica {row['replica']} ({row['pool']})"))
    clock += parts["queued"]
    steps.append((clock, f"is admitted after {seconds(parts['queued'])} in the queue"))
    what = "its steps" if whole and row["output_tokens"] else "its prompt"
    prefill = f"{what} took {seconds(parts['prefill'])}"
    if parts["preempted"] > 0:
        prefill += f", and {seconds(parts['preempted'])} it was preempted"
    steps.append((float(row["first_token_s"]), f"gets its {'answer' if whole else 'first token'}: {prefill}"))
    if row["output_tokens"] > 1 and not whole:
        steps.append((float(row["finish_s"]), f"gets its last token, one every {seconds(row['tpot_s'])}"))
    if row["preemptions"]:
        times = "once" if row["preemptions"] == 1 else f"{row['preemptions']} times"
        sentence += f" It was preempted {times}, for {seconds(row['preempted_s'])} and a second prefill."
    return Chapter("What happened", (sentence,), (">time", "it"), _rows(steps))


def _rows(steps: list[tuple[float, str]]) -> tuple[tuple[str, str], ...]:
    begun = steps[0][0]
    return tuple((moment(t) if t == begun else f"+ {seconds(t - begun)}", what) for t, what in steps)


def _state(run: Run, time_s: float) -> str:
    """What the service looked like at the last sample before."""
    before = run.timeline[run.timeline["time_s"] <= time_s]
    if not len(before):
        return ""
    last = before[before["time_s"] == before["time_s"].iloc[-1]]
    waiting = last["waiting"].sum() + last["held"].max()
    return (
        f" while {last['ready'].sum():,} replicas are ready, {last['running'].sum():,} requests running "
        f"and {waiting:,} waiting"
    )


def _beside_others(run: Run, row: pd.Series) -> Chapter:
    """How its latencies compare."""
    targets = {SLO_COLUMNS[key]: target["limit_s"] for key, target in run.summary["slo"]["targets"].items()}
    rows = []
    for column, name in NAMES.items():
        others = run.requests[column].dropna()
        if pd.isna(row[column]):
            continue
        limit = targets.get(column)
        verdict = "" if limit is None else ("within" if row[column] <= limit else "over") + f" {seconds(limit)}"
        slower = float((others < row[column]).mean())
        rows.append((name, seconds(row[column]), seconds(others.median()), percent(slower), verdict))
    sentence = "" if not targets else "It met the SLO." if row["slo_met"] else "It missed the SLO."
    heads = ("latency", ">this one", ">median", ">slower than", "limit")
    return Chapter("Beside the others", (sentence,) if sentence else (), heads, tuple(rows))
