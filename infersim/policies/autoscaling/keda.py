"""KEDA on the length of a queue: active or not, from zero and to zero; from one up an HPA beneath it.

    every polling_interval_s: active = queue > activation_queue_length
        active at 0 replicas: max(1, min);   not active for more than cooldown_s, and min = 0: 0
    every interval_s (the HPA's sync period), from 1 replica up: AverageValue of an external metric,
        ratio = queue / (queue_length x replicas);  unchanged within tolerance;  desired = ceil(queue / queue_length)

then the HPA's stabilisation windows and scaling policies. The cool-down counts from the poll that was last active and
concerns the way to zero alone; a queue that has never been active goes to zero at the first poll. Sources: keda.sh, "Scaling Deployments" (pollingInterval, cooldownPeriod,
activation); kedacore/keda v2.15, pkg/scaling/executor/scale_scaledobjects.go; Kubernetes v1.31, replica_calculator.go
(GetExternalPerPodMetricReplicas).

Not here: the HPA's rules (`hpa_rules.py`).
"""

import math

from infersim.policies.autoscaling.hpa_rules import HpaRules
from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View
from infersim.spec.scaling_rules import Behavior


@autoscaling(polls=True)
class KedaQueueLength:
    """KEDA: ceil(queue / queue_length) by HPA; to zero after a cool-down, from zero at a poll."""

    def __init__(
        self,
        queue_length: float,
        counts: str,
        activation_queue_length: float,
        polling_interval_s: float,
        cooldown_s: float,
        tolerance: float,
        behavior: Behavior,
    ) -> None:
        """`counts` is what is in the queue: waiting, or in_flight."""
        self.queue_length, self.activation, self.tolerance = queue_length, activation_queue_length, tolerance
        self.polling_interval_s, self.cooldown_s = polling_interval_s, cooldown_s
        self._signal = "queued" if counts == "waiting" else "in_flight"
        self._rules = HpaRules(behavior)
        self._next_poll_s = polling_interval_s
        self._next_sync_s: float | None = None
        self._active_s: float | None = None

    def desired(self, view: View) -> float:
        """Replicas after the polls and syncs that are due; the poll comes first."""
        replicas = view.current
        if view.time_s >= self._next_poll_s - 1e-6:
            self._next_poll_s += self.polling_interval_s
            replicas = self._polled(view)
        due_s = view.facts.interval_s if self._next_sync_s is None else self._next_sync_s
        if view.time_s >= due_s - 1e-6:
            self._next_sync_s = due_s + view.facts.interval_s
            if replicas == view.current > 0:
                replicas = self._synced(view)
        return replicas

    def _polled(self, view: View) -> int:
        """Activated or deactivated."""
        active = getattr(view, self._signal) > self.activation
        if active:
            self._active_s = view.time_s
        if active and view.current == 0:
            return max(1, view.facts.fewest)
        rested = self._active_s is None or view.time_s - self._active_s > self.cooldown_s + 1e-6
        idle = not active and rested
        return 0 if idle and view.facts.fewest == 0 else view.current

    def _synced(self, view: View) -> int:
        """Scaled by the HPA beneath, between one and the most."""
        queue, current = getattr(view, self._signal), view.current
        within = abs(queue / (self.queue_length * current) - 1) <= self.tolerance + 1e-12
        wanted = current if within else math.ceil(queue / self.queue_length * (1 - 1e-12))
        return self._rules.limited(view.time_s, current, wanted, max(1, view.facts.fewest), view.facts.most)
