"""The oracle: it knows every request before it comes, and has its replicas at once. Nobody can buy it.

    desired = ceil(headroom x least work of the requests that arrive before the next decision / interval)

The least work of a request is the replica time that no batch can undercut (`cost/least.py`). With headroom 1 that is less
than any fleet needs; raise it until the SLO holds. Not here: the bound that
each run is compared with (`results/regret.py`).
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View

if TYPE_CHECKING:
    Array = NDArray[np.float64]


class Future:
    """The work that will arrive."""

    def __init__(self, arrival_s: "Array", work_s: "Array") -> None:
        """Arrivals in order [s], and the least replica time of each request [s]."""
        self._arrival_s, self._sum_s = arrival_s, np.concatenate([[0.0], np.cumsum(work_s)])

    def work_s(self, from_s: float, to_s: float) -> float:
        """Least replica time of what arrives in [from, to) [s]."""
        first, last = np.searchsorted(self._arrival_s, (from_s, to_s))
        return float(self._sum_s[last] - self._sum_s[first])


@autoscaling(reads={"future"}, from_start=True)
class Oracle:
    """The fewest replicas for the work that is about to arrive; they are there at once."""

    def __init__(self, headroom: float) -> None:
        """`headroom` times the least work."""
        self.headroom = headroom
        self.future: Future | None = None

    def desired(self, view: View) -> float:
        """Replicas until the next decision; at least one while anything is in flight."""
        assert self.future is not None, "the control plane tells the future before it asks"
        interval_s = view.facts.interval_s
        work_s = self.future.work_s(view.time_s, view.time_s + interval_s)
        return max(math.ceil(self.headroom * work_s / interval_s), 1 if view.in_flight else 0)
