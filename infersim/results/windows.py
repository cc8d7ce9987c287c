"""Windows of time: a run cut into at most a few dozen pieces of round length, and what each pool did in each.

Not here: what is concluded from them (`why_latency.py`, `why_cost.py`, `slo.py`). Read those next.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infersim.results.power import CAUSES
from infersim.results.units import moment

Array = NDArray[np.float64]

LENGTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400)
"""Lengths of a window that people think in [s]; longer runs get whole multiples of a week."""

MEANS = ("starting", "ready", "draining", "held", "waiting", "running", "kv_occupancy")
"""States of the timeline, of which a window has the mean over time."""

SUMS = ("arrived", "ended", "prompt_tokens", "output_tokens", "cost_usd", "busy_usd", "idle_usd", "cold_start_usd",
        "energy_j", "up_s", "busy_s", *(f"{cause}_s" for cause in CAUSES))  # fmt: skip
"""Counters of the timeline, of which a window has the growth."""


def window_edges(end_s: float, most: int = 24) -> Array:
    """Edges of windows of one round length from 0 to the end of the run [s]; the last may be shorter."""
    wanted = max(end_s, 1e-9) / most
    length = next((x for x in LENGTHS if x >= wanted), LENGTHS[-1] * np.ceil(wanted / LENGTHS[-1]))
    inner = np.arange(0.0, end_s, length)
    if len(inner) > 1 and end_s - inner[-1] < 0.1 * length:  # the few seconds that end the last requests
        inner = inner[:-1]
    return np.append(inner, max(end_s, 1e-9))


def windows(timeline: pd.DataFrame, edges: Array) -> pd.DataFrame:
    """One row for each window and pool: start_s, end_s, pool, means of states, growth of counters, mfu and mbu.

    Counters are taken to grow evenly between two samples; states hold from their sample to the next.
    """
    frames = []
    for name, own in timeline.groupby("pool", observed=True, sort=False):
        times = own["time_s"].to_numpy()
        columns: dict[str, object] = {"start_s": edges[:-1], "end_s": edges[1:], "pool": name}
        for state in MEANS:
            held = np.append(0.0, np.cumsum(own[state].fillna(0.0).to_numpy()[:-1] * np.diff(times)))
            columns[state] = np.diff(np.interp(edges, times, held)) / np.diff(edges)
        for counter in SUMS:
            columns[counter] = np.diff(np.interp(edges, times, own[counter].to_numpy()))
        busy = np.diff(own["busy_s"].to_numpy(), prepend=0.0)
        for rate in ("mfu", "mbu"):
            used = np.cumsum(own[rate].fillna(0.0).to_numpy() * busy)
            columns[rate] = _ratio(np.diff(np.interp(edges, times, used)), np.asarray(columns["busy_s"]))
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["start_s", "end_s", "pool"])


def label(start_s: float, end_s: float) -> str:
    """A window in words: `0:10:00 to 0:15:00`."""
    return f"{moment(start_s)} to {moment(end_s)}"


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
