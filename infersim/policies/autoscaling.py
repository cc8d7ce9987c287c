"""Autoscalers: how many replicas a pool should have. Write your own with `@autoscaling`.

    @autoscaling
    class OneForEachHundred:
        \"\"\"A replica for every 100 requests.\"\"\"

        def __init__(self, target: float) -> None:
            self.target = target

        def desired(self, view) -> float:
            return view.in_flight / 100

`desired(view)` is asked every `interval_s`; its answer is rounded up and clamped to the pool's limits. `view` is a
controlplane.pool.View. Cool-downs are the control plane's (`controlplane/scaler.py`).
"""

import math
import re
from typing import Protocol

from infersim.policies.errors import PolicyError
from infersim.spec import policies as names


class Autoscaler(Protocol):
    """Anything with `desired(view)`."""

    def desired(self, view) -> float:
        """How many replicas the pool should have now."""
        ...


AUTOSCALERS: dict[str, type] = {}
"""All known autoscalers by name."""


def autoscaling(policy: type) -> type:
    """Register a class, made with `target`, as an autoscaler under its name in snake_case."""
    if not callable(getattr(policy, "desired", None)):
        raise PolicyError(f"autoscaler {policy.__name__} has no method desired(view), which answers how many replicas")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", policy.__name__).lower()
    AUTOSCALERS[name] = policy
    names.AUTOSCALERS.add(name)
    return policy


@autoscaling
class TargetConcurrency:
    """As many replicas as hold the requests in flight at `target` each: ceil(in flight / target).

    The Kubernetes HPA's AverageValue rule on concurrency, as Knative's target concurrency.
    """

    def __init__(self, target: float) -> None:
        """`target` requests in flight for each replica."""
        self.target = target

    def desired(self, view) -> float:
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

    def desired(self, view) -> float:
        """Replicas after this decision."""
        waiting = view.waiting + view.held
        if waiting > self.target * view.current:
            return math.ceil(waiting / self.target)
        return view.current - 1 if waiting == 0 else view.current
