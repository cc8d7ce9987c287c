"""Kubernetes' Horizontal Pod Autoscaler (autoscaling/v2), every sync period, on a metric averaged over pods.

    ratio = mean over ready pods / target;   unchanged if |ratio - 1| <= tolerance
    desired = ceil(ratio x ready)
    if ratio > 1 and pods are not ready: they count as 0, ratio' = sum / (ready + not ready) / target;
        unchanged if within tolerance or if that turns the direction, else desired = ceil(ratio' x (ready + not ready))
    pods that became ready after the scrape have no metric: 0 when it grows, the target when it shrinks

then stabilisation windows and scaling policies (`hpa_rules.py`). A pool at zero is left alone, as the HPA does, unless its
least is more. Sources: kubernetes.io, "Horizontal Pod Autoscaling", Algorithm details; Kubernetes v1.31,
pkg/controller/podautoscaler/replica_calculator.go (calcPlainMetricReplicas) and horizontal.go.

Not here: KEDA, which puts an HPA beneath itself (`keda.py`).
"""

import math

from infersim.policies.autoscaling.hpa_rules import HpaRules
from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View
from infersim.spec.scaling_rules import Behavior

_NOISE = 1e-12
"""Rounding: 44 / 4 / 10 is within 0.1 of 1, and 3 x 0.1 / 0.1 is 3."""


@autoscaling(polls=True)
class KubernetesHpa:
    """HPA on one metric: ceil(ready x metric / target), within tolerance, stabilisation and scaling policies."""

    def __init__(self, metric: str, target: float, tolerance: float, behavior: Behavior) -> None:
        """`metric` averaged over ready replicas should be `target`."""
        self.metric, self.target, self.tolerance = metric, target, tolerance
        self._rules = HpaRules(behavior)

    def desired(self, view: View) -> float:
        """Replicas after this sync."""
        current, fewest, most = view.current, view.facts.fewest, view.facts.most
        if current == 0 or not fewest <= current <= most:
            return fewest if current < fewest else min(current, most)
        return self._rules.limited(view.time_s, current, self._wanted(view), fewest, most)

    def _wanted(self, view: View) -> int:
        """What the metric wants, before any rule."""
        measured = min(view.newest.ready, view.ready)
        mean = self._mean(view)
        if measured == 0 or mean is None:
            return view.current  # no metrics: the HPA does nothing
        ratio = mean / self.target
        missing, unready = view.ready - measured, view.starting
        if missing == 0 and not (unready and ratio > 1):
            if abs(ratio - 1) <= self.tolerance + _NOISE:
                return view.current
            return math.ceil(ratio * measured * (1 - _NOISE))
        counted = measured + missing + (unready if ratio > 1 else 0)
        guessed = missing * self.target if ratio < 1 else 0.0
        new = (mean * measured + guessed) / counted / self.target
        if abs(new - 1) <= self.tolerance + _NOISE or (ratio < 1 < new) or (ratio > 1 > new):
            return view.current
        wanted = math.ceil(new * counted * (1 - _NOISE))
        turned = (new < 1 and wanted > view.current) or (new > 1 and wanted < view.current)
        return view.current if turned else wanted

    def _mean(self, view: View) -> float | None:
        """The metric averaged over the replicas that were ready at the scrape; None if there were none."""
        ready, interval_s = view.newest.ready, view.facts.interval_s
        if ready == 0:
            return None
        if self.metric == "utilisation":
            return view.utilisation(interval_s)
        if self.metric == "kv_cache":
            return view.kv_cache
        total = {
            "concurrency": lambda: view.outstanding,
            "waiting": lambda: view.waiting,
            "arrival_rate": lambda: view.arrival_rate(interval_s),
        }[self.metric]()
        return total / ready
