"""The plain autoscalers: a fixed number, a schedule, requests in flight over a target, the depth of the queue.

Not here: those that mirror a product (`hpa.py`, `keda.py`, `kpa.py`).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View

if TYPE_CHECKING:
    from infersim.spec.autoscalers import Rule


@autoscaling(from_start=True)
class Fixed:
    """Always so many, whatever happens: desired = replicas."""

    def __init__(self, replicas: int) -> None:
        """The number."""
        self.replicas = replicas

    def desired(self, view: View) -> float:
        """The number."""
        return self.replicas


@autoscaling(polls=True, from_start=True)
class Schedule:
    """The replicas of the rule that came into force last, as cron and KEDA's cron scaler have it.

    A rule's moment is a second of the run, or a cron expression, which has been in force since its last time before now,
    be that before the run. Before any rule is in force the number stays.
    """

    def __init__(self, rules: "Sequence[Rule]", starts: str) -> None:
        """Rules in order; `starts` is the date and time of second 0."""
        self._starts = datetime.fromisoformat(starts)
        timed = sorted(((rule.at_s, n, rule.replicas) for n, rule in enumerate(rules) if rule.at_s is not None))
        self._moments, self._timed = [moment for moment, _, _ in timed], timed
        self._crons = [(rule.cron, n, rule.replicas) for n, rule in enumerate(rules) if rule.cron is not None]
        self._next_s = -math.inf
        self._latest: tuple[float, int, int] | None = None

    def desired(self, view: View) -> float:
        """The replicas of the latest rule; the later in the list at equal times."""
        place = bisect_right(self._moments, view.time_s + 1e-9)
        found = [self._timed[place - 1]] if place else []
        if self._crons:
            found.append(self._latest_cron(view.time_s))
        return max(found)[2] if found else view.current

    def _latest_cron(self, time_s: float) -> tuple[float, int, int]:
        """(second, number of the rule, replicas) of the cron rule that fired last; looked up again when one fires."""
        if self._latest is None or time_s >= self._next_s - 1e-9:
            from croniter import croniter

            now = self._starts + timedelta(seconds=time_s, microseconds=1)
            past = [
                ((croniter(cron, now).get_prev(datetime) - self._starts).total_seconds(), n, replicas)
                for cron, n, replicas in self._crons
            ]
            coming = [croniter(cron, now).get_next(datetime) for cron, _, _ in self._crons]
            self._next_s = (min(coming) - self._starts).total_seconds()
            self._latest = max(past)
        return self._latest


@autoscaling
class TargetConcurrency:
    """As many replicas as hold the requests in flight at `target` each: ceil(in flight / target).

    The AverageValue rule of Kubernetes' HPA without its tolerance and windows; cool-downs take their place.
    """

    def __init__(self, target: float) -> None:
        """`target` requests in flight for each replica."""
        self.target = target

    def desired(self, view: View) -> float:
        """Requests in flight over the target."""
        return view.in_flight / self.target


@autoscaling
class QueueDepth:
    """Grows with the queue, shrinks one by one: holds at most `target` waiting requests for each replica.

    With w waiting (held ones included) and n replicas: ceil(w / target) if w > target * n; n - 1 if nothing waits;
    otherwise n. The cool-down for scaling down decides how fast it shrinks.
    """

    def __init__(self, target: float) -> None:
        """`target` waiting requests for each replica."""
        self.target = target

    def desired(self, view: View) -> float:
        """Replicas after this decision."""
        if view.queued > self.target * view.current:
            return math.ceil(view.queued / self.target)
        return view.current - 1 if view.queued == 0 else view.current
