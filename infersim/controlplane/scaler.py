"""The process that asks a pool's autoscaler how many replicas it wants, and carries that out.

Not here: the policies (`infersim/policies/autoscaling/`), what they see (`meter.py`).
"""

import math
from collections.abc import Generator
from numbers import Real

import simpy

from infersim.controlplane.meter import Meter
from infersim.controlplane.pool import Pool
from infersim.policies.autoscaling import Autoscaler, Registered, View
from infersim.policies.errors import PolicyError, where
from infersim.spec.autoscalers import Autoscaler as AutoscalerSpec
from infersim.spec.pool import Replicas


def autoscale(
    pool: Pool, meter: Meter, policy: Autoscaler, registered: Registered, spec: AutoscalerSpec, limits: Replicas
) -> Generator[simpy.Event, object, None]:
    """So often as it is to be asked, and at once when a request finds no replica, bring the pool to what it desires.

    Within its limits; a scale-up waits `up_cooldown_s` after the last one, a scale-down `down_cooldown_s` after any
    change. The first time in a row that it wants more than the most is an event (`limited`).
    """
    env, periods = pool.env, spec.periods_s
    pool.autoscaler = registered.name
    up_cooldown_s, down_cooldown_s = spec.cooldowns_s
    last_up_s = last_change_s = -math.inf
    limited = False
    # The edge of a request at time 0 came before this process.
    at_once = registered.from_start or (env.fleet.held_for(pool.number) > 0 and not registered.polls)
    due = [0.0 if at_once else period for period in periods]
    while True:
        tick = env.timeout(min(due) - env.now)
        yield tick if registered.polls else tick | env.held_for(pool.number)
        due = _next(due, periods, env.now, tick.processed)
        view = meter.view()
        desired = _desired(policy, registered.name, view)
        if desired > limits.max and not limited:
            pool.note("limited", f"{registered.name} wants {desired:.15g}, the most is {limits.max}")
        limited = desired > limits.max
        want = max(limits.min, min(limits.max, desired))
        up = want > view.current and env.now - last_up_s >= up_cooldown_s
        down = want < view.current and env.now - last_change_s >= down_cooldown_s
        if up or down:
            reason = f"{registered.name} saw {view.waiting} waiting, {view.running} running, {view.held} held"
            pool.scale_to(want, reason, ready="future" in registered.reads)
            last_change_s = env.now
            last_up_s = env.now if up else last_up_s


def _next(due: list[float], periods: tuple[float, ...], now: float, ticked: bool) -> list[float]:
    """When each clock strikes next: those that struck a period on; all anew when a request found no replica."""
    struck = max(now, min(due)) if ticked else math.inf
    return [now + period if moment <= struck else moment for moment, period in zip(due, periods, strict=True)]


def _desired(policy: Autoscaler, name: str, view: View) -> int:
    """The policy's answer as a whole number; PolicyError if it raises or is not a number."""
    try:
        answer = policy.desired(view)
    except Exception as error:
        raise PolicyError(
            f"autoscaler {name!r} failed at {view.time_s:g} s{where(error)}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(answer, Real) or not math.isfinite(answer):
        raise PolicyError(
            f"autoscaler {name!r} answered {answer!r} at {view.time_s:g} s; it must return a finite number of replicas"
        )
    return math.ceil(answer * (1 - 1e-12))  # 3 requests at 0.1 each are 30 replicas, not 31
