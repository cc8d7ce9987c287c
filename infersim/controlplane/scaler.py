"""The process that asks a pool's autoscaler how many replicas it wants, and carries that out.

Not here: the policies (`infersim/policies/autoscaling.py`).
"""

import math
import traceback
from collections.abc import Generator
from numbers import Real
from pathlib import Path

import simpy

from infersim.controlplane.pool import Pool, View
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
    interval_s = (
        0.0 if env.fleet.held_for(pool.number) else spec.interval_s
    )  # the edge of a request at time 0 came before this process
    while True:
        yield env.timeout(interval_s) | env.held_for(pool.number)
        interval_s = spec.interval_s
        view = pool.view()
        want = max(limits.min, min(limits.max, _desired(policy, spec.policy, view)))
        up = want > view.current and env.now - last_up_s >= spec.up_cooldown_s
        down = want < view.current and env.now - last_change_s >= spec.down_cooldown_s
        if up or down:
            pool.scale_to(want, f"{spec.policy} saw {view.waiting} waiting, {view.running} running, {view.held} held")
            last_change_s = env.now
            last_up_s = env.now if up else last_up_s


def _desired(policy: Autoscaler, name: str, view: View) -> int:
    """The policy's answer as a whole number; PolicyError if it raises or is not a number."""
    try:
        answer = policy.desired(view)
    except Exception as error:
        raise PolicyError(
            f"autoscaler {name!r} failed at {view.time_s:g} s{_where(error)}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(answer, Real) or not math.isfinite(answer):
        raise PolicyError(
            f"autoscaler {name!r} answered {answer!r} at {view.time_s:g} s; it must return a finite number of replicas"
        )
    return math.ceil(answer * (1 - 1e-12))  # 3 requests at 0.1 each are 30 replicas, not 31


def _where(error: Exception) -> str:
    """The file and line that raised, as ` (file.py:12)`."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" ({Path(frame.filename).name}:{frame.lineno})"
