"""What each replica did in each window of time, worked out from the requests that it ended.

Not here: the picture (`charts.py`). Read `windows.py` for pools instead of replicas.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Heat:
    """Mean requests in flight, by replica and window."""

    replicas: NDArray[np.int64]
    """Serials, one for each row."""
    edges: Array
    """Edges of the windows [s]."""
    in_flight: Array
    """Rows are replicas, columns windows; NaN where a replica was not ready (or draining) at all."""


def heat(requests: pd.DataFrame, replicas: pd.DataFrame, edges: Array, share: float = 1.0, most: int = 200) -> Heat:
    """Mean number of requests routed to a replica and not ended, for the first `most` replicas that were ever ready.

    `requests` holds a `share` of all of them.
    """
    shown = replicas[replicas["ready_s"].notna()].head(most)
    serials = shown["replica"].to_numpy()
    rows = np.full(int(replicas["replica"].max()) + 1 if len(replicas) else 0, -1)
    rows[serials] = np.arange(len(serials))
    own = requests[(requests["replica"] >= 0) & (requests["status"] == "finished")]
    row = rows[own["replica"].to_numpy()]
    own, row = own[row >= 0], row[row >= 0]
    begun = (own["arrival_s"] + own["held_s"]).to_numpy()
    seconds = _since(row, begun, len(serials), edges) - _since(row, own["finish_s"].to_numpy(), len(serials), edges)
    mean = np.maximum(np.diff(seconds, axis=1), 0.0) / np.diff(edges) / share
    up = (shown["ready_s"].to_numpy()[:, None] < edges[1:]) & (shown["closed_s"].to_numpy()[:, None] > edges[:-1])
    return Heat(serials, edges, np.where(up, mean, np.nan))


def _since(row: NDArray[np.int64], times: Array, rows: int, edges: Array) -> Array:
    """For each row and edge e, the sum over its times t <= e of e - t."""
    cell = np.searchsorted(edges, times, side="left")  # the first edge at or after each time
    cells = rows * (len(edges) + 1)
    place = row * (len(edges) + 1) + np.minimum(cell, len(edges))
    count = np.bincount(place, minlength=cells).reshape(rows, len(edges) + 1)[:, :-1].cumsum(axis=1)
    total = np.bincount(place, weights=times, minlength=cells).reshape(rows, len(edges) + 1)[:, :-1].cumsum(axis=1)
    return count * edges - total
