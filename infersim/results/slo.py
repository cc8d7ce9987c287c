"""The service level over time: how many requests met the SLO window by window, and how long it was broken at a stretch.

The SLO's limits are on 99th percentiles, so of the requests that arrive in a window one in a hundred may miss them:
that is the error budget. A window in which more miss is broken.

Not here: who meets the SLO (`metrics.py`). Read `windows.py` for pools by window.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infersim.dataplane.totals import Totals
from infersim.results.chapter import Chapter
from infersim.results.run import Run
from infersim.results.units import clock, digits, percent
from infersim.results.windows import label, window_edges

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

OBJECTIVE = 0.99
"""Share of requests that must meet every limit."""

MOST_WINDOWS = 120
"""Windows that a run is cut into for its service level."""


def slo_windows(totals: Totals, end_s: float) -> pd.DataFrame:
    """One row for each window: start_s, end_s, arrived, met, attainment (NaN when nothing arrived), broken."""
    edges = window_edges(end_s, MOST_WINDOWS)
    # edges are whole multiples of the totals' windows, but for the last, which takes what is left
    cells = np.minimum(np.rint(edges / totals.window_s).astype(np.int64), len(totals.windows))
    cells[-1] = len(totals.windows)
    below = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(totals.windows, axis=0)])
    arrived, met = np.diff(below[cells], axis=0).T
    return _judged(edges[:-1], edges[1:], arrived, met)


def _judged(start_s: Array, end_s: Array, arrived: Counts, met: Counts) -> pd.DataFrame:
    attained = np.divide(met, arrived, out=np.full(len(arrived), np.nan), where=arrived > 0)
    columns = {"start_s": start_s, "end_s": end_s, "arrived": arrived, "met": met, "attainment": attained}
    return pd.DataFrame(columns | {"broken": attained < OBJECTIVE})


def slo_over_time(table: pd.DataFrame) -> dict[str, Any]:
    """What the windows come down to.

    window_s               length of a window [s]
    worst_attainment       smallest attainment of a window, NaN without requests
    broken_s               time in broken windows [s]
    longest_violation_s    longest stretch of broken windows; one in which nothing arrived does not end it [s]
    error_budget_burnt     requests that missed / those that were allowed to (1 % of all); more than 1 is a broken SLO
    windows                start_s, end_s, arrived and met of each
    """
    asked = table[table["arrived"] > 0]
    missed = float(asked["arrived"].sum() - asked["met"].sum())
    allowed = (1.0 - OBJECTIVE) * float(asked["arrived"].sum())
    lengths = table["end_s"] - table["start_s"]
    return {
        "window_s": float(lengths.iloc[0]),
        "worst_attainment": float(asked["attainment"].min()) if len(asked) else float("nan"),
        "broken_s": float(lengths[table["broken"]].sum()),
        "longest_violation_s": longest_violation(table)[2],
        "error_budget_burnt": missed / allowed if allowed > 0 else float("nan"),
        "windows": {name: table[name].tolist() for name in ("start_s", "end_s", "arrived", "met")},
    }


def longest_violation(table: pd.DataFrame) -> tuple[float, float, float]:
    """Start, end and length [s] of the longest stretch of broken windows; zeros if none is."""
    asked = table[table["arrived"] > 0]
    stretch = (asked["broken"] != asked["broken"].shift()).cumsum()[asked["broken"]]
    spans = [
        (float(own["start_s"].iloc[0]), float(own["end_s"].iloc[-1]))
        for _, own in asked.loc[stretch.index].groupby(stretch)
    ]
    start, end = max(spans, key=lambda span: span[1] - span[0], default=(0.0, 0.0))
    return start, end, end - start


def _budget(burnt: float) -> str:
    """How much of the error budget, in words."""
    return f"{percent(burnt)} of the error budget" if burnt <= 1.0 else f"{digits(burnt)} times the error budget"


def why_slo(run: Run, most: int = 5) -> Chapter:
    """How well the service level was kept, and when it was not."""
    slo = run.summary["slo"]
    if not slo["targets"] or not run.summary["requests"]["arrived"]:
        return Chapter("Service level", ("The scenario sets no SLO." if not slo["targets"] else "No request arrived.",))
    over = slo["over_time"]
    table = _judged(*(np.array(over["windows"][name]) for name in ("start_s", "end_s", "arrived", "met")))
    kept = "kept" if all(target["holds"] for target in slo["targets"].values()) else "broken"
    sentences = [
        f"The SLO was {kept}: {percent(slo['attainment'])} of requests met every limit, and "
        f"{_budget(over['error_budget_burnt'])} (1 % of requests) was burnt."
    ]
    start, end, length = longest_violation(table)
    if length > 0:
        sentences.append(
            f"More than 1 % missed it for {clock(over['broken_s'])} of {clock(run.summary['run']['end_s'])}; "
            f"the longest stretch was {clock(length)}, from {label(start, end)}."
        )
    broken = table[table["broken"]]
    worst = broken.assign(missed=broken["arrived"] - broken["met"]).nlargest(most, "missed")
    rows = [
        (label(row.start_s, row.end_s), f"{row.arrived:,}", f"{row.missed:,}", percent(row.attainment))
        for row in worst.itertuples()
    ]
    return Chapter("Service level", tuple(sentences), ("worst windows", ">arrived", ">missed", ">met"), tuple(rows))
