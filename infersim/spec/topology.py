"""Where a pool's replicas stand: zones, racks, nodes.

Not here: what breaks (`faults.py`).
"""

from pydantic import Field

from infersim.spec.base import Count, Spec


class Placement(Spec):
    """Where a pool's replicas stand; they are spread over the zones in turn."""

    zones: list[str] = Field(default_factory=lambda: ["a"], min_length=1, max_length=64)
    """Names of the zones; pools that name the same zone share its fate."""
    chips_per_node: Count = 8
    """Chips of a machine: replicas of fewer share it, replicas of more span several."""
    nodes_per_rack: Count = 4
    """Machines in a rack."""
    places: Count | None = None
    """Replicas that there is room for: a broken place is not free before it is mended. No limit when absent."""
