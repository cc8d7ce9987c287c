"""Why requests did not finish: how many were lost, given up or turned away, by whom, and what would have served them.

Not here: latencies of those that finished (`why_latency.py`). Read `explain.py` next.
"""

from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import digits, percent

REASONS = {
    "rejected": ("longer than the context or the KV cache", "more KV cache, or max_context_tokens in the workload"),
    "lost": ("their replica failed", "retries, or handing back what a failed replica held"),
    "timed_out": ("their clients lost patience", "more replicas, or turning requests away before they are worked on"),
    "queue_full": ("the queue of their replica was full", "more replicas, or a larger max_queued"),
    "service_full": ("too many requests waited in the whole service", "more replicas, or a larger max_queued"),
    "rate_limited": ("their class had used up its tokens", "a larger rate_limit"),
    "overloaded": ("they would have waited too long", "more replicas, or a larger max_wait_s or max_queued_work_s"),
}
"""How requests end that do not finish: why, and what would help."""


def why_endings(run: Run) -> tuple[Chapter, ...]:
    """How the requests ended that did not finish, and how often clients tried again; nothing if there is neither."""
    requests = run.summary["requests"]
    arrived, retries = requests["arrived"], requests["retries"]
    counts = {reason: requests[reason] for reason in REASONS if requests[reason]}
    if not counts and not retries:
        return ()
    unfinished = sum(counts.values())
    sentences = [f"{unfinished:,} of {arrived:,} requests ({percent(unfinished / arrived)}) did not finish."]
    if retries:
        sentences.append(f"Clients sent {digits((arrived + retries) / arrived)} attempts for each request.")
    if requests["wasted_tokens"]:
        sentences.append(f"{requests['wasted_tokens']:,} tokens were processed for attempts that did not finish.")
    rows = [
        (reason.replace("_", " "), REASONS[reason][0], f"{count:,}", percent(count / arrived), REASONS[reason][1])
        for reason, count in counts.items()
    ]
    return (Chapter("Requests that did not finish", tuple(sentences), ("ending", "why", ">requests", ">share", "what would help"), tuple(rows)),)  # fmt: skip
