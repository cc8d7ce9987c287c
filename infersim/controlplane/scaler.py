"""The process that asks a pool's autoscaler how many replicas it wants, and carries that out.

Not here: the policies (`infersim/policies/autoscaling.py`).
"""

import math
from collections.abc import Generator

import simpy

from infersim.controlplane.pool import Pool
from infersim.policies.autoscaling import Autoscaler
from infersim.policies.errors import PolicyError
from infersim.spec.scenario import Autoscaler as AutoscalerSpec
from infersim.spec.scenario import Replicas


def autoscale(
    pool: Pool, policy: Autoscaler, spec: AutoscalerSpec, limits: Replicas
) -> Generator[simpy.Event, object, None]:
    """Every `interval_s`, and at once when a request finds no replica, bring the pool to what the policy desires.

    Within its limits; a scale-up waits `up_cooldown_s` after the last one, a scale-down `down_cooldown_s` after any
    change.
    """
    env = pool.env
    last_up_s = last_change_s = -math.inf
    while True:
        yield env.timeout(spec.interval_s) | env.held
        view = pool.view()
        want = max(limits.min, min(limits.max, _desired(policy, spec.policy, view)))
        up = want > view.current and env.now - last_up_s >= spec.up_cooldown_s
        down = want < view.current and env.now - last_change_s >= spec.down_cooldown_s
        if up or down:
            pool.scale_to(want, f"{spec.policy} saw {view.waiting} waiting, {view.running} running, {view.held} held")
            last_change_s = env.now
            last_up_s = env.now if up else last_up_s


def _desired(policy: Autoscaler, name: str, view) -> int:
    """The policy's answer as a whole number; PolicyError if it raises or is not a number."""
    try:
        desired = float(policy.desired(view))
    except Exception as error:
        raise PolicyError(
            f"autoscaler {name!r} failed at {view.time_s:g} s: {type(error).__name__}: {error}"
        ) from error
    if not math.isfinite(desired):
        raise PolicyError(
            f"autoscaler {name!r} answered {desired} at {view.time_s:g} s; it must return a finite number of replicas"
        )
    return math.ceil(desired - 1e-9)
