"""Which questions went on to larger models, what their users waited for that, and what the answers cost that did not stand.

Not here: the numbers (`cascade_report.py`). Read `explain.py` next.
"""

from collections.abc import Mapping
from typing import Any

from infersim.results.cascade_report import ALL
from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import digits, percent, seconds, usd

COLUMNS = ("pool", ">asked", ">answered", ">insufficient", ">failed", ">share", ">TTFT p50", ">E2E p50", ">E2E p99", ">dollars")  # fmt: skip


def why_cascades(run: Run) -> tuple[Chapter, ...]:
    """A chapter for each class with a cascade; none without."""
    return tuple(_of_class(run, name, told) for name, told in run.summary.get("cascades", {}).items())


def in_a_line(name: str, told: Mapping[str, Any]) -> str:
    """A cascade in a line: who answered which share, and what a question cost."""
    answered = ", ".join(f"{percent(step['share'])} {step['pool']}" for step in told["steps"])
    whose = "" if name == ALL else f"{name}: "
    return (
        f"{whose}{percent(told['escalated_share'])} of {told['questions']:,} questions went on; answered by: {answered}; "
        f"{usd(told['usd_per_question'])} per question, {usd(told['discarded_usd'])} for answers that did not stand"
    )


def _of_class(run: Run, name: str, told: Mapping[str, Any]) -> Chapter:
    ttft, e2e = told["ttft_s"], told["e2e_s"]
    sentences = [
        f"{told['escalated']:,} of {told['questions']:,} questions ({percent(told['escalated_share'])}) went on to another "
        f"model. From the question to the answer that stands, users waited {seconds(ttft['p50'])} (p99 "
        f"{seconds(ttft['p99'])}) for the first token and {seconds(e2e['p50'])} (p99 {seconds(e2e['p99'])}) for the last.",
        f"A question cost {usd(told['usd_per_question'])}. {told['discarded_tokens']:,} prompt and output tokens, "
        f"{usd(told['discarded_usd'])} or {percent(_share(told))} of the dollars, went into answers that did not stand.",
    ]
    failed = sum(step["failed"] for step in told["steps"])
    if failed:
        sentences.append(f"{failed:,} calls failed; the next model took these questions, if there was one.")
    if asked := told["escalated"]:
        spent = run.summary["mean_spans_s"]["cascade_s"] * run.summary["requests"]["finished"] / asked
        if len(run.summary["cascades"]) == 1:
            sentences.append(f"Going on took {digits(spent)} s on average, before the next model was asked.")
    rows = [
        (
            step["pool"],
            *(f"{step[key]:,}" for key in ("asked", "answered", "insufficient", "failed")),
            percent(step["share"]),
            seconds(step["ttft_s"]["p50"]),
            seconds(step["e2e_s"]["p50"]),
            seconds(step["e2e_s"]["p99"]),
            usd(step["usd"]),
        )
        for step in told["steps"]
    ]
    return Chapter("Cascade" + ("" if name == ALL else f" of {name}"), tuple(sentences), COLUMNS, tuple(rows))


def _share(told: Mapping[str, Any]) -> float:
    return told["discarded_usd"] / told["usd"] if told["usd"] else 0.0
