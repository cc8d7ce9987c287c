"""What the spans of requests say about the replica that served them. Not here: laws (`test_*.py`)."""

import numpy as np
from numpy.typing import NDArray

SPANS = ("held_s", "handling_s", "queued_s", "prefill_s", "decode_s", "preempted_s", "transfer_s", "away_s")
"""The spans of an outcome, which sum to its latency."""


def served_span(rows: NDArray[np.void]) -> float:
    """How long at least one of the requests was in a replica's queue or batch [s]."""
    starts, ends = rows["finish_s"] - sum(rows[span] for span in SPANS[2:]), rows["finish_s"]
    total, covered = 0.0, -np.inf
    for i in np.argsort(starts):
        total += max(0.0, ends[i] - max(starts[i], covered))
        covered = max(covered, ends[i])
    return total
