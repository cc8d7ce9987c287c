"""The machines that a pool's replicas stand on: numbered places in nodes, racks and zones, some of them out of order.

Place p lies in zone p mod zones, so that replicas spread evenly; the places of a zone fill one rack after another, and
those of a rack one node after another. Not here: what breaks when (`faults.py`).
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, count

from infersim.spec.topology import Placement


@dataclass
class Places:
    """Which places are taken, and which are out of order."""

    placement: Placement
    chips: int
    """Of a replica."""
    taken: set[int] = field(default_factory=set)
    broken: Counter[int] = field(default_factory=Counter)
    """How many faults hold each place."""
    shut: Counter[int] = field(default_factory=Counter)
    """How many faults and outages hold each zone."""
    slow: dict[int, dict[str, float]] = field(default_factory=dict)
    """By place, the rates that faults by name leave to it."""

    @property
    def free(self) -> int | None:
        """The lowest place that is sound and not taken; None if there is none."""
        zones = len(self.placement.zones)
        if all(self.shut[zone] for zone in range(zones)):
            return None
        some = len(self.taken) + 1
        gaps = sorted(set(range(some)) - self.taken)  # of thousands of replicas, quickly
        place = next(
            place
            for place in chain(gaps, count(some))
            if not (place in self.taken or self.broken[place] or self.shut[place % zones])
        )
        return None if self.placement.places is not None and place >= self.placement.places else place

    def speed(self, place: int) -> float:
        """Rate of a replica there, over that of a sound one."""
        return min(self.slow.get(place, {}).values(), default=1.0)

    def zone(self, place: int) -> int:
        """The zone of a place."""
        return place % len(self.placement.zones)

    def rack(self, place: int) -> tuple[int, int]:
        """Zone and number of a place's rack."""
        zones = len(self.placement.zones)
        return place % zones, self._nodes_before(place // zones) // self.placement.nodes_per_rack

    def nodes(self, place: int) -> list[tuple[int, int]]:
        """Zone and number of the nodes under a place; several for a replica that spans nodes."""
        zones = len(self.placement.zones)
        first = self._nodes_before(place // zones)
        return [(place % zones, first + k) for k in range(max(1, -(-self.chips // self.placement.chips_per_node)))]

    def _nodes_before(self, rank: int) -> int:
        """Nodes of its zone below the place that is number `rank` there."""
        per_node = self.placement.chips_per_node // self.chips
        return rank // per_node if per_node else rank * -(-self.chips // self.placement.chips_per_node)
