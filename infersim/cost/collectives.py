"""Time of an all-reduce over the scale-up network, by topology: a latency floor plus bytes over achieved bandwidth.

Not here: which messages a layer sends (`roofline.py`). Sources: the ring algorithm moves 2 (n - 1) / n of the message
out of each chip (Patarasuk and Yuan, 2009); which links n chips can use follows from the topology.
"""

import math

import numpy as np
from numpy.typing import NDArray

from infersim.spec.hardware import Link

Array = NDArray[np.float64]


def usable_share(link: Link, chips: int) -> float:
    """Share of a chip's outgoing bandwidth that an all-reduce over `chips` chips can use.

    Behind a switch, or one host link, all of it. In a full mesh each pair has one link, so n chips use n - 1 of them. In
    a 2-D torus a slice of fewer than 16 chips has no wrap-around, which leaves one link of two on each axis longer than 1.
    """
    if link.topology == "mesh":
        return (chips - 1) / (link.domain_chips - 1)
    if link.topology == "torus":
        if chips >= 16:
            return 1.0
        return 0.25 if chips == 2 else 0.5
    return 1.0


def hops(link: Link, chips: int) -> float:
    """Chip-to-chip hops that a value takes to reach everyone: 1 unless it travels along a ring or torus."""
    if link.topology == "ring":
        return max(1, chips // 2)
    if link.topology == "torus":
        return max(1.0, math.sqrt(chips))
    return 1.0


def bytes_out(chips: int, message: Array) -> Array:
    """Bytes that leave each chip in an all-reduce of `message` bytes [B]."""
    return 2.0 * (chips - 1) / chips * message


def all_reduce_s(link: Link, chips: int, message: Array) -> Array:
    """Time of an all-reduce of `message` bytes over `chips` chips [s]; ValueError where no link joins them."""
    if chips == 1:
        return np.zeros_like(message)
    if link.topology in ("none", "point_to_point") or chips > link.domain_chips:
        reach = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
        raise ValueError(
            f"the scale-up network joins {reach} chips, found tensor parallelism {chips}; use at most {reach}"
        )
    bandwidth = link.one_way_gb_s.value * 1e9 * link.efficiency.value * usable_share(link, chips)
    return link.latency_us.value * 1e-6 * hops(link, chips) + bytes_out(chips, message) / bandwidth


def send_s(link: Link, message: Array) -> Array:
    """Time to hand `message` bytes to the next stage [s]."""
    return link.latency_us.value * 1e-6 + message / (link.one_way_gb_s.value * 1e9 * link.efficiency.value)
