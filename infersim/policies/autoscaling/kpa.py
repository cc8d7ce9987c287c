"""The Knative Pod Autoscaler, every tick (2 s): a stable window, a panic window, and the way to zero.

    target' = target x target_utilisation;   n = max(1, ready)
    stable = ceil(mean over stable_window / target');   panic = ceil(mean over panic window / target')
    both are kept between floor(n / max_scale_down_rate) and ceil(n x max_scale_up_rate)
    panic mode begins, and its clock starts anew, whenever ceil(panic mean / target') / n >= panic_threshold;
    it ends when the clock is older than stable_window.  In it: the most that was wanted since it began.

One that begins with more than one replica begins in panic mode. The way to zero: a pool that wants none keeps one until it has
been active for stable_window; then it counts as inactive, and the last replica goes scale_to_zero_grace_s later. (The
grace is an upper bound in Knative, which ends it once its activator is in the path; here it always lasts.) A request that
finds no replica is reported by the activator and decided upon at once. target-burst-capacity is not here: it decides
whether requests pass the activator, and the router of this simulator holds them only while there is no replica.

Means are over the readings of the ticks in a window. Sources: knative.dev, "Autoscaling" (concepts and reference);
knative/serving v1.15, pkg/autoscaler/scaling/autoscaler.go (Scale), pkg/reconciler/autoscaling/kpa/scaler.go
(handleScaleToZero).
"""

import math
from collections import deque

from infersim.policies.autoscaling.registry import autoscaling
from infersim.policies.autoscaling.view import View


@autoscaling
class KnativeKpa:
    """KPA: ceil(concurrency / target) over a stable window, over a short one while it panics; to zero after a grace."""

    def __init__(
        self,
        metric: str,
        target: float,
        target_utilisation: float,
        stable_window_s: float,
        panic_window: float,
        panic_threshold: float,
        max_scale_up_rate: float,
        max_scale_down_rate: float,
        scale_down_delay_s: float,
        scale_to_zero_grace_s: float,
    ) -> None:
        """See `spec.autoscalers.KnativeKpa` for the parameters."""
        self.metric, self.target = metric, target * target_utilisation
        self.stable_s, self.panic_s = stable_window_s, stable_window_s * panic_window
        self.threshold, self.up_rate, self.down_rate = panic_threshold, max_scale_up_rate, max_scale_down_rate
        self.delay_s, self.grace_s = scale_down_delay_s, scale_to_zero_grace_s
        self.panicking_since_s: float | None = None
        self._most_in_panic = 0
        self._begun = False
        self._wanted: deque[tuple[float, int]] = deque()
        self._active_since_s: float | None = None
        self._inactive_since_s: float | None = None

    def desired(self, view: View) -> float:
        """Replicas after this tick."""
        if not self._begun:
            self._begun = True
            if view.ready > 1:
                self.panicking_since_s, self._most_in_panic = 0.0, view.ready
        wanted = self._delayed(view.time_s, self._panicked(view))
        return self._on_the_way_to_zero(view, wanted)

    def _panicked(self, view: View) -> int:
        """What the two windows want."""
        n = max(1, view.ready)
        highest, lowest = math.ceil(self.up_rate * n), math.floor(n / self.down_rate)
        stable, panic = (math.ceil(self._mean(view, window_s) / self.target * (1 - 1e-12))
                         for window_s in (self.stable_s, self.panic_s))  # fmt: skip
        wanted = min(max(stable, lowest), highest)
        if panic / n >= self.threshold:
            self.panicking_since_s = view.time_s
        elif self.panicking_since_s is not None and view.time_s - self.panicking_since_s > self.stable_s:
            self.panicking_since_s, self._most_in_panic = None, 0
        if self.panicking_since_s is None:
            return wanted
        self._most_in_panic = max(self._most_in_panic, wanted, min(max(panic, lowest), highest))
        return self._most_in_panic

    def _mean(self, view: View, window_s: float) -> float:
        if self.metric == "rps":
            return view.arrival_rate(window_s)
        return view.mean("in_flight", window_s)

    def _delayed(self, time_s: float, wanted: int) -> int:
        """The most that was wanted within scale_down_delay."""
        if self.delay_s == 0:
            return wanted
        while self._wanted and (self._wanted[-1][1] <= wanted or self._wanted[0][0] <= time_s - self.delay_s):
            self._wanted.pop() if self._wanted[-1][1] <= wanted else self._wanted.popleft()
        self._wanted.append((time_s, wanted))
        return self._wanted[0][1]

    def _on_the_way_to_zero(self, view: View, wanted: int) -> int:
        """Zero only after the stable window, as inactive, and the grace."""
        if wanted > 0:
            if self._active_since_s is None or self._inactive_since_s is not None:
                self._active_since_s, self._inactive_since_s = view.time_s, None
            return wanted
        if view.current == 0:
            self._active_since_s = self._inactive_since_s = None
            return 0
        if self._active_since_s is None:
            self._active_since_s = view.time_s
        if self._inactive_since_s is None:
            if view.time_s - self._active_since_s < self.stable_s - 1e-6:
                return 1
            self._inactive_since_s = view.time_s
        return 0 if view.time_s - self._inactive_since_s >= self.grace_s - 1e-6 else 1
