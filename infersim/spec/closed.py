"""Traffic that waits for its answers: users in a closed loop, and how long they think.

Not here: arrivals that come whatever happens (`arrivals.py`), agents (`structure.py`).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infersim.spec.base import NonNegative, Positive, Spec, wrong_at


class ConstantTime(Spec):
    """Always the same."""

    distribution: Literal["constant"]
    """One value."""
    value_s: Positive
    """Time [s]; more than 0, for a user who is turned away at once would else come again for ever at one moment."""


class ExponentialTime(Spec):
    """Exponential, as in textbook closed queueing networks."""

    distribution: Literal["exponential"]
    """Exponential."""
    mean_s: Positive
    """Mean [s]."""


class LognormalTime(Spec):
    """Lognormal, as people think."""

    distribution: Literal["lognormal"]
    """Lognormal."""
    p50_s: Positive
    """Median [s]."""
    p90_s: Positive
    """90th percentile [s]; equal to the median makes it constant."""

    @model_validator(mode="after")
    def _ordered(self) -> "LognormalTime":
        if self.p90_s < self.p50_s:
            raise wrong_at(("p90_s",), f"found {self.p90_s:g}, must be at least p50_s {self.p50_s:g}")
        return self


Think = Annotated[ConstantTime | ExponentialTime | LognormalTime, Field(discriminator="distribution")]


class ClosedLoop(Spec):
    """Users who send a request, wait until it has ended in whatever way, think, and send the next, up to the horizon."""

    process: Literal["closed_loop"]
    """A number of users instead of a rate."""
    users: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many; at most so many requests are in the service at a time."""
    think_s: Think
    """From the end of one request to the sending of the next, and before the first."""
    ramp_s: NonNegative = 0.0
    """Users begin evenly spread over so long [s]; 0: all of them at the start."""
