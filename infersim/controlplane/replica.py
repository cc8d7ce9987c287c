"""One replica's life so far: where it stands, which machine it has, and the moments that its bill rests on.

Not here: what happens to it (`pool.py`).
"""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import simpy

from infersim.spec.life import Billing

if TYPE_CHECKING:
    from infersim.controlplane.market import Source


class State(Enum):
    """Where a replica stands."""

    STARTING = "starting"
    WARM = "warm"
    """Kept until a replica is wanted, or on the way there."""
    SERVING = "serving"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(eq=False)
class Replica:
    """One replica, from a request for a machine to its return."""

    serial: int
    state: State
    gone: simpy.Event
    """Succeeds when the machine is given back or lost."""
    wanted: simpy.Event | None = None
    """Succeeds when a machine that is kept warm is taken; None for others."""
    process: simpy.Process | None = None
    """What it is going through now."""
    index: int | None = None
    """Its place in the fleet while it serves."""
    place: int = -1
    """The machine that it stands on; see `places.py`."""
    source: "Source | None" = None
    """Where its machine comes from."""
    sending: bool = False
    """Whether it sends its weights to another."""
    speed: float = 1.0
    """Its rate over that of a sound replica."""
    lease: dict[str, float] = field(default_factory=dict)

    @property
    def leaving(self) -> bool:
        """Whether it is going or gone."""
        return self.state in (State.LEAVING, State.GONE)

    @property
    def found(self) -> bool:
        """Whether it has its machine."""
        return not math.isnan(self.lease["billed_from_s"])

    def seconds(self, now: float) -> tuple[float, float]:
        """Seconds that it has had its machine, and seconds that it could serve, to now or to its end."""
        end_s = now if math.isnan(self.lease["closed_s"]) else self.lease["closed_s"]
        starts = (self.lease["billed_from_s"], self.lease["ready_s"])
        billed_s, up_s = (0.0 if math.isnan(start_s) else end_s - start_s for start_s in starts)
        return billed_s, up_s


def rounding_s(billing: Billing, seconds: float) -> float:
    """What is billed beyond `seconds` with a machine that was given back [s]."""
    billed = max(seconds, billing.minimum_s)
    if billing.step_s:
        billed = math.ceil(billed / billing.step_s * (1 - 1e-12)) * billing.step_s
    return billed - seconds
