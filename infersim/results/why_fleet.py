"""What happened to the fleet: machines that were lost or not to be had, outages and what they did, and who sold the machines.

Not here: what was paid for (`why_cost.py`), every single event (`events.parquet`). Read `explain.py` next.
"""

from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import digits, moment, percent, seconds, usd

LOSSES = {
    "reclaimed": "spot machines were taken back",
    "failed": "replicas failed, with what they held",
    "refused": "times a seller had no machine",
    "limited": "times an autoscaler wanted more than it may have",
    "paced": "times the rate of a replica changed",
}
"""Kinds of events that a fleet suffers, and what they are."""


def why_fleet(run: Run) -> tuple[Chapter, ...]:
    """Chapters on losses, on outages and the like, and on sellers; none of a fleet to which nothing happened."""
    return (*_losses(run), *_phases(run), *_sellers(run))


def _losses(run: Run) -> tuple[Chapter, ...]:
    """How often what was suffered, and how long it took to make up for it."""
    counts = run.events["kind"].value_counts()
    rows = [(kind, what, f"{counts[kind]:,}") for kind, what in LOSSES.items() if kind in counts]
    if not rows:
        return ()
    wasted = run.summary["requests"]["wasted_tokens"]
    sentences = []
    if wasted:
        again = int((run.requests["wasted_tokens"] > 0).sum())
        sentences.append(
            f"{again:,} requests were begun and lost, and most began anew elsewhere; {wasted:,} tokens were processed in vain."
        )
    elif "reclaimed" in counts or "failed" in counts:
        sentences.append(
            "No request was lost with a replica: those that left had finished, or handed on, what they held."
        )
    took = (run.replicas["ready_s"] - run.replicas["requested_s"]).dropna()
    took = took[took > 0]
    if len(took):
        sentences.append(
            f"From being asked for to being ready a new replica took {seconds(took.median())} (median; {seconds(took.max())} at most)."
        )
    return (Chapter("What happened to the fleet", tuple(sentences), ("event", "what", ">times"), tuple(rows)),)


def _phases(run: Run) -> tuple[Chapter, ...]:
    """Outages, power caps and upgrades, and the requests that came while they lasted."""
    phases = run.summary.get("phases")
    if not phases:
        return ()
    rows = [
        (
            phase["kind"],
            "" if phase["begin_s"] is None else moment(phase["begin_s"]),
            "" if phase["end_s"] is None else moment(phase["end_s"]),
            f"{phase['requests']:,}",
            percent(phase["attainment"]),
            seconds(phase["ttft_p99_s"]),
        )
        for phase in phases
    ]
    heads = ("while", ">from", ">to", ">requests", ">within the SLO", ">TTFT p99")
    return (Chapter("Outages, power caps and upgrades", (), heads, tuple(rows)),)


def _sellers(run: Run) -> tuple[Chapter, ...]:
    """Who was paid, where there are several; and what that saved against on demand, where that was bought too."""
    paid = [one for one in run.summary["cost"]["by_purchase"] if one["chip_hours"]]
    if len(paid) < 2:
        return ()
    total, hours = sum(one["usd"] for one in paid), sum(one["chip_hours"] for one in paid)
    sentences = []
    dear = next((one for one in paid if one["tier"] == "on_demand"), None)
    if dear is not None:
        whole = hours * dear["usd"] / dear["chip_hours"]
        sentences.append(
            f"At the price of on demand these {digits(hours)} chip-hours would have cost {usd(whole)}: "
            f"{percent(1 - total / whole)} was saved."
        )
    rows = [
        (one["provider"], one["tier"], digits(one["chip_hours"]), usd(one["usd"] / one["chip_hours"]), usd(one["usd"]))
        for one in paid
    ]
    heads = ("seller", "tier", ">chip-hours", ">USD/chip-hour", ">cost")
    return (Chapter("Who sold the machines", tuple(sentences), heads, tuple(rows)),)
