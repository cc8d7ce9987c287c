"""Time of an all-reduce over the scale-up network, by topology and message size.

Small messages go in one shot (each chip sends all of its message to every other), large ones in two (reduce a part
each, then gather), as the custom kernels of vLLM and TensorRT-LLM and the ring algorithm do. With one latency and one
achieved bandwidth this follows the tables measured on H100 and A100 for 2, 4 and 8 chips, 256 B to 256 MiB.
Not here: which messages a layer sends (`roofline.py`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from infersim.spec.hardware import Link

Array = NDArray[np.float64]

SECOND_SHOT = 0.75
"""Latency that the second phase adds, in latencies of the first: 3.5 of 4.7 us on H100, 4 of 5.7 us on A100."""


def usable_share(link: Link, chips: int) -> float:
    """Share of a chip's outgoing bandwidth that an all-reduce over `chips` chips can use.

    Behind a switch, or one host link, all of it. In a full mesh each pair has one link, so n chips use n - 1 of them.
    In a 2-D torus a slice of fewer than 16 chips has no wrap-around: one link of two on each axis longer than 1.
    """
    if link.topology == "mesh":
        return (chips - 1) / (link.domain_chips - 1)
    if link.topology == "torus":
        if chips >= 16:
            return 1.0
        return 0.25 if chips == 2 else 0.5
    return 1.0


def hops(link: Link, chips: int) -> float:
    """Latencies of a pair of chips that all of them take.

    One behind a switch or in a mesh. Half the chips around a ring, and through a PCIe host, which serves its cards in
    turn (L40S: 7, 13 and 25 us on 2, 4 and 8). The side of a torus.
    """
    if link.topology in ("ring", "pcie"):
        return max(1.0, chips / 2)
    if link.topology == "torus":
        return max(1.0, math.sqrt(chips))
    return 1.0


def bytes_out(chips: int, message: Array) -> Array:
    """Bytes that leave each chip in a two-shot or ring all-reduce of `message` bytes [B]; no algorithm sends fewer."""
    return 2.0 * (chips - 1) / chips * message


def all_reduce_s(link: Link, chips: int, message: Array) -> Array:
    """Time of an all-reduce of `message` bytes over `chips` chips [s]; ValueError where no link joins them."""
    if chips == 1:
        return np.zeros_like(message)
    reach = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
    if chips > reach:
        raise ValueError(f"scale-up links join {reach} chips, found tensor parallelism {chips}; use at most {reach}")
    bandwidth = link.one_way_gb_s.value * 1e9 * link.efficiency.value * usable_share(link, chips)
    latency = link.latency_us.value * 1e-6 * hops(link, chips)
    one_shot = (chips - 1) * message / bandwidth
    two_shot = SECOND_SHOT * latency + bytes_out(chips, message) / bandwidth
    return latency + np.minimum(one_shot, two_shot)


def send_s(link: Link, message: Array) -> Array:
    """Time to hand `message` bytes to the next stage [s]."""
    return link.latency_us.value * 1e-6 + message / (link.one_way_gb_s.value * 1e9 * link.efficiency.value)
