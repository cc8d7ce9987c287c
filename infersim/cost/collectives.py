"""Time of an all-reduce over the scale-up network, by topology and message size.

Small messages go in one shot (each chip sends all of its message to every other), large ones in two (reduce a part
each, then gather), as the custom kernels of vLLM and TensorRT-LLM and the ring algorithm do. With one latency and one
achieved bandwidth this follows the tables measured on H100 and A100 for 2, 4 and 8 chips. Engines hand messages above a size to the
vendor's library, which takes longer to begin, and lets a switch that can do so add up the largest.
Not here: which messages a layer sends (`roofline.py`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from infersim.spec.hardware import Hardware, Link, ScaleOut

Array = NDArray[np.float64]

SECOND_SHOT = 0.75
"""Latency that the second phase adds, in latencies of the first: 3.5 of 4.7 us on H100, 4 of 5.7 us on A100."""

LIBRARY = 4.0
"""Latencies that NCCL takes more than an engine's own kernels behind a switch: 19 to 24 us of 8 chips and 10 to 15 of 2 and 4 on H100 and H200, 25 to
35 on A100, 25 to 45 on B200, messages of 2 to 16 MiB in aiconfigurator-core 0.12.0, where TensorRT-LLM's tables are NCCL's from 1 MiB on."""

IN_SWITCH = 0.7
"""Share of what two shots reach at which a switch adds up, each chip sending its message once: 238 GB/s on 8 H100, 375 on 8 B200, 128 MiB in
the same tables."""

DOUBLING = 0.2
"""Latency that twice as many machines add, in those of two: 97 us on 2 and 117 us on 4 (FasterTransformer, Megatron 530B on A100 at TP 16 and
32): most of it is NCCL's own, not the wire's."""

SOCKET_CARDS, BETWEEN_SOCKETS = 4, 0.85
"""Cards that one processor of a PCIe host has, and share of the bandwidth that is left where a ring crosses to the other processor's: all-reduces of
64 MiB and more on 8 cards reach 0.81 of those on 4 under vLLM and SGLang and 0.95 by NCCL on RTX PRO 6000, 0.98 on L40S (hosts with peer-to-peer,
aiconfigurator-core 0.12.0); L40S and A100 PCIe under TensorRT-LLM 0.14 ask for 0.75 to 0.83."""


def usable_share(link: Link, chips: int) -> float:
    """Share of a chip's outgoing bandwidth that an all-reduce over `chips` chips can use.

    Behind a switch all of it, of one host link as long as one processor has all cards; without peer-to-peer the cards share the host's one way through its memory (L40S: 19
    GB/s on two cards with it, 5 on four without). In a full mesh each pair has one link, so n chips use n - 1 of them.
    In a 2-D torus a slice of fewer than 16 chips has no wrap-around: one link of two on each axis longer than 1.
    """
    if not link.peer_to_peer:
        return 1.0 / chips
    if link.topology == "mesh":
        return (chips - 1) / (link.domain_chips - 1)
    if link.topology == "torus":
        if chips >= 16:
            return 1.0
        return 0.25 if chips == 2 else 0.5
    return BETWEEN_SOCKETS if link.topology == "pcie" and chips > SOCKET_CARDS else 1.0


def hops(link: Link, chips: int) -> float:
    """Latencies of a pair of chips that all of them take.

    One behind a switch or in a mesh, twice that where each message is copied into the host's memory and out again. Half the chips around a ring, and through a PCIe host, which serves its cards in
    turn (L40S: 7, 13 and 25 us on 2, 4 and 8). The side of a torus.
    """
    if link.topology in ("ring", "pcie"):
        return max(1.0, chips / 2) * (1 if link.peer_to_peer else 2)
    if link.topology == "torus":
        return max(1.0, math.sqrt(chips))
    return 1.0


def bytes_out(chips: int, message: Array) -> Array:
    """Bytes that leave each chip in a two-shot or ring all-reduce of `message` bytes [B]; no algorithm sends fewer."""
    return 2.0 * (chips - 1) / chips * message


def all_reduce_s(
    link: Link, chips: int, message: Array, scale_out: ScaleOut | None = None, own_bytes: float = math.inf
) -> Array:
    """Time of an all-reduce of `message` bytes over `chips` chips [s]; ValueError where no link joins them.

    Messages above `own_bytes` go through the vendor's library. Beyond one scale-up domain each chip adds up its share of the message
    with its peers in the other domains, over the network between machines: a ring of domains, then back.
    """
    if chips == 1:
        return np.zeros_like(message)
    reach = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
    if chips <= reach:
        return _within(link, chips, message, own_bytes)
    if scale_out is None or reach == 1:
        raise ValueError(f"scale-up links join {reach} chips, found tensor parallelism {chips}; use at most {reach}")
    domains = -(-chips // reach)
    across = bytes_out(domains, message / reach) / (scale_out.one_way_gb_s.value * 1e9)
    latency = scale_out.latency_us.value * 1e-6 * (1.0 + DOUBLING * (math.ceil(math.log2(domains)) - 1))
    return _within(link, reach, message, own_bytes) + latency + across


def _within(link: Link, chips: int, message: Array, own_bytes: float) -> Array:
    """An all-reduce inside one scale-up domain [s]."""
    bandwidth = link.one_way_gb_s.value * 1e9 * link.efficiency.value * usable_share(link, chips)
    latency = link.latency_us.value * 1e-6 * hops(link, chips)
    one_shot = (chips - 1) * message / bandwidth
    two_shot = SECOND_SHOT * latency + bytes_out(chips, message) / bandwidth
    own = latency + np.minimum(one_shot, two_shot)
    if link.topology != "nvswitch" or own_bytes == math.inf:
        return own
    added_up = message / (IN_SWITCH * bandwidth) if link.adds_up and chips > 2 else two_shot
    library = (1.0 + LIBRARY) * latency + np.minimum(two_shot, added_up)
    return np.where(message <= own_bytes, own, library)


def all_gather_s(
    link: Link, chips: int, part: Array, scale_out: ScaleOut | None = None, own_bytes: float = math.inf
) -> Array:
    """Time in which every chip receives the `part` bytes of each other one [s]: what an all-reduce of half the whole sends."""
    return all_reduce_s(link, chips, chips / 2.0 * part, scale_out, own_bytes)


def all_to_all_s(hardware: Hardware, chips: int, sent: Array) -> Array:
    """Time in which each of `chips` chips sends `sent` bytes, evenly to all others [s]."""
    link, out = hardware.link, hardware.scale_out
    reach = 1 if link.topology in ("none", "point_to_point") else link.domain_chips
    near = min(chips, reach)
    inside = sent * (near - 1) / max(1, chips - 1)
    bandwidth = link.one_way_gb_s.value * 1e9 * link.efficiency.value * (usable_share(link, near) if near > 1 else 1.0)
    seconds = link.latency_us.value * 1e-6 * hops(link, near) + inside / bandwidth
    if chips > reach:
        if out is None:
            raise ValueError(f"scale-up links join {reach} chips, found expert parallelism over {chips}")
        far = (sent - inside) / (out.one_way_gb_s.value * 1e9)
        seconds = np.maximum(seconds, out.latency_us.value * 1e-6 + far)
    return seconds


def send_s(hardware: Hardware, chips: int, message: Array) -> Array:
    """Time to hand `message` bytes to the next stage of a replica of `chips` chips [s]."""
    link, out = hardware.link, hardware.scale_out
    if out is not None and chips > link.domain_chips:
        return out.latency_us.value * 1e-6 + message / (out.one_way_gb_s.value * 1e9)
    return link.latency_us.value * 1e-6 + message / (link.one_way_gb_s.value * 1e9 * link.efficiency.value)
