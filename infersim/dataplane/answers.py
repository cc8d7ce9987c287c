"""What the door of the data plane answers: why the fleet stopped, what a pool holds, what a request does.

Not here: who answers (`fleet.py`).
"""

from dataclasses import dataclass
from enum import IntEnum

from infersim.dataplane import edges
from infersim.dataplane.records import NONE


class Why(IntEnum):
    """Why the fleet stopped."""

    ON_TIME = edges.ON_TIME
    DRAINED = edges.DRAINED
    HELD = edges.HELD_EDGE
    LEAVING = edges.LEAVING_EDGE
    FINISHED = edges.ALL_FINISHED


@dataclass(frozen=True)
class Wake:
    """The moment at which the fleet stopped."""

    time: float
    why: Why
    replica: int = NONE
    """The replica that drained, if one did."""


@dataclass(frozen=True)
class Occupancy:
    """What one pool holds at a moment."""

    ready: int
    draining: int
    waiting: int
    running: int
    kv_blocks_used: int
    kv_blocks: int
    routed: int
    ended: int


@dataclass(frozen=True)
class Waiting:
    """A request in flight, and what it does."""

    request: int
    state: str
    """One of STATES: held, queued, leaving (a prefill pool) ..."""
    since_s: float
    """When it entered that state."""
    pool: int
    """NONE while it is held,"""
    replica: int
    """and so the serial number of its replica."""
