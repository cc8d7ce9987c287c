"""How fast Kubernetes' HPA may move: the `behavior` of autoscaling/v2, with its defaults.

Not here: what follows from it (`infersim/policies/autoscaling/hpa_rules.py`).
"""

from typing import Annotated, Literal

from pydantic import Field

from infersim.spec.base import Count, NonNegative, Spec


class ScalingPolicy(Spec):
    """So much in a period."""

    type: Literal["percent", "pods"]
    """Of the replicas at the start of the period, or replicas."""
    value: Count
    """How many, or how many per cent."""
    period_s: Annotated[float, Field(gt=0, le=1800, allow_inf_nan=False)] = 15.0
    """The period [s]; at most 1,800, as in Kubernetes."""


Select = Literal["max", "min", "disabled"]


class ScaleUp(Spec):
    """Rules for growing."""

    stabilization_window_s: Annotated[NonNegative, Field(le=3600)] = 0.0
    """The least that was wanted within so long is what it grows to [s]."""
    select: Select = "max"
    """The policy that allows the most, the least, or no change at all."""
    policies: list[ScalingPolicy] = Field(
        default=[ScalingPolicy(type="percent", value=100), ScalingPolicy(type="pods", value=4)], min_length=1
    )
    """How fast; double or four more in 15 s when absent."""


class ScaleDown(Spec):
    """Rules for shrinking."""

    stabilization_window_s: Annotated[NonNegative, Field(le=3600)] = 300.0
    """The most that was wanted within so long is what it shrinks to [s]."""
    select: Select = "max"
    """The policy that allows the most change, the least, or none at all."""
    policies: list[ScalingPolicy] = Field(default=[ScalingPolicy(type="percent", value=100)], min_length=1)
    """How fast; all at once when absent."""


class Behavior(Spec):
    """Rules in both directions."""

    scale_up: ScaleUp = ScaleUp()
    """Growing."""
    scale_down: ScaleDown = ScaleDown()
    """Shrinking."""
