"""How far Kubernetes' HPA moves towards what its metric wants: stabilisation windows and scaling policies.

Mirrors `stabilizeRecommendationWithBehaviors` and `convertDesiredReplicasWithBehaviorRate` of Kubernetes
(pkg/controller/podautoscaler/horizontal.go, v1.31): recommendations within the window of a direction are remembered, it
grows to the least and shrinks to the most of them; what it changed within a period counts against that period's policies.

Not here: what the metric wants (`hpa.py`).
"""

import math
from collections.abc import Callable, Sequence

from infersim.spec.scaling_rules import Behavior, ScalingPolicy

Change = tuple[float, int]
"""(time [s], replicas added or taken away)."""


class HpaRules:
    """The memory of one HPA: what it recommended, and what it changed."""

    def __init__(self, behavior: Behavior) -> None:
        """Nothing recommended or changed so far."""
        self._up, self._down = behavior.scale_up, behavior.scale_down
        self._recommended: list[tuple[float, int]] = []
        self._added: list[Change] = []
        self._removed: list[Change] = []

    def limited(self, now_s: float, current: int, wanted: int, fewest: int, most: int) -> int:
        """Replicas after this decision, remembered as carried out."""
        if not self._recommended:
            self._recommended.append((now_s, current))
        stable = self._stabilised(now_s, current, wanted)
        if stable > current:
            decided = max(current, min(stable, most, self._highest(now_s, current)))
        elif stable < current:
            decided = min(current, max(stable, fewest, self._lowest(now_s, current)))
        else:
            decided = current
        if decided > current:
            self._added.append((now_s, decided - current))
        elif decided < current:
            self._removed.append((now_s, current - decided))
        return decided

    def _stabilised(self, now_s: float, current: int, wanted: int) -> int:
        """What is wanted, but no more than the least, and no less than the most, of each direction's window."""
        longest_s = max(self._up.stabilization_window_s, self._down.stabilization_window_s)
        self._recommended = [past for past in self._recommended if now_s - past[0] < longest_s]
        up = self._within(now_s, self._up.stabilization_window_s)
        down = self._within(now_s, self._down.stabilization_window_s)
        self._recommended.append((now_s, wanted))
        return min(max(current, min([wanted, *up])), max([wanted, *down]))

    def _within(self, now_s: float, window_s: float) -> list[int]:
        return [replicas for time_s, replicas in self._recommended if now_s - time_s < window_s]

    def _highest(self, now_s: float, current: int) -> int:
        """The most that the policies for growing allow now."""
        if self._up.select == "disabled":
            return current

        def allowed(policy: ScalingPolicy, start: int) -> int:
            grown = math.ceil(start * (1 + policy.value / 100)) if policy.type == "percent" else start + policy.value
            return int(grown)

        return self._allowed(now_s, current, self._up.policies, allowed, max if self._up.select == "max" else min)

    def _lowest(self, now_s: float, current: int) -> int:
        """The fewest that the policies for shrinking allow now."""
        if self._down.select == "disabled":
            return current

        def allowed(policy: ScalingPolicy, start: int) -> int:
            return int(start * (1 - policy.value / 100)) if policy.type == "percent" else start - policy.value

        return self._allowed(now_s, current, self._down.policies, allowed, min if self._down.select == "max" else max)

    def _allowed(
        self,
        now_s: float,
        current: int,
        policies: Sequence[ScalingPolicy],
        allowed: Callable[[ScalingPolicy, int], int],
        chosen: Callable[[list[int]], int],
    ) -> int:
        """The bound that the chosen policy sets, from the replicas at the start of its period."""
        bounds = []
        for policy in policies:
            added, removed = (_since(now_s - policy.period_s, changes) for changes in (self._added, self._removed))
            bounds.append(allowed(policy, current - added + removed))
        longest_s = max(policy.period_s for policy in (*self._up.policies, *self._down.policies))
        self._added, self._removed = (
            [change for change in changes if now_s - change[0] < longest_s] for changes in (self._added, self._removed)
        )
        return chosen(bounds)


def _since(time_s: float, changes: list[Change]) -> int:
    """Replicas changed after a time."""
    return sum(replicas for when_s, replicas in changes if when_s > time_s)
