"""Feedback on the SLO: additive increase would be too slow for cold starts, so it is multiplicative, and the decrease additive.

    missed = objective - min(TTFT attainment, TPOT attainment) of the requests that ended within the window
    missed > 0:                          replicas + max(1, ceil(gain x missed x replicas))
    no miss and no change for patience_s: replicas - 1

Nothing is added while replicas are on their way, and what ended before the last change is not judged again. The pattern is
that of congestion control turned around (Chiu and Jain 1989, "Analysis of the increase and decrease algorithms"): quick
away from trouble, slow probing towards it.

Not here: who judges requests (`infersim/controlplane/meter.py`).
"""

import math

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View


@autoscaling(reads={"attainment"})
class SloFeedback:
    """More by the share of requests that missed TTFT or TPOT, one fewer after a time without a miss."""

    def __init__(self, objective: float, window_s: float, gain: float, patience_s: float) -> None:
        """`objective` is the share of requests that should meet each limit."""
        self.objective, self.window_s, self.gain, self.patience_s = objective, window_s, gain, patience_s
        self._changed_s = 0.0
        self._missed_s = 0.0

    def desired(self, view: View) -> float:
        """Replicas after this decision."""
        current, now = view.current, view.newest.time_s
        if current == 0:
            return 1 if view.in_flight else 0
        if view.starting:
            self._changed_s = now
            return current
        window_s = min(self.window_s, now - self._changed_s)
        worst = min((view.attainment(window_s, limit) for limit in ("ttft", "tpot")), key=_known) if window_s > 0 else 1
        if worst < self.objective:
            self._missed_s = self._changed_s = now
            return current + max(1, math.ceil(self.gain * (self.objective - worst) * current))
        if now - max(self._changed_s, self._missed_s) < self.patience_s - 1e-6:
            return current
        if current == 1 and (view.in_flight or view.arrival_rate(self.patience_s) > 0):
            return current
        self._changed_s = now
        return current - 1


def _known(share: float) -> float:
    """What is not known is taken as met."""
    return math.inf if math.isnan(share) else share
